/**
 * What a log could not be told of its losses, as it is in the journal.
 *
 * | from byte |                                                                        |
 * | --------- | ---------------------------------------------------------------------- |
 * | 0         | records and bytes, doubles; both are 0 if nothing is lost              |
 * | 16        | when the first and the last of them were read, nanoseconds since 1970, |
 * |           | 64 bits each                                                           |
 * | 32        | why, as far as there is room                                           |
 *
 * All are little-endian.
 */
import type { UntoldLoss } from "../logging/loss-notice.ts";
import type { WallClock } from "../sys/mod.ts";

/** Bytes of one. */
export const LOSS_SIZE = 80;

const FROM_AT = 16;
const TO_AT = 24;
const REASON_AT = 32;
const SECOND = 1_000_000_000n;

/** A loss, or that there is none, in {@link LOSS_SIZE} bytes. */
export function encodeLoss(loss: UntoldLoss | undefined): Buffer {
  const bytes = Buffer.alloc(LOSS_SIZE);
  if (loss === undefined) return bytes;
  bytes.writeDoubleLE(loss.records, 0);
  bytes.writeDoubleLE(loss.bytes, 8);
  bytes.writeBigInt64LE(nanosecondsOf(loss.from), FROM_AT);
  bytes.writeBigInt64LE(nanosecondsOf(loss.to), TO_AT);
  bytes.write(loss.reason, REASON_AT);
  return bytes;
}

/** Reads one; undefined if there is none, or what there is makes no sense. */
export function decodeLoss(bytes: Buffer): UntoldLoss | undefined {
  const [records, lost] = [bytes.readDoubleLE(0), bytes.readDoubleLE(8)];
  const makesSense = [records, lost].every((count) => Number.isSafeInteger(count) && count >= 0);
  if (!makesSense || records + lost === 0) return undefined;
  const reason = bytes.subarray(REASON_AT);
  const end = reason.indexOf(0);
  return {
    records,
    bytes: lost,
    from: timeOf(bytes.readBigInt64LE(FROM_AT)),
    to: timeOf(bytes.readBigInt64LE(TO_AT)),
    // It goes into a line.
    reason: reason.toString("utf8", 0, end < 0 ? reason.length : end).replaceAll("\n", " "),
  };
}

function nanosecondsOf({ seconds, nanoseconds }: WallClock): bigint {
  // A clock that is set beyond the year 2262 has another time here, and is no reason to stop.
  return BigInt.asIntN(64, BigInt(seconds) * SECOND + BigInt(nanoseconds));
}

function timeOf(time: bigint): WallClock {
  // Division goes towards zero, but nanoseconds are never negative.
  const nanoseconds = ((time % SECOND) + SECOND) % SECOND;
  return { seconds: Number((time - nanoseconds) / SECOND), nanoseconds: Number(nanoseconds) };
}
