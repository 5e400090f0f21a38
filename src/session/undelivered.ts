/**
 * What a conmond that hands a session on has yet to deliver: to attach clients, and to the container's stdin. It is
 * deposited with the shim as one descriptor, however many clients there are: a pair of sockets whose one end is closed
 * and in whose other end messages wait, each with descriptors of its own. docs/protocol.md has the format.
 */
import { writeSync } from "node:fs";
import { dropPacked, type PackedBacklog } from "../attach/mod.ts";
import { readMemoryFile } from "../files/memory-file.ts";
import * as sys from "../sys/mod.ts";

const VERSION = 1;
const KIND = { client: 1, input: 2 } as const;
/** Version, kind and a number, 32 bits each. */
const MESSAGE_SIZE = 12;
/** A client's memory file and its spill file. */
const DESCRIPTORS_MAX = 2;
/** More than one client can have sent in one packet, in bytes. */
const INPUT_MAX = 1024 * 1024;

/** What has yet to be delivered; the backlogs belong to whoever has it. */
export interface Undelivered {
  /** By the client's slot. */
  readonly backlogs: Map<number, PackedBacklog>;
  /** What the container has not read yet. */
  readonly input: Uint8Array | undefined;
}

/** Closes what nobody goes on with. */
export function dropUndelivered({ backlogs }: Undelivered): void {
  for (const backlog of backlogs.values()) dropPacked(backlog);
  backlogs.clear();
}

/**
 * Packs it for the next conmond, and closes the descriptors that it came with.
 *
 * @returns the descriptor to be deposited; undefined if there is nothing
 * @throws Error when it cannot be packed
 */
export function packUndelivered(undelivered: Undelivered): number | undefined {
  const { backlogs, input } = undelivered;
  if (backlogs.size === 0 && input === undefined) return undefined;
  const [ours, theirs] = sys.unixSocketPair("seqpacket");
  try {
    for (const [slot, { memory, spill }] of backlogs) {
      send(ours, KIND.client, slot, spill === undefined ? [memory] : [memory, spill]);
    }
    if (input !== undefined) sendInput(ours, input);
    return theirs;
  } catch (error) {
    sys.close(theirs);
    throw error;
  } finally {
    sys.close(ours);
    dropUndelivered(undelivered);
  }
}

/**
 * Takes what the conmond before has left, out of a descriptor that is closed then.
 *
 * @throws Error when there is something else in it; what came before that is closed
 */
export function unpackUndelivered(fd: number): Undelivered {
  const backlogs = new Map<number, PackedBacklog>();
  let input: Uint8Array | undefined;
  try {
    for (let next = receive(fd); next !== undefined; next = receive(fd)) {
      const { kind, number, descriptors } = next;
      const [memory, spill] = descriptors;
      if (kind === KIND.client && memory !== undefined && !backlogs.has(number)) {
        backlogs.set(number, { memory, spill });
      } else if (kind === KIND.input && memory !== undefined && spill === undefined) {
        input = readInput(memory);
      } else {
        descriptors.forEach(sys.close);
        throw new Error(`a message of kind ${kind} with ${descriptors.length} descriptors`);
      }
    }
    return { backlogs, input };
  } catch (error) {
    dropUndelivered({ backlogs, input });
    throw error;
  } finally {
    sys.close(fd);
  }
}

function sendInput(fd: number, bytes: Uint8Array): void {
  const memory = sys.memoryFile("conmon-input");
  try {
    for (let at = 0; at < bytes.length; ) at += writeSync(memory, bytes, at);
    send(fd, KIND.input, 0, [memory]);
  } finally {
    sys.close(memory);
  }
}

function send(fd: number, kind: number, number: number, descriptors: number[]): void {
  const message = new Uint8Array(Uint32Array.of(VERSION, kind, number).buffer);
  if (sys.send(fd, message, 0, message.length, descriptors) < 0) {
    throw new Error("there is no room for all of it in a socket");
  }
}

function receive(fd: number) {
  const message = new Uint8Array(MESSAGE_SIZE);
  const received = sys.receiveWithDescriptors(fd, message, DESCRIPTORS_MAX);
  if (received === undefined || received.bytes === 0) return undefined;
  const { bytes, descriptors, truncated } = received;
  const [version = 0, kind = 0, number = 0] = new Uint32Array(message.buffer);
  if (bytes === MESSAGE_SIZE && !truncated && version === VERSION) {
    return { kind, number, descriptors };
  }
  descriptors.forEach(sys.close);
  throw new Error(`a message of ${bytes} bytes of version ${version}`);
}

/** Closes the file. */
function readInput(memory: number): Uint8Array {
  try {
    return readMemoryFile(memory, "input", INPUT_MAX);
  } finally {
    sys.close(memory);
  }
}
