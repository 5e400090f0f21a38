import assert from "node:assert/strict";
import { test } from "node:test";
import { OutputQueue } from "../../src/logging/output-queue.ts";
import type { StreamName } from "../../src/logging/sink.ts";

function push(queue: OutputQueue, stream: StreamName, text: string): void {
  queue.push(stream, Buffer.from(`-${text}-`), 1, 1 + text.length);
}

/** Takes all, at most `most` bytes at a time. */
function takeAll(queue: OutputQueue, most = Number.POSITIVE_INFINITY): string[] {
  const taken: string[] = [];
  for (let front = queue.front(); front !== undefined; front = queue.front()) {
    const end = Math.min(front.end, front.start + most);
    taken.push(`${front.stream} ${Buffer.from(front.bytes).toString("latin1", front.start, end)}`);
    queue.take(end - front.start);
  }
  return taken;
}

test("output comes back in order, joined where it is of one stream", () => {
  const queue = new OutputQueue(1000);
  push(queue, "stdout", "ab");
  push(queue, "stdout", "c");
  push(queue, "stderr", "d");
  push(queue, "stdout", "e");
  assert.equal(queue.size, 5);
  assert.deepEqual(takeAll(queue), ["stdout abc", "stderr d", "stdout e"]);
  assert.ok(queue.isEmpty);
  assert.equal(queue.size, 0);
});

test("the end of a stream has its place, and what comes later is not joined to what was before", () => {
  const queue = new OutputQueue(1000);
  push(queue, "stdout", "a");
  queue.pushEnd("stdout");
  push(queue, "stdout", "b");
  queue.pushEnd("stderr");
  assert.deepEqual(takeAll(queue), ["stdout a", "stdout ", "stdout b", "stderr "]);
});

test("it can be taken in parts while more comes", () => {
  const queue = new OutputQueue(1000);
  push(queue, "stdout", "abc");
  queue.take(2);
  push(queue, "stdout", "def");
  assert.deepEqual(takeAll(queue, 2), ["stdout cd", "stdout ef"]);
});

test("it holds no more than its limit, and as much again when that is taken", () => {
  const queue = new OutputQueue(100);
  const fill = (): string[] => {
    const pushed: string[] = [];
    for (let n = 0; queue.fits(8); n++) {
      const stream = n % 2 === 0 ? "stdout" : "stderr";
      const text = String(n).padStart(8, ".");
      push(queue, stream, text);
      pushed.push(`${stream} ${text}`);
    }
    return pushed;
  };
  const first = fill();
  assert.equal(first.length, 7);
  assert.throws(() => push(queue, "stdout", "12345678"), /does not fit/);
  assert.deepEqual(takeAll(queue), first);
  // In mid-use as well: the memory in front is used again.
  const second = fill();
  queue.take(8);
  queue.take(8);
  push(queue, "stdout", "xxxxxxxx");
  assert.deepEqual(takeAll(queue), [...second.slice(2, -1), `${second.at(-1)}xxxxxxxx`]);
});

test("memory is free again as soon as a part of a segment is taken", () => {
  const queue = new OutputQueue(105);
  push(queue, "stdout", "x".repeat(95));
  for (let n = 0; n < 50; n++) {
    assert.equal(queue.fits(1), false);
    queue.take(7);
    assert.ok(queue.fits(7));
    push(queue, "stdout", "1234567");
  }
  assert.deepEqual(takeAll(queue), [`stdout ${"1234567".repeat(14).slice(3)}`]);
});

test("the largest output fits into an empty queue", () => {
  const queue = new OutputQueue(200_000);
  const text = "x".repeat(queue.largest);
  push(queue, "stderr", text);
  assert.deepEqual(takeAll(queue), [`stderr ${text}`]);
  assert.equal(queue.fits(queue.largest + 1), false);
});
