import assert from "node:assert/strict";
import { test } from "node:test";
import { BackwardSplitter } from "../../src/logging/read/backward-splitter.ts";
import { MAX_WHOLE_RECORD } from "../../src/logging/read/raw-record.ts";
import { TailSearch } from "../../src/logging/read/tail-search.ts";

/** Records, the oldest first: `oF` is a full one of stdout, `eP` a piece of stderr, `-` not wanted. */
function searchIn(records: string, count: number, lookBack?: number) {
  const search = new TailSearch(count, lookBack);
  let distance = 0;
  for (const record of records.split(" ").reverse()) {
    if (search.isDone(distance)) break;
    distance++;
    const stream = record[0] === "o" ? "stdout" : "stderr";
    search.add(stream, record[1] === "P", record[2] !== "-", distance);
  }
  return { ...search.starts(), read: distance };
}

test("of full records the last ones are found, and one more is read to know it", () => {
  assert.deepEqual(searchIn("oF oF oF oF", 2), { stdout: 2, stderr: undefined, read: 3 });
  assert.deepEqual(searchIn("oF oF", 2), { stdout: 2, stderr: undefined, read: 2 });
  assert.deepEqual(searchIn("oF oF", 9), { stdout: 2, stderr: undefined, read: 2 });
});

test("for no lines nothing is read", () => {
  assert.deepEqual(searchIn("oF oP", 0), { stdout: undefined, stderr: undefined, read: 0 });
});

test("a line begins with its first piece", () => {
  assert.deepEqual(searchIn("oF oP oP oF", 1), { stdout: 3, stderr: undefined, read: 4 });
  assert.deepEqual(searchIn("oF oP oF oP oP", 2), { stdout: 4, stderr: undefined, read: 5 });
});

test("the pieces of the other stream are not mixed up with it", () => {
  assert.deepEqual(searchIn("eF oF oP eP oF eF", 2), { stdout: 4, stderr: 3, read: 6 });
  assert.deepEqual(searchIn("eF oF oP eP oF eF", 1), { stdout: undefined, stderr: 3, read: 6 });
});

test("lines that are not wanted are not counted", () => {
  assert.deepEqual(searchIn("oF oF oF- oF oF-", 2), { stdout: 4, stderr: undefined, read: 5 });
  assert.deepEqual(searchIn("oF- oF-", 2), { stdout: undefined, stderr: undefined, read: 2 });
  // The time of a line is that of its first piece.
  assert.deepEqual(searchIn("oF oP oF- oP- oF", 1), { stdout: 4, stderr: undefined, read: 5 });
});

test("a beginning that is far away is given up", () => {
  const records = `eP ${"oF ".repeat(50)}eF oF`;
  assert.equal(searchIn(records, 2).stderr, 53);
  assert.deepEqual(searchIn(records, 2, 10), { stdout: 1, stderr: 2, read: 12 });
  // Not while something else is looked for.
  assert.deepEqual(searchIn(records, 52, 10).stderr, 53);
});

function linesBackwards(text: string, blockSize: number): string[] {
  const bytes = Buffer.from(text);
  const found: string[] = [];
  const splitter = new BackwardSplitter((line, offset, whole, ended) => {
    found.push(`${offset}:${line}${ended ? "" : "..."}${whole ? "" : " and more"}`);
  });
  for (let end = bytes.length; end > 0; ) {
    const start = Math.max(0, end - blockSize);
    splitter.push(bytes.subarray(start, end), start);
    end = start;
  }
  return found;
}

test("lines are found backwards, whatever the blocks are", () => {
  for (let blockSize = 1; blockSize < 20; blockSize++) {
    assert.deepEqual(linesBackwards("one\n\ntwo\nthree\n", blockSize), [
      "9:three",
      "5:two",
      "4:",
      "0:one",
    ]);
    assert.deepEqual(linesBackwards("\nfour", blockSize), ["1:four...", "0:"]);
    assert.deepEqual(linesBackwards("five", blockSize), ["0:five..."]);
    assert.deepEqual(linesBackwards("\n", blockSize), ["0:"]);
    assert.deepEqual(linesBackwards("", blockSize), []);
  }
});

test("of a line that is too long only the beginning is kept", () => {
  const long = `begin${"x".repeat(MAX_WHOLE_RECORD)}`;
  const found = linesBackwards(`a\n${long}\nb\n`, 65_536);
  assert.deepEqual(
    found.map((line) => line.slice(0, 12)),
    [`${long.length + 3}:b`, "2:beginxxxxx", "0:a"],
  );
  assert.match(found[1] ?? "", /^2:beginx{251} and more$/);
});
