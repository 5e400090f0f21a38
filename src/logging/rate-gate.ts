/**
 * The rate policy of a session: output passes here on its way to the logs.
 *
 * `block`: all of it passes, and then nothing more is read until the rate is kept again. `drop`: lines that
 * would pass the limit are dropped whole; where the beginning of a line was logged already it is ended
 * with a newline. When nothing was dropped for a second, or after a minute of it, one line on stderr
 * says what was lost.
 */
import { Losses, type UntoldLoss } from "./loss-notice.ts";
import { RateLimit, type RateLimits } from "./rate-limit.ts";
import type { StreamName } from "./sink.ts";
import type { LogTime } from "./timestamp.ts";

const NEWLINE = 0x0a;
const LINE_END = Buffer.from("\n");
/** A flood is over when nothing was dropped for so long, in milliseconds. */
const CALM = 1000;
/** A flood that goes on is told of that often, in milliseconds. */
const LONGEST_SILENCE = 60_000;

/** What a {@link RateGate} needs. */
export interface RateGateSettings extends RateLimits {
  readonly onLimit: "block" | "drop";
  /** Logs; `data` is valid only during the call. */
  readonly log: (stream: StreamName, data: Uint8Array, at: LogTime) => void;
  /** `behind` is over. */
  readonly onRelief: () => void;
  /** The wall clock, for what is logged by a timer. */
  readonly wallClock: () => LogTime;
  /** What a process before has dropped and not told. */
  readonly before?: UntoldLoss | undefined;
  /** Records for a successor what was dropped and is not told; undefined: nothing. Default: nobody does. */
  readonly record?: (loss: UntoldLoss | undefined) => void;
  /** Milliseconds of a clock that only goes forward. Default: the process's. */
  readonly now?: () => number;
}

/** What did not pass, by stream. */
export interface RateDrops {
  bytes: number;
  records: number;
}

/** Where a stream is. */
interface StreamState {
  /** The line that has begun is being dropped, up to its newline. */
  dropping: boolean;
  /** What was logged last did not end in a newline. */
  open: boolean;
  /** The rest of that line was lost: what is logged next is no part of it. */
  cut: boolean;
}

/** Keeps a session's output to its rate. */
export class RateGate {
  /** Live. */
  readonly dropped: Readonly<Record<StreamName, RateDrops>> = {
    stdout: { bytes: 0, records: 0 },
    stderr: { bytes: 0, records: 0 },
  };

