/**
 * The memory file into which a conmond that hands a session on packs the backlog of a client: numbers, then the
 * chunks that were in its memory. The numbers are 64-bit floating-point in the machine's byte order, which have room
 * for every size: the version, the size of a chunk, the bytes of all packets; how many chunks are in memory, how
 * many in the spill file; the length of the last chunk, 0 if there is none; the length of each chunk in memory;
 * slot and length of each in the spill file. Then come the chunks in memory, and the last one.
 */
import { writeSync } from "node:fs";
import { readMemoryFile } from "../files/memory-file.ts";
import * as sys from "../sys/mod.ts";
import type { SpilledChunk } from "./backlog.ts";

const VERSION = 1;
const FIXED_NUMBERS = 6;
const { BYTES_PER_ELEMENT } = Float64Array;

/** More than any backlog takes: a megabyte, and some numbers for each chunk that is spilled. */
const SIZE_MAX = 64 * 1024 * 1024;

/** What such a file holds: chunks in their order, which are those in memory, those spilled, and the last one. */
export interface BacklogContent {
  /** Bytes. */
  readonly chunkSize: number;
  /** The bytes of all packets. */
  readonly size: number;
  readonly chunks: readonly Uint8Array[];
  readonly spilled: readonly SpilledChunk[];
  readonly last: Uint8Array | undefined;
}

/**
 * Makes the file.
 *
 * @returns its descriptor
 * @throws a system error
 */
export function encodeBacklog(content: BacklogContent): number {
  const { chunkSize, size, chunks, spilled, last } = content;
  const numbers = Float64Array.from([
    ...[VERSION, chunkSize, size, chunks.length, spilled.length, last?.length ?? 0],
    ...chunks.map(({ length }) => length),
    ...spilled.flatMap(({ slot, length }) => [slot, length]),
  ]);
  const fd = sys.memoryFile("conmon-backlog");
  try {
    writeAll(fd, new Uint8Array(numbers.buffer));
    for (const chunk of chunks) writeAll(fd, chunk);
    if (last !== undefined) writeAll(fd, last);
    return fd;
  } catch (error) {
    sys.close(fd);
    throw error;
  }
}

/**
 * Reads such a file, whose descriptor stays open.
 *
 * @param chunkSizes what the size of a chunk may be, in bytes
 * @throws Error when it is none, or of another version
 */
export function decodeBacklog(
  fd: number,
  chunkSizes: { readonly least: number; readonly most: number },
): BacklogContent {
  const bytes = readMemoryFile(fd, "a backlog", SIZE_MAX);
  const numbers = numbersIn(bytes, 0, FIXED_NUMBERS);
  const [version, chunkSize = 0, size = 0, inMemory = 0, inFile = 0, lastLength = 0] = numbers;
  if (version !== VERSION) throw new Error(`a backlog of version ${version}, not ${VERSION}`);
  if (chunkSize < chunkSizes.least || chunkSize > chunkSizes.most) {
    throw new Error(`a backlog with chunks of ${chunkSize} bytes`);
  }
  const lengths = numbersIn(bytes, FIXED_NUMBERS, inMemory);
  const pairs = numbersIn(bytes, FIXED_NUMBERS + inMemory, 2 * inFile);
  const spilled: SpilledChunk[] = [];
  for (let at = 0; at < pairs.length; at += 2) {
    spilled.push({ slot: pairs[at] ?? 0, length: pairs[at + 1] ?? 0 });
  }
  const all = [...lengths, ...spilled.map(({ length }) => length)];
  if (all.some((length) => length === 0) || [...all, lastLength].some((n) => n > chunkSize)) {
    throw new Error("a backlog with chunks that are empty or too long");
  }
  let at = (FIXED_NUMBERS + inMemory + 2 * inFile) * BYTES_PER_ELEMENT;
  const take = (length: number): Uint8Array => {
    at += length;
    if (at > bytes.length) throw new Error("a backlog that is shorter than it says");
    return bytes.subarray(at - length, at);
  };
  const chunks = lengths.map(take);
  return {
    chunkSize,
    size,
    chunks,
    spilled,
    last: lastLength === 0 ? undefined : take(lastLength),
  };
}

/** Natural numbers, or 0, from the `first`-th on. */
function numbersIn(bytes: Uint8Array, first: number, count: number): number[] {
  if ((first + count) * BYTES_PER_ELEMENT > bytes.length) {
    throw new Error("a backlog that is shorter than it says");
  }
  const from = bytes.byteOffset + first * BYTES_PER_ELEMENT;
  const numbers = [...new Float64Array(bytes.buffer, from, count)];
  if (numbers.every((number) => Number.isSafeInteger(number) && number >= 0)) return numbers;
  throw new Error("a backlog with numbers in it that are none");
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at);
}
