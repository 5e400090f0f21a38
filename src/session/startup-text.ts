/**
 * What comes on stderr while the runtime runs.
 *
 * It is the runtime's own: if it fails, this is the reason to tell, and no output of a
 * container; if not, the container's records begin with it. It must be read meanwhile,
 * or a runtime that writes more than a pipe holds would hang.
 *
 * It is held in a memory file that the shim keeps, so that a killed conmond does not take it along.
 */
import { fstatSync, ftruncateSync, readSync, writeSync } from "node:fs";
import * as sys from "../sys/mod.ts";

/**
 * Held back before it is taken for output after all, in bytes. A runtime that says so much, or a command that
 * writes so much before its runtime has ended, has it logged at once.
 */
const HELD_MAX = 1024 * 1024;
/** The end of a text that is long enough to hold the reason, in bytes. */
const TAIL_MAX = 8192;

/** Owns the memory file, which is made when there is something to hold: most runtimes say nothing. */
export class StartupText {
  #fd: number | undefined;
  readonly #onMade: (fd: number) => void;
  #heldBytes: number;
  #tail: Buffer;

  private constructor(fd: number | undefined, onMade: (fd: number) => void) {
    this.#fd = fd;
    this.#onMade = onMade;
    this.#heldBytes = fd === undefined ? 0 : Math.min(fstatSync(fd).size, HELD_MAX);
    this.#tail = this.held().subarray(-TAIL_MAX);
  }

  /** `onMade` is called with the memory file's descriptor, before anything is written to it. */
  static create(onMade: (fd: number) => void): StartupText {
    return new StartupText(undefined, onMade);
  }

  /**
   * Goes on with the file of the conmond before.
   *
   * @param size bytes of it that count; what is behind them comes again
   */
  static adopt(fd: number, size: number): StartupText {
    if (fstatSync(fd).size > size) ftruncateSync(fd, size);
    return new StartupText(fd, () => undefined);
  }

  /** The memory file; undefined as long as there is none. */
  get fd(): number | undefined {
    return this.#fd;
  }

  /** Bytes held at present. */
  get size(): number {
    return this.#heldBytes;
  }

  /** Takes `data`, which is only valid during the call. False: hand everything on first, by {@link held}. */
  add(data: Uint8Array): boolean {
    this.#tail = Buffer.concat([this.#tail, data.subarray(-TAIL_MAX)]).subarray(-TAIL_MAX);
    if (this.#heldBytes + data.length > HELD_MAX) return false;
    const fd = this.#file();
    for (let at = 0; at < data.length; ) {
      at += writeSync(fd, data, at, data.length - at, this.#heldBytes + at);
    }
    this.#heldBytes += data.length;
    return true;
  }

  /** The last bytes written, whether they are still held or not. */
  get tail(): Buffer {
    return this.#tail;
  }

  /** What is held back. */
  held(): Buffer {
    const held = Buffer.alloc(this.#heldBytes);
    if (this.#fd === undefined) return held;
    for (let at = 0; at < held.length; ) {
      const count = readSync(this.#fd, held, at, held.length - at, at);
      if (count === 0) throw new Error("what was held back of the start has become shorter");
      at += count;
    }
    return held;
  }

  /** Forgets what was held back: it is on record elsewhere. */
  drop(): void {
    this.#heldBytes = 0;
    if (this.#fd !== undefined) ftruncateSync(this.#fd, 0);
  }

  close(): void {
    if (this.#fd !== undefined) sys.close(this.#fd);
  }

  #file(): number {
    if (this.#fd === undefined) {
      this.#fd = sys.memoryFile("conmon-startup");
      this.#onMade(this.#fd);
    }
    return this.#fd;
  }
}
