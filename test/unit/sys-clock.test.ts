import assert from "node:assert/strict";
import { test } from "node:test";
import * as sys from "../../src/sys/mod.ts";

test("the wall clock is the time that Date shows, to the nanosecond", () => {
  const time = { seconds: 0, nanoseconds: 0 };
  const before = Date.now();
  sys.readWallClock(time);
  const after = Date.now();
  const milliseconds = time.seconds * 1000 + Math.floor(time.nanoseconds / 1e6);
  assert.ok(milliseconds >= before - 1 && milliseconds <= after + 1, `${milliseconds} ${before}`);
  assert.ok(Number.isInteger(time.seconds) && Number.isInteger(time.nanoseconds));
  assert.ok(time.nanoseconds >= 0 && time.nanoseconds < 1e9);
});

test("the wall clock counts finer than microseconds", () => {
  const time = { seconds: 0, nanoseconds: 0 };
  const remainders = new Set<number>();
  for (let i = 0; i < 1000; i++) {
    sys.readWallClock(time);
    remainders.add(time.nanoseconds % 1000);
  }
  assert.ok(remainders.size > 1, "all times were whole microseconds");
});

test("the wall clock goes on between two readings, into the object it is given", () => {
  const first = { seconds: 0, nanoseconds: 0 };
  const second = { seconds: 0, nanoseconds: 0 };
  sys.readWallClock(first);
  const kept = { ...first };
  const end = process.hrtime.bigint() + 2_000_000n;
  while (process.hrtime.bigint() < end);
  sys.readWallClock(second);
  assert.deepEqual(first, kept);
  const passed = (second.seconds - first.seconds) * 1e9 + second.nanoseconds - first.nanoseconds;
  assert.ok(passed >= 1_000_000, `${passed} ns`);
});
