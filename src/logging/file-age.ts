import * as fs from "node:fs";
import { TIMESTAMP_LENGTH } from "./timestamp.ts";

/** Node.js takes a longer time for none at all, in milliseconds. */
const LONGEST_TIMER = 2 ** 31 - 1;

/**
 * Tells when a log file has become too old, which is counted from its first record. There is one timer, and
 * only while there is such a record.
 */
export class FileAge {
  readonly #limit: number;
  readonly #onDue: () => void;
  #begun = false;
  #timer: NodeJS.Timeout | undefined;

  /**
   * @param limit Seconds.
   * @param onDue Called once for each `begin()`, unless `end()` or `restart()` is called before.
   */
  constructor(limit: number, onDue: () => void) {
    this.#limit = limit;
    this.#onDue = onDue;
  }

  /** The file's first record is of that second (since 1970). Later ones change nothing. */
  begin(second: number): void {
    if (this.#begun) return;
    this.#begun = true;
    // A record from the future is one from before the clock was set back: it counts as one of now.
    const age = Math.max(0, Date.now() / 1000 - second);
    this.#wait(Math.ceil(Math.max(0, this.#limit - age) * 1000));
  }

  /** Begins anew with the present time. */
  restart(): void {
    this.end();
    this.begin(Date.now() / 1000);
  }

  /** There is no record any more: the file is another, or closed. */
  end(): void {
    // Of one that keeps nobody alive Node.js would keep its place in the order of times, until its time.
    this.#timer?.ref();
    clearTimeout(this.#timer);
    this.#begun = false;
  }

  /** So many milliseconds from now on, whatever becomes of the wall clock in the meantime. */
  #wait(left: number): void {
    const time = Math.min(left, LONGEST_TIMER);
    this.#timer = setTimeout(() => {
      if (left > time) this.#wait(left - time);
      else this.#onDue();
    }, time);
    // A log that is not closed keeps nobody alive.
    this.#timer.unref();
  }
}

/** The second (since 1970) of the first record in a CRI log; `undefined` where there is none. */
export function firstRecordSecond(path: string): number | undefined {
  const head = Buffer.alloc(TIMESTAMP_LENGTH);
  const fd = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  try {
    if (fs.readSync(fd, head, 0, head.length, 0) < head.length) return undefined;
  } finally {
    fs.closeSync(fd);
  }
  const milliseconds = Date.parse(head.toString("latin1"));
  return Number.isNaN(milliseconds) ? undefined : Math.floor(milliseconds / 1000);
}
