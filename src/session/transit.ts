/**
 * The way of the container's output from its pipe to the logs, on which nothing gets lost.
 *
 * What is read from a pipe is nowhere else any more: a conmond that is killed before it has logged it
 * would take it along. So it is moved, by the kernel, into a second pipe, which the shim holds as well; a
 * copy of that is read and logged; and only then is it thrown away. Whoever takes over finds in that
 * pipe what has perhaps not been logged, and in the journal where the logs ended before it. A piece that a log
 * cannot take yet stays there as long as that lasts, and nothing comes after it.
 */
import { constants, openSync } from "node:fs";
import { INPUT_SIZE, sharedCriFramer } from "../logging/cri-framing.ts";
import * as sys from "../sys/mod.ts";

/** Through which the copies go, one for all of the process: it is empty between any two uses. */
interface CopyPipe {
  readonly readEnd: number;
  readonly writeEnd: number;
  readonly size: number;
}

let copyPipe: CopyPipe | undefined;
let nowhere: number | undefined;

/** Larger than this is the transit of no session, in bytes: half of what a pipe may have. */
const MOST_SIZE = 2 * INPUT_SIZE;

/** One session's. Owns the pipe. */
export class Transit {
  readonly #readEnd: number;
  readonly #writeEnd: number;
  #size: number;
  /** Bytes of a piece that stays. */
  #held = 0;
  #closed = false;

  private constructor(readEnd: number, writeEnd: number) {
    this.#readEnd = readEnd;
    this.#writeEnd = writeEnd;
    this.#size = sys.getPipeSize(readEnd);
  }

  /** @throws a system error when no pipe can be had */
  static create(): Transit {
    return new Transit(...sys.pipe());
  }

  /**
   * Goes on with that of another process, which has perhaps left a piece there: see {@link resume}.
   *
   * @param readEnd becomes this object's own
   * @throws a system error when it cannot be opened for writing; it then remains the caller's
   */
  static adopt(readEnd: number): Transit {
    const { O_WRONLY, O_NONBLOCK } = constants;
    return new Transit(readEnd, openSync(`/proc/self/fd/${readEnd}`, O_WRONLY | O_NONBLOCK));
  }

  /** What is to be deposited with the shim; it stays this object's own. */
  get fd(): number {
    return this.#readEnd;
  }

  /** Has room for reads as large as they can be: for a container that writes much. */
  enlarge(): void {
    if (this.#size < MOST_SIZE) this.#size = tryPipeSize(this.#readEnd, MOST_SIZE) ?? this.#size;
  }

  /** A piece stays until {@link release}: nothing can be read. */
  get holds(): boolean {
    return this.#held > 0;
  }

  /**
   * Reads once.
   *
   * @param most bytes; it may be less if the pipe is not as large
   * @param onData takes a piece, which is only valid during the call. False: it has not been logged yet, and is
   *   to stay
   * @returns the bytes read; 0 at the end; -1 when there is nothing just now, or while a piece stays
   * @throws a system error
   */
  read(from: number, most: number, onData: (data: Uint8Array) => boolean): number {
    if (this.#held > 0) return -1;
    const count = sys.splice(from, this.#writeEnd, Math.min(most, this.#size, copySize()));
    if (count > 0) this.#pass(count, onData);
    return count;
  }

  /** Has what another process has left there logged; nothing happens if there is nothing. As {@link read}. */
  resume(onData: (data: Uint8Array) => boolean): void {
    const count = sys.bytesReadable(this.#readEnd);
    if (count > 0) this.#pass(count, onData);
  }

  /** The piece that stays has been logged. */
  release(): void {
    if (this.#held > 0) discard(this.#readEnd, this.#held);
    this.#held = 0;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    sys.close(this.#readEnd);
    sys.close(this.#writeEnd);
  }

  #pass(count: number, onData: (data: Uint8Array) => boolean): void {
    if (onData(peek(this.#readEnd, count))) discard(this.#readEnd, count);
    else this.#held = count;
  }
}

/**
 * Opens what all sessions share: so a conmond that is to serve many has it even when descriptors become few.
 *
 * @throws a system error
 */
export function prepareTransits(): void {
  theCopyPipe();
  theSink();
}

function discard(pipe: number, count: number): void {
  for (let left = count; left > 0; ) left -= sys.splice(pipe, theSink(), left);
}

function theSink(): number {
  nowhere ??= openSync("/dev/null", "w");
  return nowhere;
}

/** A copy of the first `count` bytes in a pipe, in a buffer that all share. */
function peek(pipe: number, count: number): Buffer {
  const { readEnd, writeEnd } = theCopyPipe();
  const buffer = sharedCriFramer().input;
  const copied = sys.tee(pipe, writeEnd, count);
  let length = 0;
  while (length < copied) length += sys.read(readEnd, buffer, length, copied - length);
  if (copied !== count)
    throw new Error(`only ${copied} of ${count} bytes of output could be copied`);
  return buffer.subarray(0, count);
}

function copySize(): number {
  return Math.min(theCopyPipe().size, INPUT_SIZE);
}

function theCopyPipe(): CopyPipe {
  if (copyPipe === undefined) {
    const [readEnd, writeEnd] = sys.pipe();
    const size = tryPipeSize(readEnd, 2 * MOST_SIZE) ?? sys.getPipeSize(readEnd);
    copyPipe = { readEnd, writeEnd, size };
  }
  return copyPipe;
}

/** The size that the pipe has now, undefined if it is not allowed: then it works as it is. */
function tryPipeSize(pipe: number, bytes: number): number | undefined {
  try {
    return sys.setPipeSize(pipe, bytes);
  } catch {
    return undefined;
  }
}
