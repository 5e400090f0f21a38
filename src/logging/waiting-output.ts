/**
 * The policy `block` for a log that cannot be written: what was read waits here, nothing more is read, and
 * writing is tried again after longer and longer pauses until it works.
 */
import type { StreamName } from "./sink.ts";
import type { LogTime } from "./timestamp.ts";

/** The pause before the first new attempt and the longest one, in milliseconds. */
const FIRST_PAUSE = 100;
const LONGEST_PAUSE = 5000;
/**
 * How long the end of a container is put off, in milliseconds. Callers that wait for the exit file after
 * a container has ended give up after five seconds.
 */
const LAST_PATIENCE = 4000;
/** More than a read and what two enlarged pipes hold at a container's end, in bytes. */
const ROOM = 4 * 1024 * 1024;

/** What {@link WaitingOutput} does with output. */
export interface WaitingOutputSettings {
  /** Logs as much as it can and returns how many bytes it is done with. */
  readonly write: (stream: StreamName, data: Uint8Array, at: LogTime) => number;
  /** Counts output that nobody will log any more. */
  readonly drop: (stream: StreamName, data: Uint8Array, at: LogTime) => void;
  /** Called after each attempt that nobody else has asked for. */
  readonly onAttempt: () => void;
  /** Nothing waits any more. */
  readonly onRelief: () => void;
  /** Milliseconds that a flush takes at most. Default 4000. */
  readonly lastPatience?: number;
}

interface Piece {
  readonly stream: StreamName;
  data: Uint8Array;
  readonly at: LogTime;
}

/** Writes output in its order, or keeps it until it can be written. */
export class WaitingOutput {
  readonly #settings: WaitingOutputSettings;
  readonly #pieces: Piece[] = [];
  #size = 0;
  #pause = FIRST_PAUSE;
  #timer: NodeJS.Timeout | undefined;
  /** When patience ends, by `performance.now()`: set by the first flush, which is for the container's end. */
  #lastMoment: number | undefined;

  constructor(settings: WaitingOutputSettings) {
    this.#settings = settings;
  }

  /** Bytes of output that wait. */
  get size(): number {
    return this.#size;
  }

  /** Writes `data`, or what of it cannot be written now is kept: a copy, up to a limit. */
  write(stream: StreamName, data: Uint8Array, at: LogTime): void {
    const done = this.#size === 0 ? this.#settings.write(stream, data, at) : 0;
    if (done === data.length) return;
    const rest = data.subarray(done);
    // Only those who do not heed that we are behind come to have no room.
    if (this.#size + rest.length > ROOM || this.#isTooLate()) {
      this.#settings.drop(stream, rest, at);
      return;
    }
    this.#pieces.push({ stream, data: Uint8Array.from(rest), at: { ...at } });
    this.#size += rest.length;
    this.#timer ??= this.#startTimer();
  }

  /** Tries at once, since there is a new reason to hope. */
  retry(): void {
    if (this.#size === 0) return;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    if (this.#writeAll()) this.#settings.onRelief();
    else this.#timer = this.#startTimer();
  }

  /**
   * Resolves when nothing waits: it is written, or the time is over and it is dropped. The time is that of all
   * flushes together.
   */
  async flush(): Promise<void> {
    if (this.#size === 0) return;
    // Not by the wall clock, which somebody may set back by a year just now.
    this.#lastMoment ??= performance.now() + (this.#settings.lastPatience ?? LAST_PATIENCE);
    const end = this.#lastMoment;
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#pause = FIRST_PAUSE;
    while (!this.#writeAll()) {
      const left = end - performance.now();
      if (left <= 0) {
        this.drop();
        break;
      }
      const pause = Math.min(left, this.#nextPause());
      await new Promise((resolve) => setTimeout(resolve, pause));
      this.#settings.onAttempt();
    }
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#settings.onRelief();
  }

  /** Gives up what waits. */
  drop(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    for (const { stream, data, at } of this.#pieces.splice(0)) {
      this.#size -= data.length;
      this.#settings.drop(stream, data, at);
    }
  }

  #isTooLate(): boolean {
    return this.#lastMoment !== undefined && performance.now() >= this.#lastMoment;
  }

  #startTimer(): NodeJS.Timeout {
    return setTimeout(() => {
      this.#timer = undefined;
      this.retry();
      this.#settings.onAttempt();
    }, this.#nextPause());
  }

  #nextPause(): number {
    const pause = this.#pause;
    this.#pause = Math.min(2 * pause, LONGEST_PAUSE);
    return pause;
  }

  #writeAll(): boolean {
    for (let first = this.#pieces[0]; first !== undefined; first = this.#pieces[0]) {
      const done = this.#settings.write(first.stream, first.data, first.at);
      if (done > 0) this.#pause = FIRST_PAUSE;
      this.#size -= done;
      if (done < first.data.length) {
        first.data = first.data.subarray(done);
        return false;
      }
      this.#pieces.shift();
    }
    return true;
  }
}
