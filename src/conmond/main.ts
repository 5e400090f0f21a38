/** The entry of conmond: private for the shim that starts it, else by its command line. */
import { servePrivate } from "./private.ts";

if (process.argv[2] === "--private") {
  servePrivate();
} else {
  import("./command-line.ts").then(({ runCommandLine }) => runCommandLine(process.argv));
}
