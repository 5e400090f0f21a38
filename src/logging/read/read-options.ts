import type { DecoderOptions } from "./log-decoder.ts";
import type { LogFault } from "./log-line.ts";
import type { Selection } from "./selection.ts";

/** How a log is to be read. */
export interface ReadOptions extends Selection {
  /**
   * Only so many of the last of the lines that `stream`, `since` and `until` leave, pieces of a long
   * line counted as one. Default: all.
   */
  readonly tail?: number;
  /**
   * How far before its last record the beginning of a line is looked for with `tail`, in bytes of the
   * log. Default 1048576 (1 MiB); a line with more of the other stream in between is delivered
   * from where it was found.
   */
  readonly lookBack?: number;
  /** Bytes of the longest line that is put together, at least 1. Default 1048576 (1 MiB). */
  readonly maxLine?: number;
  /**
   * What is done with a last record that has no end, because it was torn by a crash or is just being
   * written: `skip`, the default, or `deliver` what there is of it as a line that is not complete.
   * There is nothing to deliver if not even its header is there, or if it is one in JSON.
   */
  readonly torn?: "skip" | "deliver";
  /**
   * Told what is wrong with the log, which is then read on. What it throws ends the reading. Default:
   * a fault is thrown, unless it is that a file was truncated or is missing.
   */
  readonly onFault?: (fault: LogFault) => void;
  /** Ends the reading, without an error. */
  readonly signal?: AbortSignal;
}

/** How a log is to be followed. */
export interface FollowOptions extends ReadOptions {
  /**
   * Resolves when nothing is written to the log any more. Then the rest is read and following is over.
   * If it is rejected, then its reason is thrown.
   */
  readonly ended?: Promise<unknown>;
}

/** The options of the decoder that are asked for by those. */
export function decoderOptions(options: ReadOptions): DecoderOptions {
  return { ...options, onFault: options.onFault ?? throwFault };
}

/** @throws {RangeError} for a number of lines that is none. */
export function tailOf({ tail = Number.POSITIVE_INFINITY }: ReadOptions): number {
  if (tail === Number.POSITIVE_INFINITY || (Number.isInteger(tail) && tail >= 0)) return tail;
  throw new RangeError(`The number of lines must be a whole number from 0 on, got ${tail}`);
}

function throwFault(fault: LogFault): void {
  if (fault.kind !== "truncated" && fault.kind !== "missing") throw fault;
}
