import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CriFormatError,
  parseCriRecord,
  readCriRecords,
  readOutput,
} from "../../src/logging/read/cri-records.ts";

const TIME = "2026-11-24T04:13:35.000000001+01:00";

function log(...records: string[]): Buffer {
  return Buffer.from(records.map((record) => `${TIME} ${record}`).join(""), "latin1");
}

test("a record is taken apart", () => {
  const [record] = readCriRecords(log("stderr P \xff a  b \n"));
  assert.deepEqual(record, {
    timestamp: TIME,
    stream: "stderr",
    partial: true,
    payload: Buffer.from("\xff a  b ", "latin1"),
  });
});

test("further tags behind a colon are accepted", () => {
  assert.equal(parseCriRecord(Buffer.from(`${TIME} stdout P:x:y text`))?.partial, true);
  assert.equal(parseCriRecord(Buffer.from(`${TIME} stdout F:x text`))?.partial, false);
});

test("a stream is put together without the other", () => {
  const bytes = log("stdout P a\n", "stderr F E\n", "stdout F b\n", "stdout F \n", "stdout P c\n");
  assert.equal(readOutput(bytes, "stdout").toString(), "ab\n\nc");
  assert.equal(readOutput(bytes, "stderr").toString(), "E\n");
});

test("a last line that is torn anywhere is left out", () => {
  const whole = log("stdout F one\n");
  const torn = log("stderr F two\n");
  for (let length = 0; length < torn.length; length++) {
    const bytes = Buffer.concat([whole, torn.subarray(0, length)]);
    assert.equal(readOutput(bytes, "stdout").toString(), "one\n");
    assert.equal(readOutput(bytes, "stderr").length, 0);
  }
  assert.deepEqual([...readCriRecords(Buffer.alloc(0))], []);
});

test("a line that is no record is an error that says where", () => {
  const first = log("stdout F one\n");
  const bad = ["\n", "hello\n", `${TIME} stdin F x\n`, `${TIME} stdout X y\n`, " stdout F x\n"];
  for (const line of [...bad, `${TIME} stdout F\n`]) {
    assert.throws(
      () => [...readCriRecords(Buffer.concat([first, Buffer.from(line)]))],
      (error) => error instanceof CriFormatError && error.offset === first.length,
      line,
    );
  }
});
