/**
 * The messages between the shim and conmond as bytes, version 1.
 *
 * docs/protocol.md is the specification, native/shim/protocol.h the other side:
 * 32-bit fields in host byte order, the message type first, text (where there is
 * any) up to the end of the packet.
 */
import { endianness } from "node:os";

const PROTOCOL_VERSION = 1;

/** The longest message in bytes; what arrives cut is no message. */
export const MESSAGE_MAX = 8192;

/** The most descriptors that can go with one message to a shim. */
export const KEEP_MAX = 16;

/** The most descriptors that can come with one message: those of all slots, and the context. */
export const DESCRIPTORS_MAX = 97;

/** The processes that messages speak of. */
export type Role = "runtime" | "container" | "exit-command";

/** Whom a signal is for; `container-group` is the process group of the container process. */
export type SignalTarget = Role | "container-group";

/** How a process ended: `code` 0..255, or the number of the `signal` that killed it. */
export type Ending = { code: number } | { signal: number } | "unknown";

export type ProcessReport =
  | { state: "none" }
  | { state: "running"; pid: number }
  | { state: "ended"; pid: number; ending: Ending };

/** Slots that the shim fills by itself; conmond's own begin at `free`. */
export const SLOT = {
  syncPipe: 1,
  startPipe: 2,
  attachPipe: 3,
  stdin: 4,
  stdout: 5,
  stderr: 6,
  free: 16,
} as const;

/** The first message on every connection: who the session is and how far it got. */
export interface Hello {
  type: "hello";
  version: number;
  /** `--sync`: the shim is the very process that the caller started. */
  sync: boolean;
  /** The caller has been let go. */
  released: boolean;
  inheritedClosed: boolean;
  /** Another conmond has served this session before. */
  resumed: boolean;
  /** The shim's pid as it sees it itself. */
  shimPid: number;
  /** The process that the caller started. */
  callerPid: number;
  processes: Record<Role, ProcessReport>;
  /** The last signal that came when there was nobody to hand it to; 0: none. */
  unheededSignal: number;
  /** Slot numbers, in the order of the descriptors that follow the context's. */
  slots: number[];
}

export type ShimMessage =
  | Hello
  /** A process was started; the descriptors of `slots` come along. */
  | { type: "spawned"; role: Role; pid: number; slots: number[] }
  /** A request could not be carried out; `request` is its type's number. */
  | { type: "failed"; request: number; errno: number; text: string }
  | { type: "exited"; role: Role; pid: number; ending: Ending }
  /** The shim got a signal; without `forwardedTo` there was nobody to hand it to. */
  | { type: "signal"; signal: number; forwardedTo: Role | undefined }
  | { type: "inherited-closed" }
  /** A report has been written, now or before; or not, with the error's number. */
  | { type: "reported"; report: number; errno: number };

/** Bytes that are no message of the protocol. */
export class ProtocolError extends Error {
  override name = "ProtocolError";
}

export const REQUEST = {
  tell: 16,
  release: 17,
  spawn: 18,
  watch: 19,
  kill: 20,
  keep: 21,
  drop: 22,
  closeInherited: 23,
  exit: 24,
  refuse: 25,
  report: 26,
} as const;

const LITTLE = endianness() === "LE";
const ROLES: readonly (Role | undefined)[] = [undefined, "runtime", "container", "exit-command"];
const TARGETS: readonly SignalTarget[] = [
  "runtime",
  "container",
  "exit-command",
  "container-group",
];

/** Reads the fields of one message in turn. */
class FieldReader {
  readonly #view: DataView;
  #at = 0;

