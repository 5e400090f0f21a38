import assert from "node:assert/strict";
import { test } from "node:test";
import {
  newestFirst,
  parseLogFileName,
  withoutDuplicates,
} from "../../src/logging/read/file-names.ts";

function named(...names: string[]) {
  return names.flatMap((name) => parseLogFileName("0.log", name) ?? []);
}

test("the files of a log are told by their names", () => {
  assert.deepEqual(parseLogFileName("0.log", "0.log"), {
    name: "0.log",
    place: { kind: "current" },
    compressed: false,
  });
  assert.deepEqual(parseLogFileName("0.log", "0.log.12.gz"), {
    name: "0.log.12.gz",
    place: { kind: "numbered", number: 12 },
    compressed: true,
  });
  assert.deepEqual(parseLogFileName("0.log", "0.log.20060102-150405"), {
    name: "0.log.20060102-150405",
    place: { kind: "dated", date: "20060102-150405" },
    compressed: false,
  });
});

test("others are none", () => {
  const others = ["1.log", "0.log.tmp", "0.log.0", "0.log.01", "0.log.1.gz.tmp", "0.log.1.tmp"];
  others.push("0.log.gz", "0.log.", "x0.log", "0.log.1a", "0.log.20060102", "0.log.1.2", "0_log.1");
  assert.deepEqual(named(...others), []);
});

test("numbers count backwards, dates forwards, and the log itself is the newest", () => {
  const never = () => assert.fail("there is no need to ask");
  const order = (...names: string[]) => newestFirst(named(...names), never).map(({ name }) => name);
  assert.deepEqual(order("0.log.10.gz", "0.log.9", "0.log", "0.log.1"), [
    "0.log",
    "0.log.1",
    "0.log.9",
    "0.log.10.gz",
  ]);
  assert.deepEqual(order("0.log.20060102-150405.gz", "0.log.20060102-150406", "0.log"), [
    "0.log",
    "0.log.20060102-150406",
    "0.log.20060102-150405.gz",
  ]);
});

test("backups of both kinds are put together by time, each kind in its own order", () => {
  const times = new Map([
    ["0.log.1", 50n],
    ["0.log.2", 20n],
    ["0.log.20060102-000001", 40n],
    ["0.log.20060102-000000", 30n],
  ]);
  const files = named("0.log", ...times.keys());
  const order = newestFirst(files, ({ name }) => times.get(name) ?? 0n).map(({ name }) => name);
  assert.deepEqual(order, [
    "0.log",
    "0.log.1",
    "0.log.20060102-000001",
    "0.log.20060102-000000",
    "0.log.2",
  ]);
});

test("of a file that is there twice the uncompressed one is taken", () => {
  const names = withoutDuplicates(named("0.log", "0.log.1", "0.log.1.gz", "0.log.2.gz"));
  assert.deepEqual(
    names.map(({ name }) => name),
    ["0.log", "0.log.1", "0.log.2.gz"],
  );
});
