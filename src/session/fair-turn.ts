/** How much of a busy stream is read before the next one has its turn. */
import { READ_SIZE } from "./transit.ts";

/** All streams together in one turn of the event loop, in bytes: some milliseconds' work. */
const TURN_SIZE = 2 * 1024 * 1024;

/** What a stream gets at the least, however many there are; what a pipe usually holds. */
const LEAST_SIZE = 64 * 1024;

let reads = 0;
let readsBefore = 0;

/**
 * The bytes that a stream may read now. The more streams had something to read in the turn before, the
 * less each one gets, so that a single line somewhere does not wait long for its turn.
 */
export function fairReadSize(): number {
  // It runs at the end of this turn, after all streams that were ready: the loop does not wake up for it.
  if (reads === 0) setImmediate(endTurn);
  reads++;
  return Math.max(
    LEAST_SIZE,
    Math.min(READ_SIZE, Math.floor(TURN_SIZE / Math.max(1, readsBefore))),
  );
}

function endTurn(): void {
  readsBefore = reads;
  reads = 0;
}
