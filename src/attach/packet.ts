/**
 * The packets an attached client receives: one byte that names the stream (2 for stdout, 3 for
 * stderr), then 1 to 8192 bytes of what the container wrote. Clients read into a buffer of 8193
 * bytes, so that anything longer would be cut without a word.
 */

/** The stream of the container that a piece of output came from. */
export type OutputStream = "stdout" | "stderr";

/** The most bytes of output that one packet carries. */
export const MAX_PACKET_DATA = 8192;

/** The size in bytes of the longest packet, its first byte included. */
export const MAX_PACKET_SIZE = 1 + MAX_PACKET_DATA;

const STDOUT_MARK = 2;
const STDERR_MARK = 3;

/**
 * Fills `packet`, of at least {@link MAX_PACKET_SIZE} bytes, with the piece of `data` that begins at
 * `offset` and returns the packet's length in bytes. The next piece begins
 * {@link MAX_PACKET_DATA} bytes later. One buffer can serve all packets.
 */
export function fillPacket(
  packet: Uint8Array,
  stream: OutputStream,
  data: Uint8Array,
  offset: number,
): number {
  const end = Math.min(offset + MAX_PACKET_DATA, data.length);
  packet[0] = stream === "stdout" ? STDOUT_MARK : STDERR_MARK;
  packet.set(data.subarray(offset, end), 1);
  return 1 + end - offset;
}

/** What a client finds in a packet; `data` is a view of the packet's own bytes. */
export interface Packet {
  stream: OutputStream;
  data: Uint8Array;
}

/**
 * Takes a received packet apart: what clients of the attach socket do.
 *
 * @throws Error when the packet has no data or its first byte names no stream.
 */
export function readPacket(packet: Uint8Array): Packet {
  const [mark] = packet;
  if (packet.length < 2) throw new Error(`an attach packet of ${packet.length} bytes has no data`);
  if (mark !== STDOUT_MARK && mark !== STDERR_MARK) {
    throw new Error(`an attach packet begins with ${mark}, which names no stream`);
  }
  return { stream: mark === STDOUT_MARK ? "stdout" : "stderr", data: packet.subarray(1) };
}
