/** A conmond that serves all shims of one user. */
import { mkdirSync, rmSync, unlinkSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { FaultLimit } from "../faults/fault-limit.ts";
import { prepareTransits } from "../session/transit.ts";
import { Listener } from "../sockets/listener.ts";
import * as sys from "../sys/mod.ts";
import { build } from "./build.ts";
import { Conmond } from "./conmond.ts";
import { leave, leaveAtOnce } from "./leave.ts";
import type { Log } from "./log.ts";
import { refusePeer } from "./peer.ts";
import { keepYoungHeapSmall } from "./young-heap.ts";

/** Shims that may wait to be accepted; those beyond find a private conmond. */
const BACKLOG = 1024;

/** Where shims look when `$CONMOND_SOCKET` is not set. */
export function defaultSocketPath(environment: NodeJS.ProcessEnv): string {
  const base = environment.XDG_RUNTIME_DIR || (process.geteuid?.() === 0 ? "/run" : undefined);
  if (base === undefined) {
    throw new Error("XDG_RUNTIME_DIR is not set: name the socket with --socket PATH");
  }
  return join(base, "conmond", "conmond.sock");
}

/**
 * Listens on `path` until the process is told to end. The sessions of a conmond that
 * ends go on with others: their shims start private ones.
 *
 * @throws Error naming the path when it cannot listen there
 */
export function serveShared(path: string, log: Log): void {
  const socketPath = resolve(path);
  keepYoungHeapSmall();
  process.umask(0o022);
  prepareTransits();
  const listener = listenAt(socketPath);
  const conmond = new Conmond({ log, build, shared: true, onIdle: () => undefined });
  const faults = new FaultLimit((error) => log("error", error.message));
  new Listener(listener, {
    client: "shim",
    onConnection: (fd) => welcome(fd, conmond),
    onFault: (kind, error) => faults.add(kind, error),
  });
  const leaveOn = (signal: NodeJS.Signals): void => {
    log(
      "info",
      `Leaving on ${signal} with ${conmond.sessionCount} sessions, which go on elsewhere`,
    );
    // Somebody may have removed it before; that is no reason not to leave.
    rmSync(socketPath, { force: true });
    void leave(0);
  };
  process.on("SIGTERM", leaveOn);
  process.on("SIGINT", leaveOn);
  process.on("uncaughtException", (error) => {
    log("error", `Ending, the sessions go on elsewhere: ${error.stack ?? error.message}`);
    leaveAtOnce(70);
  });
  log("info", `Listening on ${socketPath}`);
}

function listenAt(path: string): number {
  const fd = sys.unixSocket("seqpacket");
  try {
    mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
    removeStale(path);
    // Nobody but this user may connect; the credentials are checked all the same.
    const before = process.umask(0o077);
    try {
      sys.bindUnix(fd, path);
    } finally {
      process.umask(before);
    }
    sys.listen(fd, BACKLOG);
    return fd;
  } catch (error) {
    sys.close(fd);
    throw new Error(`Cannot listen on ${path}: ${(error as Error).message}`, { cause: error });
  }
}

/** A socket that nobody listens on was left by a conmond that died. */
function removeStale(path: string): void {
  const probe = sys.unixSocket("seqpacket");
  try {
    sys.connectUnix(probe, path);
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code === "ENOENT") return;
    if (code !== "ECONNREFUSED") throw error;
    unlinkSync(path);
    return;
  } finally {
    sys.close(probe);
  }
  throw new Error("another conmond listens there");
}

function welcome(fd: number, conmond: Conmond): void {
  const reason = refusePeer(fd);
  if (reason === undefined) conmond.serve(fd);
  else conmond.refuse(fd, reason);
}
