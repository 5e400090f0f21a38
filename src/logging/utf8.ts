/**
 * Looks at the character of UTF-8 that begins at `at`, before `end`. What is no character is divided
 * as the Encoding Standard's decoder (TextDecoder, Buffer.toString) does it, for which one U+FFFD stands
 * for each part.
 *
 * @returns its bytes, 1 to 4; the negative number of bytes, 1 to 3, that together are none; or 0 for the
 *   beginning of one that may go on behind `end`.
 */
export function characterLength(source: DataView, at: number, end: number): number {
  const first = source.getUint8(at);
  if (first < 0x80) return 1;
  const length = first < 0xc2 ? 0 : first < 0xe0 ? 2 : first < 0xf0 ? 3 : first < 0xf5 ? 4 : 0;
  if (length === 0) return -1;
  for (let known = 1; known < length; known++) {
    if (at + known === end) return 0;
    const byte = source.getUint8(at + known);
    const isFirst = known === 1;
    // Overlong forms, surrogates and what is beyond U+10FFFF show in the second byte.
    const least = isFirst && first === 0xe0 ? 0xa0 : isFirst && first === 0xf0 ? 0x90 : 0x80;
    const most = isFirst && first === 0xed ? 0x9f : isFirst && first === 0xf4 ? 0x8f : 0xbf;
    if (byte < least || byte > most) return -known;
  }
  return length;
}