  readonly #settings: RateGateSettings;
  readonly #now: () => number;
  readonly #limit: RateLimit;
  readonly #losses = new Losses();
  readonly #reason: string;
  readonly #streams: Record<StreamName, StreamState> = {
    stdout: { dropping: false, open: false, cut: false },
    stderr: { dropping: false, open: false, cut: false },
  };
  /** What is recorded of the losses is not what they are. */
  #isUnrecorded = false;
  #timer: NodeJS.Timeout | undefined;
  #behind = false;
  #lastDrop = 0;
  #silentSince = 0;

  constructor(settings: RateGateSettings) {
    this.#settings = settings;
    this.#now = settings.now ?? (() => performance.now());
    this.#limit = new RateLimit(settings, this.#now() / 1000);
    this.#reason = `more than ${describeLimits(settings)}`;
    if (settings.before === undefined) return;
    this.#losses.inherit(settings.before, settings.wallClock().zone);
    this.#silentSince = this.#now();
    this.#lastDrop = this.#silentSince;
    this.#timer = this.#calmTimer(CALM);
  }

  /** Nothing should be read until `onRelief`. What is written nevertheless passes, or is dropped. */
  get behind(): boolean {
    return this.#behind;
  }

  write(stream: StreamName, data: Uint8Array, at: LogTime): void {
    if (data.length === 0) return;
    if (this.#settings.onLimit === "drop") this.#writeWhatFits(stream, data, at);
    else this.#writeAndWait(stream, data, at);
  }

  /** What was written so far is done with: a successor does not get it again, but has to tell what was dropped. */
  settle(): void {
    if (!this.#isUnrecorded) return;
    this.#isUnrecorded = false;
    this.#settings.record?.(this.#losses.any ? this.#losses : undefined);
  }

  /** Nothing more comes: tells what was lost. */
  finish(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#behind = false;
    this.#tellLosses();
  }

  // ---- block ----

  #writeAndWait(stream: StreamName, data: Uint8Array, at: LogTime): void {
    this.#settings.log(stream, data, at);
    const seconds = this.#limit.charge(data.length, countLines(data), this.#now() / 1000);
    if (seconds <= 0) return;
    this.#behind = true;
    clearTimeout(this.#timer);
    // Longer than that only after much more than a pipe holds.
    const milliseconds = Math.min(Math.ceil(seconds * 1000), 2 ** 31 - 1);
    this.#timer = setTimeout(() => {
      this.#timer = undefined;
      this.#behind = false;
      this.#settings.onRelief();
    }, milliseconds);
  }

  // ---- drop ----

  #writeWhatFits(stream: StreamName, data: Uint8Array, at: LogTime): void {
    const state = this.#streams[stream];
    this.#limit.refill(this.#now() / 1000);
    const start = state.dropping ? lineEnd(data, 0) : 0;
    if (start > 0) this.#drop(stream, data.subarray(0, start), 0, at);
    const end = this.#admittedEnd(data, start);
    if (end > start) {
      this.#endLine(stream, state.cut, at);
      this.#settings.log(stream, data.subarray(start, end), at);
      state.open = data[end - 1] !== NEWLINE;
    }
    if (end === data.length) return;
    const rest = data.subarray(end);
    // The end of a line that was logged up to here is a record of its own.
    this.#drop(stream, rest, countLines(rest) + (rest[rest.length - 1] === NEWLINE ? 0 : 1), at);
  }

  /** Ends the line that is open, if there is a reason to. */
  #endLine(stream: StreamName, reason: boolean, at: LogTime): void {
    const state = this.#streams[stream];
    if (state.open && reason) this.#settings.log(stream, LINE_END, at);
    if (reason) state.open = false;
    state.cut = false;
  }

  /** Up to where lines may pass. A shorter one is not to follow one that is missing. */
  #admittedEnd(data: Uint8Array, start: number): number {
    for (let at = start; at < data.length; ) {
      const next = lineEnd(data, at);
      const lines = data[next - 1] === NEWLINE ? 1 : 0;
      if (!this.#limit.admit(next - at, lines)) return at;
      at = next;
    }
    return data.length;
  }

  #drop(stream: StreamName, data: Uint8Array, records: number, at: LogTime): void {
    const now = this.#now();
    if (!this.#losses.any) this.#silentSince = now;
    this.#lastDrop = now;
    const state = this.#streams[stream];
    state.dropping = data[data.length - 1] !== NEWLINE;
    state.cut = state.open;
    this.dropped[stream].bytes += data.length;
    this.dropped[stream].records += records;
    this.#losses.add(records, data.length, at, this.#reason);
    this.#isUnrecorded = true;
    this.#timer ??= this.#calmTimer(CALM);
  }

  #calmTimer(milliseconds: number): NodeJS.Timeout {
    return setTimeout(() => {
      const now = this.#now();
      const calm = this.#lastDrop + CALM - now;
      this.#timer = undefined;
      if (calm <= 0 || now - this.#silentSince >= LONGEST_SILENCE) this.#tellLosses();
      else this.#timer = this.#calmTimer(Math.max(1, Math.ceil(calm)));
    }, milliseconds);
  }

  #tellLosses(): void {
    if (!this.#losses.any) return;
    const at = this.#settings.wallClock();
    this.#endLine("stdout", this.#streams.stdout.cut, at);
    // One that goes on is ended as well there: the notice needs a line of its own.
    this.#endLine("stderr", true, at);
    this.#settings.log("stderr", Buffer.from(`${this.#losses.text()}\n`), at);
    this.#losses.clear();
    this.#isUnrecorded = true;
    this.settle();
  }
}

function describeLimits({ bytesPerSecond, linesPerSecond }: RateLimits): string {
  const bytes = bytesPerSecond === undefined ? [] : [`${bytesPerSecond} bytes`];
  const lines = linesPerSecond === undefined ? [] : [`${linesPerSecond} lines`];
  return `${[...bytes, ...lines].join(" or ")} per second`;
}

/** Behind the next newline, or the end. */
function lineEnd(data: Uint8Array, from: number): number {
  const found = Buffer.prototype.indexOf.call(data, NEWLINE, from);
  return found === -1 ? data.length : found + 1;
}

function countLines(data: Uint8Array): number {
  let lines = 0;
  for (let at = 0; at < data.length; at = lineEnd(data, at)) lines++;
  return data[data.length - 1] === NEWLINE ? lines : Math.max(0, lines - 1);
}
