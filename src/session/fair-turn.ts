/** How much of a busy stream is read before the next one has its turn. */

/** All streams together in one turn of the event loop, in bytes: some milliseconds' work. */
const TURN_SIZE = 2 * 1024 * 1024;

/** What a stream gets at the least, however many there are; what a pipe usually holds. */
const LEAST_SIZE = 64 * 1024;

let turn = 0;
/** How many streams have had something to read in this turn, and in the one before. */
let streams = 0;
let streamsBefore = 0;

/** One stream's part in the turns of all. */
export class FairTurn {
  #last = -1;

  /**
   * The bytes that the stream may read in this turn. The more streams had something to read in the turn before, the
   * less each one gets, so that a single line somewhere does not wait long for its turn.
   */
  turnSize(): number {
    // In one turn of the event loop each stream is told once that there is something: who is back begins the next
    // one. A callback of the loop's own for that would cost a busy session 2 % of its time.
    if (this.#last === turn) beginTurn();
    this.#last = turn;
    streams++;
    // In the one before there may have been only a few.
    return Math.max(LEAST_SIZE, Math.floor(TURN_SIZE / Math.max(streams, streamsBefore)));
  }
}

function beginTurn(): void {
  turn++;
  streamsBefore = streams;
  streams = 0;
}
