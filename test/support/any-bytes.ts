/** Arbitrary bytes for properties, with what hurts in them more often than chance would have it. */
import fc from "fast-check";

/** Bytes in which newlines, quotes, backslashes, zeros and pieces of UTF-8 are frequent. */
export function output(maxPieces = 20): fc.Arbitrary<Buffer> {
  const piece = fc.oneof(
    fc.constantFrom("\n", "\n\n", "\0", '"', "\\", "\\n", "€", "😀", "<6>", " ", "{", "\r\n"),
    fc.string({ unit: "binary", maxLength: 40 }),
    fc.nat(300).map((length) => "x".repeat(length)),
    fc.uint8Array({ maxLength: 40 }),
  );
  return fc
    .array(piece, { maxLength: maxPieces })
    .map((pieces) => Buffer.concat(pieces.map((some) => Buffer.from(some))));
}

/** The bytes in order, cut anywhere; the cuts come as fractions. */
export function cutAt(bytes: Buffer, cuts: readonly number[]): Buffer[] {
  const places = cuts.map((cut) => Math.floor(cut * bytes.length)).sort((a, b) => a - b);
  return [0, ...places].map((from, n) => bytes.subarray(from, places[n] ?? bytes.length));
}

/** Where to cut, for {@link cutAt}. */
export const cuts = fc.array(fc.double({ min: 0, max: 1, noNaN: true }), { maxLength: 8 });
