import { getSystemErrorMap } from "node:util";
import { LocalTimestamp, type LogTime, TIMESTAMP_LENGTH } from "./timestamp.ts";

/** What a line of a log says of records that are not in it. */
export interface LossNotice {
  readonly records: number;
  /** Bytes of output in them. */
  readonly bytes: number;
  /** When the first and the last of them were read, RFC 3339. */
  readonly from: string;
  readonly to: string;
  readonly reason: string;
}

const NOTICE =
  /^\[conmon: (\d+) records \((\d+) bytes\) were lost from (\S+) to (\S+): ([^\n]*)\]$/;

/**
 * Reads the text of a line, without its newline; `undefined` if it is no such notice. They are lines of
 * stderr. A container can write the same text.
 */
export function parseLossNotice(text: string): LossNotice | undefined {
  const [, records, bytes, from, to, reason] = NOTICE.exec(text) ?? [];
  if (from === undefined || to === undefined || reason === undefined) return undefined;
  return { records: Number(records), bytes: Number(bytes), from, to, reason };
}

/** What is lost and a log has not been told of yet. */
export interface UntoldLoss {
  readonly records: number;
  /** Bytes of output in them. */
  readonly bytes: number;
  /** When the first and the last of them were read. */
  readonly from: Readonly<LogTime>;
  readonly to: Readonly<LogTime>;
  readonly reason: string;
}

/** Adds up what is lost, until the log can be told. */
export class Losses implements UntoldLoss {
  records = 0;
  bytes = 0;
  reason = "";
  readonly from: LogTime = { seconds: 0, nanoseconds: 0 };
  readonly to: LogTime = { seconds: 0, nanoseconds: 0 };

  /** Whether there is anything to tell. */
  get any(): boolean {
    return this.records > 0 || this.bytes > 0;
  }

  /** @param at When it was read. */
  add(records: number, bytes: number, at: LogTime, reason: string): void {
    if (!this.any) Object.assign(this.from, at);
    Object.assign(this.to, at);
    this.reason = reason;
    this.records += records;
    this.bytes += bytes;
  }

  /**
   * Goes on with what another process has left untold.
   *
   * @param zone Whose local time the text is to have.
   */
  inherit(before: UntoldLoss, zone: LogTime["zone"]): void {
    Object.assign(this.from, before.from, { zone });
    Object.assign(this.to, before.to, { zone });
    this.reason = before.reason;
    this.records = before.records;
    this.bytes = before.bytes;
  }

  /** The text for the log, without a newline. It stays until {@link clear}. */
  text(): string {
    const lost = `${this.records} records (${this.bytes} bytes)`;
    const time = `from ${timestamp(this.from)} to ${timestamp(this.to)}`;
    return `[conmon: ${lost} were lost ${time}: ${this.reason}]`;
  }

  clear(): void {
    this.records = 0;
    this.bytes = 0;
  }
}

/** A time as records of the CRI format have it. */
export function timestamp(at: LogTime): string {
  const bytes = Buffer.alloc(TIMESTAMP_LENGTH);
  new LocalTimestamp(bytes).set(at);
  return bytes.toString("latin1");
}

/** Why, in the words of the C library where it is a system error: `no space left on device`. */
export function reasonOf(error: Error): string {
  const { errno } = error as NodeJS.ErrnoException;
  const text = errno === undefined ? undefined : getSystemErrorMap().get(errno)?.[1];
  return (text ?? error.message).replaceAll("\n", " ");
}
