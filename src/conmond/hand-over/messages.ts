/**
 * What two conmonds say to each other when one takes the place of the other, see docs/protocol.md. The
 * connection is one to the shims' own socket; the types begin where those of shims and conmonds end.
 */
import { endianness } from "node:os";
import { REQUEST } from "../../shim/messages.ts";

/** Both have to be of the same; nothing else about them needs to be. */
export const HAND_OVER_VERSION = 1;

const TYPE = { ask: 64, give: 65, taken: 66, decline: 67 } as const;

/** The longest message, in bytes. */
export const HAND_OVER_MAX = 4096;

export type HandOverMessage =
  /** The successor wants the socket. */
  | { readonly type: "ask"; readonly version: number }
  /** Here it is; listening socket and lock come along. `pid` is the giver's. */
  | { readonly type: "give"; readonly pid: number }
  /** The successor accepts shims from now on. */
  | { readonly type: "taken" }
  /** There will be no hand-over. `retry`: not now, but in a moment. */
  | { readonly type: "decline"; readonly retry: boolean; readonly reason: string }
  /** What a conmond says to whom it does not know: it is of another version. */
  | { readonly type: "refused"; readonly reason: string };

const LITTLE = endianness() === "LE";

function encode(fields: readonly number[], text = ""): Buffer {
  const bytes = Buffer.from(text).subarray(0, HAND_OVER_MAX - 4 * fields.length);
  const message = Buffer.alloc(4 * fields.length + bytes.length);
  const view = new DataView(message.buffer, message.byteOffset, message.length);
  fields.forEach((field, index) => {
    view.setUint32(4 * index, field, LITTLE);
  });
  message.set(bytes, 4 * fields.length);
  return message;
}

export const encodeAsk = (version: number = HAND_OVER_VERSION): Buffer =>
  encode([TYPE.ask, version]);

export const encodeGive = (pid: number): Buffer => encode([TYPE.give, pid]);

export const encodeTaken = (): Buffer => encode([TYPE.taken]);

export const encodeDecline = (retry: boolean, reason: string): Buffer =>
  encode([TYPE.decline, retry ? 1 : 0], reason);

/** The bytes that tell who has connected, see {@link isAsk}. */
export const TYPE_LENGTH = 4;

/** Whether a connection's first message, of which these are the first bytes, is a successor's. */
export function isAsk(bytes: Uint8Array): boolean {
  return field(bytes, 0) === TYPE.ask;
}

/** @throws Error for anything that is no message of these */
export function decodeHandOver(bytes: Uint8Array): HandOverMessage {
  const type = field(bytes, 0);
  const text = (from: number): string => Buffer.from(bytes.subarray(from)).toString("utf8");
  const [first] = [bytes.length >= 8 ? field(bytes, 4) : 0];
  if (type === TYPE.ask && bytes.length >= 8) return { type: "ask", version: first };
  if (type === TYPE.give && bytes.length === 8) return { type: "give", pid: first };
  if (type === TYPE.taken && bytes.length === 4) return { type: "taken" };
  if (type === TYPE.decline && bytes.length >= 8) {
    return { type: "decline", retry: first === 1, reason: text(8) };
  }
  if (type === REQUEST.refuse) return { type: "refused", reason: text(4) };
  throw new Error(
    `${bytes.length} bytes that begin with type ${type} are no message of a hand-over`,
  );
}

function field(bytes: Uint8Array, at: number): number {
  if (bytes.length < at + 4) return 0;
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength).getUint32(at, LITTLE);
}
