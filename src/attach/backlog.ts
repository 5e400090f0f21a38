import * as sys from "../sys/mod.ts";
import { decodeBacklog, encodeBacklog } from "./backlog-file.ts";
import { MAX_PACKET_SIZE } from "./packet.ts";
import { SpillFile } from "./spill-file.ts";

const LENGTH_SIZE = 2;
/** Of a chunk, in bytes. */
const CHUNK_SIZES = { least: 2 * (LENGTH_SIZE + MAX_PACKET_SIZE), most: 64 * 1024 };

/** The settings of a {@link Backlog}. */
export interface BacklogSettings {
  /** The most bytes held in memory; what is less than two chunks (33 KiB) counts as that. */
  memoryLimit: number;
  /** The most bytes held in a file. */
  spillLimit: number;
  /** Directories in which that file may be made, see SpillFile. */
  spillDirectories: readonly string[];
}

/** A backlog outside of a {@link Backlog}, as descriptors that can be sent to another process. */
export interface PackedBacklog {
  /** A memory file, see backlog-file.ts. */
  readonly memory: number;
  /** The spill file, if there is one. */
  readonly spill: number | undefined;
}

/** Closes the descriptors of one that nobody goes on with. */
export function dropPacked({ memory, spill }: PackedBacklog): void {
  sys.close(memory);
  if (spill !== undefined) sys.close(spill);
}

/** A packet in the queue: `length` bytes from `offset` in `bytes`. */
export interface QueuedPacket {
  bytes: Uint8Array;
  offset: number;
  length: number;
}

/** A piece of memory with packets from `start` to `end`, each behind its length in two bytes. */
interface Chunk {
  bytes: Uint8Array;
  start: number;
  end: number;
}

/** A chunk in the file: the slot's number, and its length in bytes. */
export interface SpilledChunk {
  readonly slot: number;
  readonly length: number;
}

/**
 * The packets that a client has not been able to take yet, first in, first out. Its memory is
 * bounded: what goes beyond that waits in a file.
 *
 * Packets are packed into chunks. New ones go into the last chunk; a full one stays in memory while
 * there is room and nothing older is in the file, and else goes there. The order is thus always:
 * `#memory`, then `#spilled`, then `#last`.
 */
export class Backlog {
  readonly #chunkSize: number;
  readonly #mostChunks: number;
  #file: SpillFile;
  #memory: Chunk[] = [];
  #spilled: SpilledChunk[] = [];
  #last: Chunk | undefined;
  /** Memory kept for the next chunk, since a client that falls behind does so again and again. */
  #spare: Uint8Array | undefined;
  #size = 0;
  readonly #front: QueuedPacket = { bytes: new Uint8Array(0), offset: 0, length: 0 };

  /** @param chunkSize bytes, where those of another process are gone on with; default: by the limit */
  constructor(settings: BacklogSettings, chunkSize = chunkSizeFor(settings)) {
    this.#chunkSize = chunkSize;
    this.#mostChunks = Math.max(2, Math.floor(settings.memoryLimit / chunkSize));
    this.#file = new SpillFile(spillSettings(settings, chunkSize));
  }

  /**
   * Goes on with what another process had packed. The descriptors are closed or belong to this object.
   *
   * @throws Error when they do not hold what a backlog is packed into
   */
  static unpack(settings: BacklogSettings, packed: PackedBacklog): Backlog {
    let { spill } = packed;
    try {
      const { chunkSize, size, chunks, spilled, last } = decodeBacklog(packed.memory, CHUNK_SIZES);
      const backlog = new Backlog(settings, chunkSize);
      if (spilled.length > 0) {
        if (spill === undefined) throw new Error("a backlog came without its spill file");
        const slots = spilled.map(({ slot }) => slot);
        backlog.#file = SpillFile.adopt(spillSettings(settings, chunkSize), spill, slots);
        spill = undefined;
      }
      const inMemory = (content: Uint8Array): Chunk => {
        const bytes = new Uint8Array(chunkSize);
        bytes.set(content);
        return { bytes, start: 0, end: content.length };
      };
      backlog.#memory = chunks.map(inMemory);
      backlog.#spilled = [...spilled];
      backlog.#last = last && inMemory(last);
      backlog.#size = size;
      return backlog;
    } finally {
      sys.close(packed.memory);
      if (spill !== undefined) sys.close(spill);
    }
  }