  constructor(bytes: Uint8Array) {
    this.#view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  }

  unsigned(): number {
    return this.#field().getUint32(this.#at - 4, LITTLE);
  }

  signed(): number {
    return this.#field().getInt32(this.#at - 4, LITTLE);
  }

  text(): string {
    const { buffer, byteOffset, byteLength } = this.#view;
    const text = Buffer.from(buffer, byteOffset + this.#at, byteLength - this.#at).toString("utf8");
    this.#at = byteLength;
    return text;
  }

  end(): void {
    if (this.#at !== this.#view.byteLength) {
      throw new ProtocolError(`${this.#view.byteLength - this.#at} bytes too many in a message`);
    }
  }

  #field(): DataView {
    if (this.#at + 4 > this.#view.byteLength) {
      throw new ProtocolError(`a message of ${this.#view.byteLength} bytes is too short`);
    }
    this.#at += 4;
    return this.#view;
  }
}

function role(number: number): Role {
  const found = ROLES[number];
  if (found === undefined) throw new ProtocolError(`${number} is no process role`);
  return found;
}

/** Takes apart a status as waitpid(2) gives it. */
export function decodeWaitStatus(status: number): Ending {
  const signal = status & 0x7f;
  return signal === 0 ? { code: (status >> 8) & 0xff } : { signal };
}

/** What shells and conmon make of an ending: the exit code, or 128 + signal; -1 when nobody knows. */
export function exitStatus(ending: Ending): number {
  if (ending === "unknown") return -1;
  return "code" in ending ? ending.code : 128 + ending.signal;
}

/** An ending in words, to follow the name of what ended. */
export function describeEnding(ending: Ending): string {
  if (ending === "unknown") return "ended, nobody knows how";
  return "code" in ending
    ? `failed with exit status ${ending.code}`
    : `was killed by signal ${ending.signal}`;
}

function ending(state: number, status: number): Ending {
  if (state === 2) return decodeWaitStatus(status);
  if (state === 3) return "unknown";
  throw new ProtocolError(`${state} is no state of an ended process`);
}

function readReport(fields: FieldReader): ProcessReport {
  const [state, pid, status] = [fields.unsigned(), fields.signed(), fields.signed()];
  if (state === 0) return { state: "none" };
  if (state === 1) return { state: "running", pid };
  return { state: "ended", pid, ending: ending(state, status) };
}

function readSlots(fields: FieldReader, most: number): number[] {
  const count = fields.unsigned();
  if (count > most) throw new ProtocolError(`${count} slots in one message`);
  return distinct(Array.from({ length: count }, () => fields.unsigned()));
}

/** Of two descriptors for one slot, one would be nobody's. */
function distinct(slots: number[]): number[] {
  if (new Set(slots).size === slots.length && !slots.includes(0)) return slots;
  throw new ProtocolError(`the slots of a message are not distinct: ${slots.join(", ")}`);
}

function readHello(fields: FieldReader): Hello {
  const version = fields.unsigned();
  // What follows may differ from version to version; the caller refuses those.
  if (version !== PROTOCOL_VERSION) {
    throw new ProtocolError(
      `the shim speaks version ${version} of the protocol, this conmond version ${PROTOCOL_VERSION}`,
    );
  }
  const flags = fields.unsigned();
  const hello: Hello = {
    type: "hello",
    version,
    sync: (flags & 1) !== 0,
    released: (flags & 2) !== 0,
    inheritedClosed: (flags & 4) !== 0,
    resumed: (flags & 8) !== 0,
    shimPid: fields.signed(),
    callerPid: fields.signed(),
    processes: {
      runtime: readReport(fields),
      container: readReport(fields),
      "exit-command": readReport(fields),
    },
    unheededSignal: fields.signed(),
    slots: readSlots(fields, DESCRIPTORS_MAX - 1),
  };
  return hello;
}

function readSignal(fields: FieldReader): ShimMessage {
  const [signal, forwardedTo] = [fields.signed(), fields.unsigned()];
  return {
    type: "signal",
    signal,
    forwardedTo: forwardedTo === 0 ? undefined : role(forwardedTo),
  };
}

function readSpawned(fields: FieldReader, descriptorCount: number): ShimMessage {
  const [who, pid] = [role(fields.unsigned()), fields.signed()];
  const count = fields.unsigned();
  const all = [fields.unsigned(), fields.unsigned(), fields.unsigned()];
  if (count > 3 || count !== descriptorCount) {
    throw new ProtocolError(`${descriptorCount} descriptors came for ${count} slots`);
  }
  return { type: "spawned", role: who, pid, slots: distinct(all.slice(0, count)) };
}

/**
 * Decodes one message from a shim.
 *
 * @param descriptorCount how many descriptors came along
 * @throws ProtocolError for anything that is not a message of this version
 */
export function decodeShimMessage(bytes: Uint8Array, descriptorCount: number): ShimMessage {
  const fields = new FieldReader(bytes);
  const type = fields.unsigned();
  const message = readMessage(type, fields, descriptorCount);
  fields.end();
  const expected =
    message.type === "hello"
      ? message.slots.length + 1
      : message.type === "spawned"
        ? message.slots.length
        : 0;
  if (descriptorCount !== expected) {
    throw new ProtocolError(
      `${descriptorCount} descriptors came with message ${type}, not ${expected}`,
    );
  }
  return message;
}

function readMessage(type: number, fields: FieldReader, descriptorCount: number): ShimMessage {
  switch (type) {
    case 1:
      return readHello(fields);
    case 2:
      return readSpawned(fields, descriptorCount);
    case 3:
      return {
        type: "failed",
        request: fields.unsigned(),
        errno: fields.signed(),
        text: fields.text(),
      };
    case 4: {
      const [who, state, pid, status] = [
        role(fields.unsigned()),
        fields.unsigned(),
        fields.signed(),
        fields.signed(),
      ];
      return { type: "exited", role: who, pid, ending: ending(state, status) };
    }
    case 5:
      return readSignal(fields);
    case 6:
      return { type: "inherited-closed" };
    case 7:
      return { type: "reported", report: fields.unsigned(), errno: fields.signed() };
    default:
      throw new ProtocolError(`${type} is no message type of a shim`);
  }
}

function encode(type: number, fields: readonly number[], text?: Uint8Array): Buffer {
  const message = Buffer.alloc(4 * (1 + fields.length) + (text?.length ?? 0));
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  view.setUint32(0, type, LITTLE);
  // setInt32 takes unsigned fields as well: it stores them modulo 2^32.
  fields.forEach((field, index) => {
    view.setInt32(4 * (index + 1), field, LITTLE);
  });
  if (text !== undefined) message.set(text, 4 * (1 + fields.length));
  return message;
}

/** Text for the caller's stdout or stderr, as many messages as it takes. */
export function encodeTell(stream: "stdout" | "stderr", text: string): Buffer[] {
  const bytes = Buffer.from(text, "utf8");
  const room = MESSAGE_MAX - 8;
  const messages: Buffer[] = [];
  for (let at = 0; at < bytes.length; at += room) {
    messages.push(
      encode(REQUEST.tell, [stream === "stdout" ? 1 : 2], bytes.subarray(at, at + room)),
    );
  }
  return messages;
}

/** `keepStdio`: the container gets the caller's own stdio; it is let go after the runtime's fork. */
export function encodeRelease(keepStdio: boolean): Buffer {
  return encode(REQUEST.release, [keepStdio ? 1 : 0]);
}

export interface SpawnFlags {
  pipeStdin?: boolean;
  pipeStdout?: boolean;
  pipeStderr?: boolean;
  inheritStdio?: boolean;
  /** LISTEN_PID becomes the child's pid whatever it was. */
  replaceListenPid?: boolean;
}

/** Goes with one descriptor: the memory file with the argument vector ({@link encodeArguments}). */
export function encodeSpawn(who: "runtime" | "exit-command", flags: SpawnFlags): Buffer {
  const bits =
    (flags.pipeStdin ? 1 : 0) |
    (flags.pipeStdout ? 2 : 0) |
    (flags.pipeStderr ? 4 : 0) |
    (flags.inheritStdio ? 8 : 0) |
    (flags.replaceListenPid ? 16 : 0);
  return encode(REQUEST.spawn, [ROLES.indexOf(who), bits]);
}

/** The container process; pid 0: there is none and there will be none. */
export function encodeWatch(pid: number): Buffer {
  return encode(REQUEST.watch, [pid]);
}

export function encodeKill(target: SignalTarget, signal: number): Buffer {
  return encode(REQUEST.kill, [TARGETS.indexOf(target) + 1, signal]);
}

/** Goes with the descriptors that the shim is to keep, one for each slot; {@link KEEP_MAX} at the most. */
export function encodeKeep(...slots: number[]): Buffer {
  return encode(REQUEST.keep, slots);
}

export function encodeDrop(slot: number): Buffer {
  return encode(REQUEST.drop, [slot]);
}

export function encodeCloseInherited(): Buffer {
  return encode(REQUEST.closeInherited, []);
}

/** The shim leaves with this status (0..255); before the release it is the caller's as well. */
export function encodeExit(status: number): Buffer {
  return encode(REQUEST.exit, [status]);
}

/**
 * Has something written to one of the caller's pipes, with one write. Once for each `report` (0 to 31),
 * whoever asks and however often.
 */
export function encodeReport(slot: number, report: number, bytes: Uint8Array): Buffer {
  return encode(REQUEST.report, [slot, report], bytes);
}

/** conmond will not serve this shim, which should find another one. */
export function encodeRefuse(reason: string): Buffer {
  return encode(REQUEST.refuse, [], Buffer.from(reason).subarray(0, 1024));
}

/** An argument vector as the shim reads it from a memory file: a count, then NUL-terminated strings. */
export function encodeArguments(vector: readonly Uint8Array[]): Buffer {
  const zero = Buffer.alloc(1);
  return Buffer.concat([
    encode(vector.length, []),
    ...vector.flatMap((argument) => [argument, zero]),
  ]);
}
