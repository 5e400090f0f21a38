/** A shared conmond that a shim has started, since there was none: `CONMOND=auto`. */
import { resolve } from "node:path";
import * as sys from "../sys/mod.ts";
import { Door, isServed, PlaceTakenError } from "./door.ts";
import { leaveAtOnce } from "./leave.ts";
import type { Log } from "./log.ts";
import { defaultSocketPath, SharedConmond } from "./shared.ts";
import { Syslog } from "./syslog.ts";

/** Where the shim puts its end of the socket pair. */
const SHIM_FD = 3;

/** It has been started for somebody, and is started again for the next one, in a fifth of a second. */
const IDLE_EXIT_SECONDS = 60;

/**
 * Serves the shim that started us, and all others. Where another conmond was faster it ends without a word to
 * the shim, as soon as the other one listens: the shim then finds that one.
 */
export async function serveOnDemand(): Promise<void> {
  const log = openSyslog();
  sys.setCloseOnExec(SHIM_FD, true);
  try {
    const path = resolve(process.env.CONMOND_SOCKET || defaultSocketPath(process.env));
    const door = await openUnlessServed(path);
    if (door === undefined) return;
    new SharedConmond(door, { log, idleExitSeconds: IDLE_EXIT_SECONDS }).serve(SHIM_FD);
  } catch (error) {
    log("error", (error as Error).message);
    leaveAtOnce(1);
  }
}

async function openUnlessServed(path: string): Promise<Door | undefined> {
  try {
    return await Door.open(path);
  } catch (error) {
    const { cause } = error as Error;
    if (cause instanceof PlaceTakenError && isServed(path)) return undefined;
    throw error;
  }
}

/** It has nobody's stderr. */
function openSyslog(): Log {
  const syslog = new Syslog();
  return (level, text, containerId) => {
    if (level !== "error" && level !== "warn") return;
    syslog.send(level, `conmond: ${containerId === undefined ? "" : `${containerId}: `}${text}`);
  };
}
