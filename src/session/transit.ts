/**
 * The way of the container's output from its pipe to the logs, on which nothing gets lost.
 *
 * What is read from a pipe is nowhere else any more: a conmond that is killed before it has logged it
 * would take it along. So it is moved, by the kernel, into a second pipe, which the shim holds as well; a
 * copy of that is read and logged; and only then is it thrown away. Whoever takes over finds in that
 * pipe what has perhaps not been logged, and in the journal where the logs ended before it.
 */
import { openSync } from "node:fs";
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

/**
 * Bytes taken per read at the most, and what the transit of a busy session holds. Each time the
 * container, which waits for room, has to be woken up, and that is dear; so it is twice what is then
 * copied, framed and written at a time, while it is in the processor's cache.
 */
export const READ_SIZE = 2 * INPUT_SIZE;

/** One session's. Owns the pipe. */
export class Transit {
  readonly #readEnd: number;
  readonly #writeEnd: number;
  #size: number;
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

  /** What is to be deposited with the shim; it stays this object's own. */
  get fd(): number {
    return this.#readEnd;
  }

  /** Has room for reads as large as they can be: for a container that writes much. */
  enlarge(): void {
    if (this.#size < READ_SIZE) this.#size = tryPipeSize(this.#readEnd, READ_SIZE) ?? this.#size;
  }

  /**
   * Reads once.
   *
   * @param most bytes; it may be less if the pipe is not as large
   * @param onData called once or several times, `data` is only valid during the call; when it returns,
   *   everything has been logged
   * @returns the bytes read; 0 at the end; -1 when there is nothing just now
   * @throws a system error
   */
  read(from: number, most: number, onData: (data: Uint8Array) => void): number {
    const count = sys.splice(from, this.#writeEnd, Math.min(most, this.#size, copySize()));
    if (count > 0) {
      copyOut(this.#readEnd, count, onData);
      discard(this.#readEnd, count);
    }
    return count;
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    sys.close(this.#readEnd);
    sys.close(this.#writeEnd);
  }
}

/**
 * Has what another conmond has left in its transit logged, and throws it away then. Nothing happens if there
 * is nothing.
 *
 * @param fd the transit's end to read from, which stays open
 * @param onData as for {@link Transit.read}
 */
export function emptyTransit(fd: number, onData: (data: Uint8Array) => void): void {
  const count = sys.bytesReadable(fd);
  if (count === 0) return;
  const whole: Uint8Array[] = [];
  // In one, as it was logged: only so it can be found out how much of it was.
  copyOut(fd, count, (data) => whole.push(Uint8Array.from(data)));
  onData(Buffer.concat(whole));
  discard(fd, count);
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
    // Somebody else has taken it, who should not: not a byte is waited for.
    if (moved <= 0) throw new Error(`${left} of ${count} bytes in transit have gone`);
    left -= moved;
  }
}

function theSink(): number {
  nowhere ??= openSync("/dev/null", "w");
  return nowhere;
}

/** Hands out the first `count` bytes in a pipe, piece by piece, in a buffer that all share. */
function copyOut(pipe: number, count: number, onData: (data: Uint8Array) => void): void {
  const { readEnd, writeEnd } = theCopyPipe();
  const buffer = sharedCriFramer().input;
  const copied = sys.tee(pipe, writeEnd, count);
  let left = Math.max(0, copied);
  try {
    if (copied !== count)
      throw new Error(`only ${copied} of ${count} bytes of output could be copied`);
    while (left > 0) {
      const length = fill(buffer, readEnd, Math.min(left, buffer.length));
      left -= length;
      onData(buffer.subarray(0, length));
    }
  } finally {
    // The next one must not find it there.
    if (left > 0) discard(readEnd, left);
  }
}

function fill(buffer: Buffer, pipe: number, most: number): number {
  let length = 0;
  while (length < most) length += sys.read(pipe, buffer, length, most - length);
  return length;
}

function copySize(): number {
  return Math.min(theCopyPipe().size, READ_SIZE);
}

function theCopyPipe(): CopyPipe {
  if (copyPipe === undefined) {
    const [readEnd, writeEnd] = sys.pipe();
    const size = tryPipeSize(readEnd, 2 * READ_SIZE) ?? sys.getPipeSize(readEnd);
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
