/** A stand-in for journald's end of its socket, and what it makes of the datagrams. */
import { fstatSync, readSync, rmSync } from "node:fs";
import * as sys from "../../src/sys/mod.ts";
import { inTime } from "./waiting.ts";

/** An entry's fields in order; a name may be there more than once. */
export type JournalFields = [name: string, value: string][];

const NEWLINE = 0x0a;
const EQUALS = 0x3d;

/**
 * Reads an entry in the native protocol, values as latin1.
 *
 * @throws Error for what journald would not understand
 */
export function parseEntry(bytes: Buffer): JournalFields {
  const [entry = [], ...others] = parseEntries(bytes);
  if (others.length > 0) throw new Error(`two entries in one: ${bytes.toString("latin1")}`);
  return entry;
}

/** Reads entries with empty lines in between, as `journalctl -o export` writes them. */
export function parseEntries(bytes: Buffer): JournalFields[] {
  const entries: JournalFields[] = [];
  let entry: JournalFields = [];
  for (let at = 0; at < bytes.length; ) {
    if (entry.length === 0) entries.push(entry);
    if (bytes[at] === NEWLINE) {
      entry = [];
      at++;
    } else {
      at = parseField(bytes, at, entry);
    }
  }
  return entries;
}

/** Adds a field, and returns where the next one begins. */
function parseField(bytes: Buffer, at: number, entry: JournalFields): number {
  const lineEnd = bytes.indexOf(NEWLINE, at);
  if (lineEnd < 0) throw new Error(`no end of the field at byte ${at}`);
  const equals = bytes.subarray(at, lineEnd).indexOf(EQUALS);
  if (equals === 0) throw new Error(`no name of the field at byte ${at}`);
  if (equals > 0) {
    const name = bytes.toString("latin1", at, at + equals);
    entry.push([name, bytes.toString("latin1", at + equals + 1, lineEnd)]);
    return lineEnd + 1;
  }
  const start = lineEnd + 9;
  const end = start + Number(bytes.readBigUInt64LE(lineEnd + 1));
  if (bytes[end] !== NEWLINE) throw new Error(`the value from byte ${start} on has a wrong end`);
  entry.push([bytes.toString("latin1", at, lineEnd), bytes.toString("latin1", start, end)]);
  return end + 1;
}

/** One datagram, as {@link JournalReceiver} got it. */
export interface ReceivedEntry {
  readonly fields: ReadonlyMap<string, string>;
  /** It came as a memory file. */
  readonly asFile: boolean;
}

/** A datagram socket where a sink looks for journald. It reads only when it is told to. */
export class JournalReceiver {
  readonly path: string;
  readonly entries: ReceivedEntry[] = [];
  readonly #fd: number;
  readonly #readiness: sys.Readiness;
  readonly #buffer = Buffer.alloc(1024 * 1024);
  #onEntry: () => void = () => {};
  #closed = false;

  constructor(path: string) {
    this.path = path;
    this.#fd = sys.unixSocket("dgram");
    sys.bindUnix(this.#fd, path);
    this.#readiness = new sys.Readiness(this.#fd, () => {
      this.read();
      this.#onEntry();
    });
  }

  /** The messages so far. */
  get messages(): string[] {
    return this.entries.map(({ fields }) => fields.get("MESSAGE") ?? "(none)");
  }

  /** Reads what is there. */
  read(): this {
    while (this.#readOne());
    return this;
  }

  /** Reads whatever comes from now on. */
  readOn(): void {
    this.#readiness.watch(sys.READABLE);
  }

  /** Reads until there are so many entries. */
  async until(count: number): Promise<void> {
    const enough = new Promise<void>((resolve) => {
      this.#onEntry = () => {
        if (this.entries.length >= count) resolve();
      };
    });
    this.readOn();
    this.read();
    this.#onEntry();
    await inTime(enough, () => `${count} entries; there are ${this.entries.length}`);
  }

  /** Closes the socket and removes it. */
  close(): void {
    if (this.abandon()) rmSync(this.path);
  }

  /** Closes the socket, whose name stays. Returns false if it was closed already. */
  abandon(): boolean {
    if (this.#closed) return false;
    this.#closed = true;
    this.#readiness.close();
    sys.close(this.#fd);
    return true;
  }

  #readOne(): boolean {
    const message = sys.receiveWithDescriptors(this.#fd, this.#buffer, 1);
    if (message === undefined) return false;
    const [file] = message.descriptors;
    const bytes = file === undefined ? this.#buffer.subarray(0, message.bytes) : takeFile(file);
    this.entries.push({ fields: new Map(parseEntry(bytes)), asFile: file !== undefined });
    return true;
  }
}

/** Takes only what journald would: a file that is sealed already. */
function takeFile(file: number): Buffer {
  try {
    if (!isSealed(file)) throw new Error("the memory file is not sealed");
    const bytes = Buffer.alloc(fstatSync(file).size);
    readSync(file, bytes, 0, bytes.length, 0);
    return bytes;
  } finally {
    sys.close(file);
  }
}

function isSealed(file: number): boolean {
  try {
    sys.sealMemoryFile(file);
    return false;
  } catch (error) {
    if (sys.isSystemError(error, "EPERM")) return true;
    throw error;
  }
}
