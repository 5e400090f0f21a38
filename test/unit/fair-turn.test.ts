import assert from "node:assert/strict";
import { test } from "node:test";
import { FairTurn } from "../../src/session/fair-turn.ts";

const KIBIBYTE = 1024;

/** What each of the streams may read in the next turn, in which all of them have something. */
function sizesOf(streams: readonly FairTurn[]): number[] {
  return streams.map((stream) => stream.turnSize());
}

test("streams share a turn as there were streams in the one before", () => {
  const [one, ...others] = Array.from({ length: 100 }, () => new FairTurn());
  assert.ok(one);
  const four = [one, ...others.slice(0, 3)];
  sizesOf(four);
  assert.deepEqual(sizesOf(four), Array(4).fill(512 * KIBIBYTE));
  assert.equal(one.turnSize(), 512 * KIBIBYTE, "the others may have as much as before");
  assert.equal(one.turnSize(), 2048 * KIBIBYTE, "it was alone");
  sizesOf([one, ...others]);
  assert.deepEqual(sizesOf([one, ...others]), Array(100).fill(64 * KIBIBYTE), "no less than this");
});

test("whoever comes first begins a turn", () => {
  const streams = Array.from({ length: 4 }, () => new FairTurn());
  // New ones have part in the turn under way, whose it ever was; the next one is theirs.
  sizesOf(streams);
  sizesOf(streams);
  assert.deepEqual(sizesOf(streams.toReversed()), Array(4).fill(512 * KIBIBYTE));
});
