import { Buffer } from "node:buffer";
import * as fs from "node:fs";
import { promisify } from "node:util";
import type { Block, OpenFile } from "./open-file.ts";

const read = promisify(fs.read);

/** Bytes that are read at once. */
export const BLOCK_SIZE = 256 * 1024;
/** What is read at once from the end, where one block often is enough. */
const BACKWARD_BLOCK_SIZE = 64 * 1024;
/** Enough for the first record's time in nanoseconds, which no other file has. */
const HEAD_SIZE = 64;

/** A file of a log that is not compressed, and may still be written to. */
export class PlainFile implements OpenFile {
  readonly compressed = false;
  readonly path: string;
  readonly id: string;
  readonly #fd: number;
  /** What the file begins with. */
  #head: Buffer;
  #block: Buffer | undefined;

  /**
   * @param path The name that it was opened by.
   * @param fd Becomes the object's.
   */
  constructor(path: string, id: string, fd: number) {
    this.path = path;
    this.id = id;
    this.#fd = fd;
    this.#head = this.#readHead();
  }

  /** Bytes in the file at present. */
  get size(): number {
    return fs.fstatSync(this.#fd).size;
  }

  async length(): Promise<number> {
    return this.size;
  }

  async blockBefore(end: number): Promise<Block> {
    const offset = Math.max(0, end - BACKWARD_BLOCK_SIZE);
    const bytes = Buffer.allocUnsafeSlow(end - offset);
    const count = await this.#readInto(bytes, offset);
    return { offset, bytes: bytes.subarray(0, count) };
  }

  /**
   * Reads what there is from `position` on, up to {@link BLOCK_SIZE} bytes and not beyond `end`. No
   * bytes: that is all there is. They are valid until the next call.
   */
  async read(position: number, end: number): Promise<Uint8Array> {
    this.#block ??= Buffer.allocUnsafeSlow(BLOCK_SIZE);
    const wanted = this.#block.subarray(0, Math.max(0, Math.min(BLOCK_SIZE, end - position)));
    const bytes = wanted.subarray(0, await this.#readInto(wanted, position));
    // From these very bytes, since the next look may find others.
    if (position === 0) this.#head = Buffer.from(bytes.subarray(0, HEAD_SIZE));
    return bytes;
  }

  /**
   * Where to go on if the file became shorter than `position`, or became shorter and grew again:
   * that is told by what it begins with. `undefined` if nothing of the kind happened; what was read
   * before the question is then what it seems to be.
   */
  truncation(position: number): number | undefined {
    if (position === 0) return undefined;
    const head = this.#readHead();
    const known = this.#head;
    const isSame = head.length >= known.length && head.subarray(0, known.length).equals(known);
    this.#head = head;
    if (!isSame) return 0;
    const { size } = this;
    return size < position ? size : undefined;
  }

  /** What the file begins with at present: a few bytes, up to the time of the first record. */
  get head(): Buffer {
    return this.#readHead();
  }

  /** When the file was last changed, in milliseconds since 1970. */
  get changed(): number {
    return fs.fstatSync(this.#fd).mtimeMs;
  }

  /** A path that leads to this file, whatever its name is now, as long as it is open. */
  get descriptorPath(): string {
    return `/proc/self/fd/${this.#fd}`;
  }

  close(): void {
    fs.closeSync(this.#fd);
  }

  #readHead(): Buffer {
    const head = Buffer.alloc(HEAD_SIZE);
    return head.subarray(0, fs.readSync(this.#fd, head, 0, HEAD_SIZE, 0));
  }

  async #readInto(bytes: Buffer, position: number): Promise<number> {
    if (bytes.length === 0) return 0;
    const { bytesRead } = await read(this.#fd, bytes, 0, bytes.length, position);
    return bytesRead;
  }
}
