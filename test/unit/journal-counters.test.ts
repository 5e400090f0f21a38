/** The counters in a session's journal, for those who look at it from outside. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { test } from "node:test";
import { Journal } from "../../src/session/journal.ts";
import { decodeCounters } from "../../src/session/journal-counters.ts";

const COUNTERS = { bytes: 2 ** 40 + 1, records: 7, droppedBytes: 3, writeErrors: 2, clients: 1 };
const MARK = {
  ...{ inode: 5n, size: 100, done: 3, allowance: Number.POSITIVE_INFINITY },
  ...{ renewing: true, stderrOpen: false },
};

function contentOf(journal: Journal): Buffer {
  return readFileSync(`/proc/self/fd/${journal.fd}`);
}

test("a fresh journal counts nothing", (t) => {
  const journal = Journal.create();
  t.after(() => journal.close());
  const zero = { bytes: 0, records: 0, droppedBytes: 0, writeErrors: 0, clients: 0 };
  assert.deepEqual(decodeCounters(contentOf(journal)), zero);
});

test("counters are written with the first log's next mark, and nothing else changes", (t) => {
  const journal = Journal.create();
  t.after(() => journal.close());
  journal.recordMark(1, { ...MARK, inode: 6n });
  journal.noteStartupSize(12);
  journal.consolePath = "/tmp/console";
  journal.noteCounters(COUNTERS);
  assert.equal(decodeCounters(contentOf(journal))?.bytes, 0);
  journal.recordMark(0, MARK);
  assert.deepEqual(decodeCounters(contentOf(journal)), COUNTERS);
  const adopted = Journal.adopt(journal.fd);
  assert.deepEqual(
    [
      adopted.markOf(0),
      adopted.markOf(1),
      adopted.startupSize,
      adopted.consolePath,
      adopted.counters,
    ],
    [MARK, { ...MARK, inode: 6n }, 12, "/tmp/console", COUNTERS],
  );
  // Who has adopted it writes the same.
  adopted.recordMark(0, { ...MARK, size: 101 });
  assert.deepEqual(decodeCounters(contentOf(journal)), COUNTERS);
  assert.equal(Journal.adopt(journal.fd).markOf(1)?.inode, 6n);
});

test("counters can be written at once", (t) => {
  const journal = Journal.create();
  t.after(() => journal.close());
  journal.writeCounters(COUNTERS);
  assert.deepEqual(decodeCounters(contentOf(journal)), COUNTERS);
});

test("what are no counters is told from them", () => {
  assert.equal(decodeCounters(Buffer.alloc(512, 0xff)), undefined);
});
