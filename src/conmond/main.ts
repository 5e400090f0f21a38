/** The entry of conmond: private for the shim that starts it, shared for all, or by its command line. */
import { servePrivate } from "./private.ts";

const how = process.argv[2];
if (how === "--private") {
  servePrivate();
} else if (how === "--on-demand") {
  import("./on-demand.ts").then(({ serveOnDemand }) => serveOnDemand());
} else {
  import("./command-line.ts").then(({ runCommandLine }) => runCommandLine(process.argv));
}
