/** The end of the conmond that takes the place of another one: `conmond --replace`. */
import { closeSync, openSync, readFileSync } from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { killIfThere } from "../../processes/signals.ts";
import * as sys from "../../sys/mod.ts";
import { Door, inodeOf } from "../door.ts";
import type { Log } from "../log.ts";
import { lockSigner } from "../socket-lock.ts";
import { HandOverConnection } from "./connection.ts";
import { encodeAsk, encodeTaken, type HandOverMessage } from "./messages.ts";

/** How long the one before may take to answer, in milliseconds. */
const ANSWER_MS = 5000;
/** How long one of another version may take to end when it is asked to, in milliseconds. */
const FAREWELL_MS = 10_000;
/** How long one that has handed over may take to end, in milliseconds: longer than it waits itself. */
const DRAIN_MS = 30_000;
/** How often somebody is asked who says that it is just busy with another successor. */
const ATTEMPTS = 100;
const INTERVAL_MS = 50;

/** A place that has been taken over, or was free. */
export interface Succession {
  readonly door: Door;
  /** To be called when shims are accepted: lets the one before go. */
  confirm(): void;
}

/** What became of asking. */
type Answer =
  | { readonly type: "nobody" }
  | { readonly type: "given"; readonly succession: Succession }
  | { readonly type: "busy"; readonly reason: string }
  | { readonly type: "declined"; readonly reason: string }
  /** Another version, or one that hangs: it can only be replaced by force. */
  | {
      readonly type: "unable";
      readonly reason: string;
      readonly hangs: boolean;
      readonly pid: number;
    };

/**
 * Takes the place of the conmond that listens at a path; where there is none, listens there.
 *
 * One that does not answer within 5 s, or is of another version, is replaced by force: a socket is put over its
 * own, and it is told to end, or killed. Its sessions go on here all the same.
 *
 * @throws Error that says why that cannot be done
 */
export async function succeed(path: string, log: Log): Promise<Succession> {
  let last = "";
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const inode = inodeOf(path);
    const answer = await ask(path, log);
    switch (answer.type) {
      case "given":
        return answer.succession;
      case "nobody":
        return { door: await Door.open(path), confirm: () => undefined };
      case "declined":
        throw new Error(`Cannot take the place of the conmond at ${path}: ${answer.reason}`);
      case "busy":
        last = answer.reason;
        await delay(INTERVAL_MS);
        break;
      case "unable": {
        const succession = await usurp(path, inode, answer, log);
        if (succession !== undefined) return succession;
        last = "somebody else has taken its place meanwhile";
        break;
      }
    }
  }
  throw new Error(`Cannot take the place of the conmond at ${path}: ${last}`);
}

async function ask(path: string, log: Log): Promise<Answer> {
  const fd = sys.unixSocket("seqpacket");
  try {
    await connect(fd, path);
    const { pid } = sys.peerCredentials(fd);
    return await converse(fd, path, pid, log);
  } catch (error) {
    sys.close(fd);
    if (["ENOENT", "ECONNREFUSED"].some((code) => sys.isSystemError(error, code))) {
      return { type: "nobody" };
    }
    if (!sys.isSystemError(error, "EAGAIN")) throw error;
    const reason = `has not accepted anybody for ${ANSWER_MS} ms`;
    return { type: "unable", hangs: true, pid: lockSigner(path) ?? 0, reason };
  }
}

/** @throws EAGAIN when so many wait there all the time that nobody can be accepting them */
async function connect(fd: number, path: string): Promise<void> {
  for (let waited = 0; ; waited += INTERVAL_MS) {
    try {
      sys.connectUnix(fd, path);
      return;
    } catch (error) {
      if (!sys.isSystemError(error, "EAGAIN") || waited >= ANSWER_MS) throw error;
    }
    await delay(INTERVAL_MS);
  }
}

/** Owns the connection; `pid` is the peer's, for messages and for force. */
function converse(fd: number, path: string, pid: number, log: Log): Promise<Answer> {
  return new Promise((resolve) => {
    let whenGone: (() => void) | undefined;
    const settle = (answer: Answer): void => {
      clearTimeout(timer);
      resolve(answer);
    };
    const connection: HandOverConnection = new HandOverConnection(fd, {
      onMessage: (message, descriptors) => {
        if (message.type === "give") {
          const onConfirm = (gone: () => void): void => {
            whenGone = gone;
          };
          settle(accept(path, message.pid, connection, descriptors, log, onConfirm));
          return;
        }
        for (const descriptor of descriptors) sys.close(descriptor);
        connection.close();
        settle(understand(message, pid));
      },
      onLost: (error) => {
        whenGone?.();
        settle({ type: "busy", reason: error?.message ?? "it has just ended" });
      },
    });
    const timer = setTimeout(() => {
      connection.close();
      resolve({ type: "unable", hangs: true, pid, reason: `has not answered for ${ANSWER_MS} ms` });
    }, ANSWER_MS);
    try {
      connection.send(encodeAsk());
    } catch (error) {
      connection.close();
      settle({ type: "busy", reason: (error as Error).message });
    }
  });
}

