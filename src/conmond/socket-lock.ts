/**
 * The lock beside the socket, `SOCKET.lock`: who has it is the one conmond of that socket.
 *
 * It is a lock of the kernel's (flock(2)), so that it ends with its holder, however that ends, and can be handed
 * to a successor as a descriptor. The file stays: a lock on a file that is removed excludes nobody.
 */
import { closeSync, constants, ftruncateSync, openSync, readFileSync, writeSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import * as sys from "../sys/mod.ts";

const { O_RDWR, O_CREAT, O_NOFOLLOW } = constants;

/** How often a lock that somebody has is tried, in milliseconds: nobody tells when it is given up. */
const INTERVAL_MS = 20;

export function lockPath(socketPath: string): string {
  return `${socketPath}.lock`;
}

/**
 * Locks, or waits for so many milliseconds until that is possible.
 *
 * @param isHopeless asked again and again: whether there is no sense in waiting
 * @returns the descriptor that is the lock; undefined when somebody else has it
 * @throws a system error when the file cannot be made or locked
 */
export async function lockSocket(
  socketPath: string,
  milliseconds: number,
  isHopeless: () => boolean = () => false,
): Promise<number | undefined> {
  const fd = openSync(lockPath(socketPath), O_RDWR | O_CREAT | O_NOFOLLOW, 0o600);
  try {
    for (const end = performance.now() + milliseconds; !sys.lockFile(fd); ) {
      if (performance.now() >= end || isHopeless()) {
        closeSync(fd);
        return undefined;
      }
      await delay(INTERVAL_MS);
    }
    return fd;
  } catch (error) {
    closeSync(fd);
    throw error;
  }
}

/**
 * Writes our pid into it. It is for people; what counts is the lock. So it is left empty where there is no room for it:
 * a full disk does not keep a conmond from serving.
 *
 * @throws a system error when it cannot be written for another reason
 */
export function signLock(fd: number): void {
  let length = 0;
  try {
    // In this order, so that nobody finds it empty.
    length = writeSync(fd, `${process.pid}\n`, 0);
  } catch (error) {
    if (!sys.isSystemError(error, "ENOSPC") && !sys.isSystemError(error, "EDQUOT")) throw error;
  }
  ftruncateSync(fd, length);
}

/** The pid of who has signed the lock last; undefined when nobody has, or the file is not there. */
export function lockSigner(socketPath: string): number | undefined {
  try {
    const pid = Number(readFileSync(lockPath(socketPath), "latin1"));
    return pid > 0 ? pid : undefined;
  } catch {
    return undefined; // All that is lost is a name in a message.
  }
}

/** The same in words. */
export function lockHolder(socketPath: string): string {
  const pid = lockSigner(socketPath);
  return pid === undefined ? "another process" : `process ${pid}`;
}
