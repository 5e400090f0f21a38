/** A conmond that a shim has started for itself alone. */
import { openSync } from "node:fs";
import * as sys from "../sys/mod.ts";
import { build } from "./build.ts";
import { Conmond } from "./conmond.ts";
import { leave, leaveAtOnce } from "./leave.ts";
import { Syslog } from "./syslog.ts";

/** Where the shim puts its end of the socket pair. */
const SHIM_FD = 3;

/** Serves the one session of the shim that started us, and ends with it. */
export function servePrivate(): void {
  // Until here a Node.js that cannot start has told the caller on its stderr. From here on the
  // shim speaks to the caller, and nothing of ours may hold its stderr open.
  const nowhere = openSync("/dev/null", "r+");
  sys.duplicateOnto(nowhere, 2);
  sys.close(nowhere);
  process.on("uncaughtException", (error) => {
    new Syslog().send("error", `conmond (private): ${error.stack ?? error.message}`);
    // The shim finds out at once and goes on with another one.
    leaveAtOnce(70);
  });
  const conmond = new Conmond({
    // The session's own messages go to the caller and to syslog.
    log: () => undefined,
    build,
    shared: false,
    onIdle: () => void leave(0),
  });
  sys.setCloseOnExec(SHIM_FD, true);
  conmond.serve(SHIM_FD);
}
