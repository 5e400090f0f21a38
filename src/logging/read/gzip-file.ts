import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { pipeline } from "node:stream";
import { createGunzip } from "node:zlib";
import type { Block, OpenFile } from "./open-file.ts";

/**
 * What is kept unpacked to go backwards, in bytes. For each further piece the file is unpacked from
 * its beginning once more, since gzip has no other way.
 */
const WINDOW = 8 * 1024 * 1024;

/**
 * A file of a log that is compressed by gzip. It does not change any more. Where it is damaged it
 * ends for `length` and `blockBefore`; `blocks` tells.
 */
export class GzipFile implements OpenFile {
  readonly compressed = true;
  readonly path: string;
  readonly id: string;
  readonly #fd: number;
  #length: number | undefined;
  #window: Block | undefined;

  /**
   * @param path The name that it was opened by.
   * @param fd Becomes the object's.
   */
  constructor(path: string, id: string, fd: number) {
    this.path = path;
    this.id = id;
    this.#fd = fd;
  }

  async length(): Promise<number> {
    if (this.#length === undefined) {
      this.#window = await this.#unpackWindow(Number.POSITIVE_INFINITY);
      this.#length = this.#window.offset + this.#window.bytes.length;
    }
    return this.#length;
  }

  async blockBefore(end: number): Promise<Block> {
    const kept = this.#window;
    this.#window = undefined;
    if (kept !== undefined && kept.offset < end && end <= kept.offset + kept.bytes.length) {
      return { offset: kept.offset, bytes: kept.bytes.subarray(0, end - kept.offset) };
    }
    return await this.#unpackWindow(end);
  }

  /**
   * All that is in the file, unpacked.
   *
   * @throws {Error} of zlib where it is damaged; a little of what comes before may be missing too.
   */
  async *blocks(): AsyncGenerator<Buffer, void, undefined> {
    // A descriptor of its own, which outlives this object if it has to.
    const packed = fs.createReadStream(`/proc/self/fd/${this.#fd}`);
    const unpacked = createGunzip({ chunkSize: 64 * 1024 });
    // Errors come out of the loop; the callback is only there because one is demanded.
    pipeline(packed, unpacked, () => {});
    for await (const block of unpacked) yield block as Buffer;
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  /** The newest that comes before `end`, or before the place where the file is damaged. */
  async #unpackWindow(end: number): Promise<Block> {
    const blocks: Buffer[] = [];
    let [offset, length] = [0, 0];
    const until = async () => {
      for await (const block of this.blocks()) {
        blocks.push(block);
        length += block.length;
        const surplus = blocks[0]?.length ?? 0;
        if (length - surplus >= WINDOW) {
          blocks.shift();
          offset += surplus;
          length -= surplus;
        }
        if (offset + length >= end) return;
      }
    };
    await until().catch(ignoreDamage);
    return { offset, bytes: Buffer.concat(blocks).subarray(0, end - offset) };
  }
}

/** Who reads the file forwards, which is what follows, is told. */
function ignoreDamage(error: unknown): void {
  if (!isDamage(error)) throw error;
}

/** Whether zlib says so, and not the file system. */
export function isDamage(error: unknown): boolean {
  const code = error instanceof Error && "code" in error ? error.code : undefined;
  return typeof code === "string" && code.startsWith("Z_");
}
