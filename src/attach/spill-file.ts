import * as fs from "node:fs";
import { join } from "node:path";
import * as sys from "../sys/mod.ts";

/** Linux's numbers for what Node.js has no names for: they are the same on all its platforms. */
const O_TMPFILE = 0o20000000 | fs.constants.O_DIRECTORY;
const TMPFS_MAGIC = 0x01021994;
const RAMFS_MAGIC = 0x858458f6;

/** How much the file grows before the free space is looked at again, in bytes. */
const GROWTH_STEP = 16 * 1024 * 1024;

/** What of a file system stays free, since the container's log may be on it: at least a twentieth. */
const LEAST_FREE_PART = 1 / 20;
const LEAST_FREE_BYTES = 64 * 1024 * 1024;

/** The settings of a {@link SpillFile}. */
export interface SpillFileSettings {
  /**
   * Directories in which the file may be made, the best one first. One that lies on disk goes before
   * one in memory, since the file is there to save memory.
   */
  directories: readonly string[];
  /** The size of a slot in bytes. */
  slotSize: number;
  /** The most bytes that the file may have. */
  limit: number;
}

/**
 * A file without a name that holds pieces of up to one slot's size. Slots that have been released
 * are used again, so that it never grows beyond what it has to hold at one time; when the last one
 * is released, the file is closed and its space given back.
 */
export class SpillFile {
  readonly #settings: SpillFileSettings;
  #fd: number | undefined;
  #free: number[] = [];
  /** Slots that the file has, used or free. */
  #slots = 0;
  /** The size up to which the free space has been looked at. */
  #checkedSize = 0;

  constructor(settings: SpillFileSettings) {
    this.#settings = settings;
  }

  /**
   * Goes on with a file that another process has made, and owns it.
   *
   * @param used the slots in it that hold something, at least one
   * @throws Error when they cannot be in it; the descriptor stays the caller's then
   */
  static adopt(settings: SpillFileSettings, fd: number, used: readonly number[]): SpillFile {
    const file = new SpillFile(settings);
    const { size } = fs.fstatSync(fd);
    const slots = Math.ceil(size / settings.slotSize);
    const all = new Set(used);
    if (all.size === 0 || all.size < used.length || used.some((slot) => slot >= slots)) {
      throw new Error(`a spill file of ${size} bytes does not hold what is said to be in it`);
    }
    for (let slot = 0; slot < slots; slot++) if (!all.has(slot)) file.#free.push(slot);
    file.#fd = fd;
    file.#slots = slots;
    file.#checkedSize = slots * settings.slotSize;
    return file;
  }

  /** The file's descriptor, which stays this object's own; undefined if there is no file just now. */
  get fd(): number | undefined {
    return this.#fd;
  }

  /** Whether the file exists just now: it does as long as a slot is used. */
  get isOpen(): boolean {
    return this.#fd !== undefined;
  }

  /**
   * Stores the first `length` bytes of `piece`.
   *
   * @returns the number of the slot.
   * @throws Error when the file has reached its limit or the file system has too little space left;
   * a system error when no file can be made or written.
   */
  write(piece: Uint8Array, length: number): number {
    const fd = this.#fd ?? this.#open();
    const slot = this.#free.pop() ?? this.#grow(fd);
    const start = slot * this.#settings.slotSize;
    for (let done = 0; done < length; ) {
      done += fs.writeSync(fd, piece, done, length - done, start + done);
    }
    return slot;
  }

  /**
   * Fetches `length` bytes of a slot and releases it.
   *
   * @throws Error when they cannot be read.
   */
  take(slot: number, into: Uint8Array, length: number): void {
    if (this.#fd === undefined) throw new Error("no spill file is open");
    const start = slot * this.#settings.slotSize;
    for (let done = 0; done < length; ) {
      const count = fs.readSync(this.#fd, into, done, length - done, start + done);
      if (count === 0) throw new Error("the spill file is shorter than what was written to it");
      done += count;
    }
    this.#free.push(slot);
    if (this.#free.length === this.#slots) this.close();
  }

  /** Gives up the file with all that is in it. It is made anew when it is needed again. */
  close(): void {
    if (this.#fd !== undefined) fs.closeSync(this.#fd);
    this.#fd = undefined;
    this.#free = [];
    this.#slots = 0;
    this.#checkedSize = 0;
  }

  #grow(fd: number): number {
    const size = (this.#slots + 1) * this.#settings.slotSize;
    if (size > this.#settings.limit) {
      throw new Error(`the spill file has reached its limit of ${this.#settings.limit} bytes`);
    }
    if (size > this.#checkedSize) {
      const next = Math.min(this.#checkedSize + GROWTH_STEP, this.#settings.limit);
      requireSpace(fd, next - this.#checkedSize);
      this.#checkedSize = next;
    }
    return this.#slots++;
  }

  #open(): number {
    let fault: unknown = new Error("there is no directory for a spill file");
    for (const directory of diskFirst(this.#settings.directories)) {
      try {
        this.#fd = openNameless(directory);
        return this.#fd;
      } catch (error) {
        fault = error;
      }
    }
    throw fault;
  }
}

function diskFirst(directories: readonly string[]): string[] {
  const onDisk = directories.filter((directory) => !isInMemory(directory));
  return [...onDisk, ...directories.filter((directory) => !onDisk.includes(directory))];
}

function isInMemory(directory: string): boolean {
  try {
    const { type } = fs.statfsSync(directory);
    return type === TMPFS_MAGIC || type === RAMFS_MAGIC;
  } catch {
    // Whoever tries to make a file in it gets the same error and reports it.
    return true;
  }
}

function openNameless(directory: string): number {
  try {
    return fs.openSync(directory, O_TMPFILE | fs.constants.O_RDWR, 0o600);
  } catch {
    // Not every file system can do that; the rest can make a file and take its name away. If
    // something else was wrong, that fails as well and says what.
    const path = join(directory, `.attach-spill-${sys.randomName(8)}`);
    const fd = fs.openSync(path, "wx+", 0o600);
    fs.unlinkSync(path);
    return fd;
  }
}

/** Throws when the file could not grow by that much and leave enough space for others. */
function requireSpace(fd: number, growth: number): void {
  const space = fs.statfsSync(`/proc/self/fd/${fd}`);
  if (leavesEnoughSpace(space, growth)) return;
  throw new Error(`there are only ${space.bavail * space.bsize} bytes free for the spill file`);
}

/** Whether a file system with this space (as statfs tells it) can give `growth` bytes to the file. */
function leavesEnoughSpace(
  space: { bsize: number; blocks: number; bavail: number },
  growth: number,
): boolean {
  const reserve = Math.max(LEAST_FREE_BYTES, space.blocks * space.bsize * LEAST_FREE_PART);
  return space.bavail * space.bsize - growth >= reserve;
}
