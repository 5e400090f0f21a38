/**
 * Entries in the native protocol of systemd's journal, as https://systemd.io/JOURNAL_NATIVE_PROTOCOL
 * describes it: one field after the other.
 */
import { Buffer } from "node:buffer";

const BEFORE_TEXT = Buffer.from("PRIORITY=6\nMESSAGE\n........");
const PRIORITY_OFFSET = "PRIORITY=".length;
const LENGTH_SIZE = 8;
const PARTIAL_FIELD = Buffer.from("CONTAINER_PARTIAL_MESSAGE=true\n");
/** What can come after the text. */
const AFTER_TEXT_ROOM = 1 + PARTIAL_FIELD.length;
const DIGIT_0 = 0x30;
const NEWLINE = 0x0a;

/**
 * A field: `NAME=value\n`; if there is a newline in the value `NAME\n`, the value's length in
 * bytes as a little-endian integer of 64 bits, the value, `\n`.
 *
 * @param name Capitals, digits and underscores. journald ignores fields whose name begins with an
 *   underscore or a digit.
 */
export function encodeField(name: string, value: string): Buffer {
  if (!value.includes("\n")) return Buffer.from(`${name}=${value}\n`);
  const bytes = Buffer.from(value);
  const length = Buffer.alloc(LENGTH_SIZE);
  length.writeBigUInt64LE(BigInt(bytes.length));
  return Buffer.concat([Buffer.from(`${name}\n`), length, bytes, Buffer.from("\n")]);
}

/** Who writes a log, as the journal's fields tell it. */
export interface JournalIdentity {
  /** The container's full ID. */
  readonly containerId: string;
  readonly containerName?: string | undefined;
  readonly tag?: string | undefined;
  /** Further fields, `NAME=VALUE`. */
  readonly labels?: readonly string[];
}

/**
 * The fields that all entries of a container have in common. SYSLOG_IDENTIFIER is the tag, or else the
 * name, or else the short ID; one that is empty counts, as it does for conmon.
 */
export function encodeIdentity(identity: JournalIdentity): Buffer {
  const { containerId, containerName, tag, labels = [] } = identity;
  const shortId = containerId.slice(0, 12);
  const fields = [
    encodeField("CONTAINER_ID_FULL", containerId),
    encodeField("CONTAINER_ID", shortId),
    encodeField("SYSLOG_IDENTIFIER", tag ?? containerName ?? shortId),
  ];
  if (containerName !== undefined) fields.push(encodeField("CONTAINER_NAME", containerName));
  if (tag !== undefined) fields.push(encodeField("CONTAINER_TAG", tag));
  for (const label of labels) {
    const equals = label.indexOf("=");
    fields.push(encodeField(label.slice(0, equals), label.slice(equals + 1)));
  }
  return Buffer.concat(fields);
}

/**
 * Assembles entries in one buffer: the common fields, which stay there from one entry to the next, the
 * priority, the message, and last the mark of a piece. The message has its length before it even
 * where it would not need to, since almost all of them end in a newline.
 *
 * @example
 * ```ts
 * const entry = new EntryBuffer();
 * entry.begin(encodeIdentity({ containerId }), 16);
 * const length = entry.bytes.write("ready\n", entry.textStart);
 * entry.finish(length, 6, false);
 * send(socket, entry.bytes, 0, entry.length);
 * ```
 */
export class EntryBuffer {
  /** The finished entry is its first {@link length} bytes. Another buffer after a `begin()`. */
  bytes = Buffer.alloc(0);
  /** Bytes of the finished entry. */
  length = 0;
  /** Where in `bytes` the text of the message goes. */
  textStart = 0;

  #common: Buffer | undefined;

  /**
   * Begins an entry.
   *
   * @param common Fields from {@link encodeIdentity}; the same object each time saves copying it.
   * @param room Bytes of the longest text that will be put at `textStart`.
   */
  begin(common: Buffer, room: number): void {
    const textStart = common.length + BEFORE_TEXT.length;
    const needed = textStart + room + AFTER_TEXT_ROOM;
    if (common === this.#common && needed <= this.bytes.length) return;
    if (needed > this.bytes.length) this.bytes = Buffer.allocUnsafeSlow(needed);
    this.#common = common;
    this.textStart = textStart;
    common.copy(this.bytes);
    BEFORE_TEXT.copy(this.bytes, common.length);
  }

  /**
   * Finishes the entry, whose text is there already.
   *
   * @param textLength Bytes.
   * @param priority 0 to 7, as syslog has them.
   * @param partial Marks the text as a piece of a line.
   */
  finish(textLength: number, priority: number, partial: boolean): void {
    const { bytes, textStart } = this;
    bytes[textStart - BEFORE_TEXT.length + PRIORITY_OFFSET] = DIGIT_0 + priority;
    bytes.writeUInt32LE(textLength, textStart - LENGTH_SIZE);
    bytes.writeUInt32LE(0, textStart - LENGTH_SIZE + 4);
    let end = textStart + textLength;
    bytes[end++] = NEWLINE;
    if (partial) end += PARTIAL_FIELD.copy(bytes, end);
    this.length = end;
  }
}
