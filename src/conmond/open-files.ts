/** How many descriptors this process may have, and when that is nearly all. */
import { closeSync, openSync, readFileSync } from "node:fs";

/**
 * Descriptors that are kept for the sessions that are there: for their attach clients, log rotations and what
 * else comes later. A hello alone brings up to 97.
 */
const RESERVE = 256;

/** What a session takes, in descriptors, to tell people how many will fit: 12, and some for attach clients. */
const PER_SESSION = 16;

/**
 * Watches over the descriptors. Node.js itself raises the soft limit to the hard one when it starts.
 */
export class OpenFiles {
  /** The limit; Infinity where there is none. */
  readonly limit: number;
  readonly #most: number;
  #spare: number | undefined;

  constructor(limit: number = readLimit()) {
    this.limit = limit;
    this.#most = limit - Math.min(RESERVE, Math.floor(limit / 4));
    this.keepSpare();
  }

  /** About how many sessions there is room for. */
  get roomForSessions(): number {
    return Math.floor(this.#most / PER_SESSION);
  }

  /**
   * Whether a descriptor that was just opened is one of the last: it is the lowest number that was free, so
   * that there are at least as many in use.
   */
  isScarce(fd: number): boolean {
    return fd >= this.#most;
  }

  /** Gives up a descriptor that was kept for this: one who waits can be accepted, to be told to go. */
  spendSpare(): void {
    if (this.#spare !== undefined) closeSync(this.#spare);
    this.#spare = undefined;
  }

  /** Keeps one again, if there is one. */
  keepSpare(): void {
    try {
      this.#spare ??= openSync("/dev/null", "r");
    } catch {
      // There is none just now; it is tried again with whoever comes next.
    }
  }
}

/** See proc_pid_limits(5): the soft limit comes first. */
function readLimit(): number {
  const limits = readFileSync("/proc/self/limits", "latin1");
  const [, soft] = /^Max open files +(\S+)/m.exec(limits) ?? [];
  const limit = Number(soft);
  return Number.isNaN(limit) ? Number.POSITIVE_INFINITY : limit;
}
