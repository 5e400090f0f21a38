/**
 * The messages to the caller on `_OCI_SYNCPIPE` and `_OCI_ATTACHPIPE`: one JSON object and a newline
 * each, such as `{"data":4711}` or `{"pid":-1,"message":"no such bundle"}`.
 */

/** The property that carries the number. */
export type SyncKey = "data" | "pid" | "exit_code";

/** The longest message in bytes, newline included: Podman reads into a buffer of 4096 bytes. */
export const SYNC_MESSAGE_MAX = 4095;

/** Under which property callers of this API version look for the number. */
export function syncKey(apiVersion: number, exec: boolean): SyncKey {
  if (apiVersion >= 1) return "data";
  return exec ? "exit_code" : "pid";
}

/**
 * Encodes one message, to be written with one write. It is valid JSON in UTF-8 whatever `message`
 * holds (bytes that are no UTF-8 become U+FFFD), and never longer than {@link SYNC_MESSAGE_MAX}: of a
 * text too long the front is cut off, since the end of what a runtime wrote says why it failed. An
 * empty text is left out.
 *
 * @param value the pid, the exit status, or -1; an integer
 * @param message a text, or bytes as a runtime wrote them
 */
export function encodeSyncMessage(
  key: SyncKey,
  value: number,
  message: string | Uint8Array = "",
): Buffer {
  const bare = JSON.stringify({ [key]: value });
  const frame = Buffer.byteLength(`${bare.slice(0, -1)},"message":""}\n`);
  const text = longestEnd(decodeEnd(message), SYNC_MESSAGE_MAX - frame);
  return Buffer.from(`${text === "" ? bare : JSON.stringify({ [key]: value, message: text })}\n`);
}

/**
 * As much of the end of `message` as could ever fit, so that a huge text costs no more than a small
 * one. A character cut in two at its beginning does no harm: bytes never become fewer by decoding and
 * escaping, so the front of this is always cut off for want of room.
 */
function decodeEnd(message: string | Uint8Array): string {
  const bytes = typeof message === "string" ? Buffer.from(message) : message;
  return new TextDecoder("utf-8", { ignoreBOM: true }).decode(bytes.subarray(-SYNC_MESSAGE_MAX));
}

/** The longest end of `text`, in whole characters, that takes `limit` bytes or less as JSON in UTF-8. */
function longestEnd(text: string, limit: number): string {
  let start = text.length;
  let left = limit;
  for (const character of [...text].reverse()) {
    left -= Buffer.byteLength(JSON.stringify(character)) - 2;
    if (left < 0) break;
    start -= character.length;
  }
  return text.slice(start);
}
