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
import { sharedCriFramer } from "../logging/cri-framing.ts";
import * as sys from "../sys/mod.ts";

/** Through which the copies go, one for all of the process: it is empty between any two uses. */
interface CopyPipe {
  readonly readEnd: number;
  readonly writeEnd: number;
  readonly size: number;
}

let copyPipe: CopyPipe | undefined;
let nowhere: number | undefined;

/**
 * Bytes taken per read at the most, and what the transit of a busy session holds. Each time the
 * container, which waits for room, has to be woken up, and that is dear; so it is all that its pipe can hold, and more
 * than is then copied, framed and written at a time, while it is in the processor's cache.
 */
export const READ_SIZE = 1024 * 1024;

type OnData = (data: Uint8Array) => void;

/** Takes a piece of output, which is only valid during the call; false: it has to stay in the transit. */
export type OnPiece = (data: Uint8Array) => boolean;

/**
 * Takes output out of a pipe by itself, up to so many bytes, and logs it.
 *
 * @returns how many it has taken; 0: it is to be handed out
 */
export type OnCopy = (pipe: number, count: number) => number;

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
   * @throws a system error when it cannot be opened for writing; then it has been closed
   */
  static adopt(readEnd: number): Transit {
    const { O_WRONLY, O_NONBLOCK } = constants;
    try {
      return new Transit(readEnd, openSync(`/proc/self/fd/${readEnd}`, O_WRONLY | O_NONBLOCK));
    } catch (error) {
      sys.close(readEnd);
      throw error;
    }
  }

  /** What is to be deposited with the shim; it stays this object's own. */
  get fd(): number {
    return this.#readEnd;
  }

  /** Has room for reads as large as they can be: for a container that writes much. */
  enlarge(): void {
    if (this.#size < READ_SIZE) this.#size = tryPipeSize(this.#readEnd, READ_SIZE) ?? this.#size;
  }

  /** A piece stays until {@link release}: nothing can be read. */
  get holds(): boolean {
    return this.#held > 0;
  }

  /**
   * Reads once.
   *
   * @param most bytes; it may be less if the pipe is not as large
   * @param onData takes the output in one or several pieces, each only valid during the call. What it answers to
   *   the last of them counts for all. False: it has not been logged yet, and is to stay
   * @param onCopy is asked first, before each piece; what it takes has been logged
   * @returns the bytes read; 0 at the end; -1 when there is nothing just now, or while something stays
   * @throws a system error
   */
  read(from: number, most: number, onData: OnPiece, onCopy?: OnCopy): number {
    if (this.#held > 0) return -1;
    const count = sys.splice(from, this.#writeEnd, Math.min(most, this.#size, copySize()));
    if (count > 0) this.#pass(count, onData, onCopy);
    return count;
  }

  /**
   * Has what another process has left there logged; nothing happens if there is nothing. As {@link read}, but in
   * one piece: how much of it was logged can only be found out for all of it.
   */
  resume(onData: OnPiece): void {
    const count = sys.bytesReadable(this.#readEnd);
    if (count === 0) return;
    const whole: Uint8Array[] = [];
    const add = (data: Uint8Array): void => {
      whole.push(Uint8Array.from(data));
    };
    const copied = copyOut(this.#readEnd, count, add);
    if (!copied) this.#takeOut(count, add);
    const logged = onData(Buffer.concat(whole));
    if (copied) this.#settle(count, logged);
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

  #pass(count: number, onData: OnPiece, onCopy: OnCopy | undefined): void {
    let logged = true;
    const take = (data: Uint8Array): void => {
      logged = onData(data);
    };
    if (copyOut(this.#readEnd, count, take, onCopy)) this.#settle(count, logged);
    else this.#takeOut(count, take);
  }

  #settle(count: number, logged: boolean): void {
    if (logged) discard(this.#readEnd, count);
    else this.#held = count;
  }

  /**
   * Without a copy, for a user who may not have more in pipes: who is killed before it is logged loses it. To stop
   * would be worse, since nobody could go on.
   */
  #takeOut(count: number, onData: OnData): void {
    for (let left = count; left > 0; ) {
      const data = fill(this.#readEnd, left);
      left -= data.length;
      onData(data);
    }
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
  for (let left = count; left > 0; ) {
    const moved = sys.splice(pipe, theSink(), left);
    if (moved <= 0) throw goneFrom(left, count);
    left -= moved;
  }
}

/** Somebody else has taken them, who should not: they are not waited for. */
function goneFrom(missing: number, count: number): Error {
  return new Error(`${missing} of ${count} bytes in transit have gone`);
}

function theSink(): number {
  nowhere ??= openSync("/dev/null", "w");
  return nowhere;
}

/**
 * Hands out the first `count` bytes in a pipe, piece by piece, in a buffer that all share, and leaves them there.
 *
 * @returns false if not all of them can be copied: then nothing has been handed out
 */
function copyOut(pipe: number, count: number, onData: OnData, onCopy?: OnCopy): boolean {
  const { readEnd, writeEnd } = theCopyPipe();
  let left = Math.max(0, sys.tee(pipe, writeEnd, count));
  try {
    if (left < count) return false;
    while (left > 0) {
      const taken = onCopy?.(readEnd, left) ?? 0;
      left -= taken;
      if (taken > 0) continue;
      const data = fill(readEnd, left);
      left -= data.length;
      onData(data);
    }
    return true;
  } finally {
    // The next one must not find it there.
    if (left > 0) discard(readEnd, left);
  }
}

/** Reads up to so many bytes, which are there, into a buffer that all share. */
function fill(pipe: number, most: number): Buffer {
  const { input } = sharedCriFramer();
  const size = Math.min(most, input.length);
  for (let at = 0; at < size; ) {
    const count = sys.read(pipe, input, at, size - at);
    if (count <= 0) throw goneFrom(size - at, size);
    at += count;
  }
  return size === input.length ? input : input.subarray(0, size);
}

function copySize(): number {
  return Math.min(theCopyPipe().size, READ_SIZE);
}

function theCopyPipe(): CopyPipe {
  if (copyPipe === undefined) {
    const [readEnd, writeEnd] = sys.pipe();
    const size = tryPipeSize(readEnd, READ_SIZE) ?? sys.getPipeSize(readEnd);
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