  /**
   * Packs it for another process, and leaves it as it is; it must not be used any more but to be closed.
   *
   * @returns descriptors that belong to the caller
   * @throws a system error
   */
  pack(): PackedBacklog {
    const memory = encodeBacklog({
      chunkSize: this.#chunkSize,
      size: this.#size,
      chunks: this.#memory.map(contentOf),
      spilled: this.#spilled,
      last: this.#last && contentOf(this.#last),
    });
    try {
      const { fd } = this.#file;
      return { memory, spill: fd === undefined ? undefined : sys.duplicate(fd) };
    } catch (error) {
      sys.close(memory);
      throw error;
    }
  }

  /** The bytes of all packets that wait. */
  get size(): number {
    return this.#size;
  }

  /** The bytes of memory that it occupies. */
  get memory(): number {
    const chunks = this.#memory.length + (this.#last ? 1 : 0) + (this.#spare ? 1 : 0);
    return chunks * this.#chunkSize;
  }

  /** Whether some of it is in a file. */
  get isSpilling(): boolean {
    return this.#file.isOpen;
  }

  /**
   * Appends a copy of the first `length` bytes of `packet`, 1 to MAX_PACKET_SIZE.
   *
   * @throws Error when memory and file are full or the file cannot be made or written; then this
   * packet is not part of the queue.
   */
  push(packet: Uint8Array, length: number): void {
    const needed = LENGTH_SIZE + length;
    if (this.#last === undefined || this.#last.end + needed > this.#chunkSize) {
      if (this.#last !== undefined) this.#store(this.#last);
      this.#last = this.#newChunk();
    }
    const { bytes, end } = this.#last;
    bytes[end] = length >> 8;
    bytes[end + 1] = length & 0xff;
    bytes.set(length === packet.length ? packet : packet.subarray(0, length), end + LENGTH_SIZE);
    this.#last.end = end + needed;
    this.#size += length;
  }

  /**
   * The oldest packet, undefined when there is none. The same object each time, valid until the next
   * call of any method.
   *
   * @throws Error when it cannot be read back from the file.
   */
  front(): QueuedPacket | undefined {
    const chunk = this.#memory[0] ?? this.#fetch();
    if (chunk === undefined) return undefined;
    this.#front.bytes = chunk.bytes;
    this.#front.offset = chunk.start + LENGTH_SIZE;
    this.#front.length = packetLength(chunk);
    return this.#front;
  }

  /** Removes the oldest packet, which `front()` has shown. */
  shift(): void {
    const chunk = this.#memory[0];
    if (chunk === undefined) throw new Error("the backlog has nothing in front");
    const length = packetLength(chunk);
    chunk.start += LENGTH_SIZE + length;
    this.#size -= length;
    if (chunk.start < chunk.end) return;
    this.#memory.shift();
    this.#spare = chunk.bytes;
  }

  /** Drops everything and gives memory and file back. */
  close(): void {
    this.#memory = [];
    this.#spilled = [];
    this.#last = undefined;
    this.#spare = undefined;
    this.#size = 0;
    this.#front.bytes = new Uint8Array(0);
    this.#file.close();
  }

  /** Puts a full chunk where it belongs. */
  #store(chunk: Chunk): void {
    if (this.#spilled.length === 0 && this.#memory.length + 1 < this.#mostChunks) {
      this.#memory.push(chunk);
      return;
    }
    const slot = this.#file.write(chunk.bytes, chunk.end);
    this.#spilled.push({ slot, length: chunk.end });
    this.#spare = chunk.bytes;
  }

  /** Brings the oldest chunk that is not in `#memory` there. */
  #fetch(): Chunk | undefined {
    let chunk = this.#last;
    const spilled = this.#spilled[0];
    if (spilled !== undefined) {
      chunk = this.#newChunk();
      this.#file.take(spilled.slot, chunk.bytes, spilled.length);
      chunk.end = spilled.length;
      this.#spilled.shift();
    } else {
      this.#last = undefined;
    }
    if (chunk !== undefined) this.#memory.push(chunk);
    return chunk;
  }

  #newChunk(): Chunk {
    const bytes = this.#spare ?? new Uint8Array(this.#chunkSize);
    this.#spare = undefined;
    return { bytes, start: 0, end: 0 };
  }
}

function chunkSizeFor({ memoryLimit }: BacklogSettings): number {
  const { least, most } = CHUNK_SIZES;
  return Math.max(least, Math.min(most, Math.floor(memoryLimit / 4)));
}

function spillSettings({ spillLimit, spillDirectories }: BacklogSettings, slotSize: number) {
  return { directories: spillDirectories, slotSize, limit: spillLimit };
}

function contentOf({ bytes, start, end }: Chunk): Uint8Array {
  return bytes.subarray(start, end);
}

function packetLength({ bytes, start }: Chunk): number {
  return ((bytes[start] ?? 0) << 8) | (bytes[start + 1] ?? 0);
}