function understand(message: HandOverMessage, pid: number): Answer {
  switch (message.type) {
    case "decline":
      return { type: message.retry ? "busy" : "declined", reason: message.reason };
    case "refused":
      return {
        type: "unable",
        hangs: false,
        pid,
        reason: `is of another version: ${message.reason}`,
      };
    default:
      return { type: "unable", hangs: false, pid, reason: `answers with ${message.type}` };
  }
}

function accept(
  path: string,
  pid: number,
  connection: HandOverConnection,
  [listener, lock]: number[],
  log: Log,
  onConfirm: (gone: () => void) => void,
): Answer {
  if (listener === undefined || lock === undefined) {
    connection.close();
    return { type: "unable", hangs: false, pid, reason: "has not sent its socket" };
  }
  const door = Door.adopt(path, listener, lock);
  const confirm = (): void => {
    const timer = setTimeout(() => {
      // Its connection is open: so it lives, and the pid is its own.
      log("error", `conmond ${pid} has not ended ${DRAIN_MS} ms after it was replaced: killing it`);
      killIfThere(pid, "SIGKILL");
    }, DRAIN_MS);
    onConfirm(() => {
      clearTimeout(timer);
      log("info", `conmond ${pid}, whose place this one has taken, has ended`);
    });
    try {
      connection.send(encodeTaken());
    } catch (error) {
      // It has ended before it could be let go, and its sessions come here all the same.
      log("warn", `conmond ${pid}, whose place this one has taken: ${(error as Error).message}`);
    }
  };
  return { type: "given", succession: { door, confirm } };
}

// ---- by force ----

/** @returns undefined when it is not that one any more that listens there */
async function usurp(
  path: string,
  inode: number | undefined,
  { pid, reason, hangs }: Answer & { type: "unable" },
  log: Log,
): Promise<Succession | undefined> {
  // Of several that want to do this, one at a time.
  const directory = openSync(dirname(path), "r");
  try {
    for (let waited = 0; !sys.lockFile(directory); waited += INTERVAL_MS) {
      if (waited > FAREWELL_MS) throw new Error(`Cannot lock ${dirname(path)}: somebody keeps it`);
      await delay(INTERVAL_MS);
    }
    if (inodeOf(path) !== inode) return undefined;
    checkVictim(path, pid, reason);
    const act = hangs ? "killing it" : "telling it to end";
    log("warn", `conmond ${pid} at ${path} ${reason}: ${act}, its sessions come here`);
    const door = await Door.usurp(path, () => end(pid, hangs));
    return { door, confirm: () => undefined };
  } finally {
    closeSync(directory);
  }
}

/** One of its arguments is a path to a conmond. */
const CONMOND = /(^|[\0/])conmond(\.[cm]?js)?\0/;

/** What is known is only who has called listen(2) on the socket: that may have been long ago. */
function checkVictim(path: string, pid: number, reason: string): void {
  if (pid > 1 && pid !== process.pid && CONMOND.test(commandOf(pid))) return;
  const who = pid > 0 ? `process ${pid} is no conmond that could be ended` : "it is not known";
  throw new Error(
    `Cannot take the place of the process that listens on ${path}: it ${reason}, and ${who}`,
  );
}

async function end(pid: number, hangs: boolean): Promise<void> {
  if (!hangs) {
    killIfThere(pid, "SIGTERM");
    if (await hasEnded(pid, FAREWELL_MS)) return;
  }
  killIfThere(pid, "SIGKILL");
  if (await hasEnded(pid, FAREWELL_MS)) return;
  throw new Error(`conmond ${pid} cannot be killed`);
}

/** It is no child of ours: its end has to be looked for. */
async function hasEnded(pid: number, milliseconds: number): Promise<boolean> {
  for (let waited = 0; commandOf(pid) !== ""; waited += INTERVAL_MS) {
    if (waited >= milliseconds) return false;
    await delay(INTERVAL_MS);
  }
  return true;
}

/** Empty for one that is gone, a zombie included. */
function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "latin1");
  } catch {
    return ""; // It is not there.
  }
}
