import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { constants, gunzipSync } from "node:zlib";
import type { ListedFile } from "./directory-listing.ts";
import type { PlainFile } from "./plain-file.ts";

/** More than enough to unpack the first bytes from. */
const FIRST_PART = 512;

/**
 * Finds the file that `original` has been compressed into, by what both begin with and by their
 * lengths. Of files that are the same in this, which a flood of one line makes possible, it is the one
 * that has the time of `original` as well.
 *
 * @returns its place in the list, or -1.
 */
export function findGzipTwin(original: PlainFile, listed: readonly ListedFile[]): number {
  const { head, size } = original;
  const twins = [...listed.keys()].filter((index) => {
    const candidate = listed[index];
    return candidate?.file.compressed === true && holds(candidate.path, head, size);
  });
  // Not to the nanosecond, since not all who compress files can set that.
  const time = Math.floor(original.changed);
  const sameTime = twins.find((index) => {
    const { mtimeMs } = fs.statSync(listed[index]?.path ?? "", { throwIfNoEntry: false }) ?? {};
    return mtimeMs !== undefined && Math.floor(mtimeMs) === time;
  });
  return sameTime ?? twins[0] ?? -1;
}

function holds(path: string, head: Buffer, size: number): boolean {
  const packed = readEnds(path);
  if (packed === undefined || packed.length !== size % 2 ** 32) return false;
  return packed.head.subarray(0, head.length).equals(head);
}

interface PackedEnds {
  readonly head: Buffer;
  /** Bytes in the whole file, modulo 2^32. */
  readonly length: number;
}

/** Returns `undefined` if the file is gone or is none of gzip's. */
function readEnds(path: string): PackedEnds | undefined {
  try {
    const fd = fs.openSync(path, "r");
    try {
      const first = Buffer.alloc(FIRST_PART);
      const count = fs.readSync(fd, first, 0, FIRST_PART, 0);
      const last = Buffer.alloc(4);
      fs.readSync(fd, last, 0, 4, fs.fstatSync(fd).size - 4);
      // What is missing at the end of the first part is no error then.
      const options = { finishFlush: constants.Z_SYNC_FLUSH };
      return {
        head: gunzipSync(first.subarray(0, count), options),
        length: last.readUInt32LE(),
      };
    } finally {
      fs.closeSync(fd);
    }
  } catch {
    // Then it is not the one that is looked for; who reads it is told what is wrong with it.
    return undefined;
  }
}
