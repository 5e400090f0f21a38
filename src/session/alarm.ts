/** Timers that may be years away. */

/** Node.js takes a longer time for none at all, in milliseconds. About 24 days. */
const LONGEST_TIMER = 2 ** 31 - 1;

/** Seconds of the machine's monotonic clock, which all processes share and no one can set. */
export function monotonicSeconds(): number {
  return Number(process.hrtime.bigint()) / 1e9;
}

/** Calls back once, at a time of {@link monotonicSeconds}; at the next turn if that has passed. */
export class Alarm {
  readonly #at: number;
  readonly #onTime: () => void;
  #timer: NodeJS.Timeout | undefined;

  constructor(at: number, onTime: () => void) {
    this.#at = at;
    this.#onTime = onTime;
    this.#wait();
  }

  cancel(): void {
    clearTimeout(this.#timer);
  }

  #wait(): void {
    const left = Math.max(0, Math.ceil((this.#at - monotonicSeconds()) * 1000));
    this.#timer = setTimeout(
      () => {
        if (left > LONGEST_TIMER) this.#wait();
        else this.#onTime();
      },
      Math.min(left, LONGEST_TIMER),
    );
  }
}
