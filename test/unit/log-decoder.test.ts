import assert from "node:assert/strict";
import { test } from "node:test";
import { LineJoiner } from "../../src/logging/read/line-joiner.ts";
import { type DecoderOptions, LogDecoder } from "../../src/logging/read/log-decoder.ts";
import type { LogFault, LogLine, Timestamp } from "../../src/logging/read/log-line.ts";
import { MAX_WHOLE_RECORD } from "../../src/logging/read/raw-record.ts";

const TIME = "2026-11-24T04:13:35.000000001+01:00";
const AT: Timestamp = { text: TIME, time: { seconds: 1, nanoseconds: 2 } };

function cri(...records: string[]): string {
  return records.map((record) => `${TIME} ${record}\n`).join("");
}

function json(log: string, stream = "stdout"): string {
  return `${JSON.stringify({ log, stream, time: "2026-11-24T03:13:35.000000001Z" })}\n`;
}

function show({ stream, text, complete }: LogLine): string {
  return `${stream} ${text}${complete ? "" : "..."}`;
}

/** What comes out of a log that is given in blocks of a size. */
function decode(text: string, options: Partial<DecoderOptions> & { size?: number } = {}) {
  const { size = 1e9, ...rest } = options;
  const faults: LogFault[] = [];
  const decoder = new LogDecoder({ onFault: (fault) => faults.push(fault), ...rest });
  const bytes = Buffer.from(text, "latin1");
  const block = Buffer.alloc(Math.min(size, bytes.length));
  decoder.beginFile("0.log");
  const lines: LogLine[] = [];
  for (let at = 0; at < bytes.length; at += size) {
    // Always the same memory, as a file is read.
    const count = bytes.copy(block, 0, at, at + size);
    lines.push(...decoder.push(block.subarray(0, count)));
  }
  lines.push(...decoder.finish(true));
  return { lines: lines.map(show), raw: lines, faults };
}

test("lines are put together per stream, unfinished ones last, whatever the blocks are", () => {
  const log = cri(
    ...["stdout P a", "stderr P E", "stdout F b", "stdout F ", "stderr F "],
    ...["stderr P x", "stdout P c"],
  );
  for (const size of [1, 2, 3, 7, 45, 46, 47, 100, 1000]) {
    const { lines, faults } = decode(log, { size });
    assert.deepEqual(lines, ["stdout ab", "stdout ", "stderr E", "stdout c...", "stderr x..."]);
    assert.deepEqual(faults, []);
  }
});

test("a log in Docker's format gives the same", () => {
  const log =
    json("a") + json("E", "stderr") + json("b\n") + json("\n") + json("\n", "stderr") + json("c");
  for (const size of [1, 50, 1000]) {
    const { lines, raw, faults } = decode(log, { size });
    assert.deepEqual(lines, ["stdout ab", "stdout ", "stderr E", "stdout c..."]);
    assert.deepEqual(faults, []);
    assert.equal(raw[0]?.timestamp, "2026-11-24T03:13:35.000000001Z");
    assert.deepEqual(raw[0]?.time, { seconds: 1795490015, nanoseconds: 1 });
  }
});

test("attributes are not looked at, and escapes are undone", () => {
  const line = `{"log":"\\u00e4\\"\\u003c\\t\\n","stream":"stderr","attrs":{"a":"b"},"time":"2026-11-24T03:13:35Z"}\n`;
  const { raw } = decode(line);
  assert.equal(raw[0]?.text.toString(), 'ä"<\t');
  assert.equal(raw[0]?.stream, "stderr");
});

test("a line has the time of its first piece", () => {
  const log = "2026-11-24T00:00:01Z stdout P a\n2026-11-24T00:00:02Z stdout F b\n";
  const { raw } = decode(`${log}2026-11-24T00:00:03Z stdout F c\n`);
  const times = raw.map(({ timestamp }) => timestamp);
  assert.deepEqual(times, ["2026-11-24T00:00:01Z", "2026-11-24T00:00:03Z"]);
  assert.equal(raw[1]?.time.seconds, Date.parse("2026-11-24T00:00:03Z") / 1000);
});

test("bytes that are no text stay as they are", () => {
  const { raw } = decode(cri("stdout F \xff\x00\xfe"));
  assert.deepEqual(raw[0]?.text, Buffer.from([0xff, 0, 0xfe]));
});

test("a line beyond the limit is delivered in pieces of that size", () => {
  const log = cri(
    "stdout P abc",
    "stdout P defgh",
    "stderr F E",
    "stdout F i",
    "stdout F 12345678",
  );
  const expected = ["stdout abcd...", "stderr E", "stdout efgh...", "stdout i"];
  const { lines, raw } = decode(log, { maxLine: 4, size: 5 });
  assert.deepEqual(lines, [...expected, "stdout 1234...", "stdout 5678"]);
  assert.ok(raw.every(({ timestamp }) => timestamp === TIME));
});

test("a line of just the limit is no piece", () => {
  const log = cri("stdout P ab", "stdout P cd", "stdout F ", "stdout F abcd");
  assert.deepEqual(decode(log, { maxLine: 4 }).lines, ["stdout abcd", "stdout abcd"]);
});

test("a limit that is none is refused", () => {
  for (const maxLine of [0, -1, 1.5, Number.NaN]) {
    assert.throws(() => new LogDecoder({ maxLine, onFault: assert.fail }), RangeError);
  }
});

test("only one stream, only a time", () => {
  const log = [1, 2, 3, 4].map((second) => {
    const stream = second % 2 === 0 ? "stdout" : "stderr";
    return `2026-11-24T00:00:00.00000000${second}Z ${stream} F ${second}\n`;
  });
  const at = (nanoseconds: number) => ({
    seconds: Date.parse("2026-11-24T00:00:00Z") / 1000,
    nanoseconds,
  });
  assert.deepEqual(decode(log.join(""), { stream: "stdout" }).lines, ["stdout 2", "stdout 4"]);
  assert.deepEqual(decode(log.join(""), { since: at(3) }).lines, ["stderr 3", "stdout 4"]);
  assert.deepEqual(decode(log.join(""), { until: at(2) }).lines, ["stderr 1", "stdout 2"]);
  assert.deepEqual(decode(log.join(""), { since: at(2), until: at(2) }).lines, ["stdout 2"]);
});

test("the time of a long line's first piece decides about all of it", () => {
  const log = "2026-11-24T00:00:01Z stdout P abcdef\n2026-11-24T00:00:05Z stdout F ghi\n";
  const since = { seconds: Date.parse("2026-11-24T00:00:02Z") / 1000, nanoseconds: 0 };
  assert.deepEqual(decode(log, { since, maxLine: 4 }).lines, []);
  assert.deepEqual(decode(log, { until: since, maxLine: 4 }).lines, [
    "stdout abcd...",
    "stdout efgh...",
    "stdout i",
  ]);
});

test("a line that is no record is told with its place and skipped", () => {
  const bad = ["", "hello", `${TIME} stdin F x`, `${TIME} stdout X y`, `${TIME} stdout F`];
  bad.push(" stdout F x", "yesterday stdout F x", '{"log":"x"}', "{", "[]", '{"log":1}', "null");
  bad.push('{"log":"x","stream":"stdout","time":"yesterday"}');
  const first = cri("stdout P one");
  for (const line of bad) {
    for (const size of [10, 1000]) {
      const { lines, faults } = decode(`${first}${line}\n${cri("stdout F two")}`, { size });
      assert.deepEqual(lines, ["stdout onetwo"], line);
      assert.equal(faults.length, 1);
      assert.equal(faults[0]?.kind, "malformed");
      assert.equal(faults[0]?.offset, first.length);
      assert.equal(faults[0]?.file, "0.log");
      const start = `0.log, byte ${first.length}: no record of a log: ${JSON.stringify(line)}`;
      assert.ok(faults[0]?.message.startsWith(start.slice(0, 80)), faults[0]?.message);
    }
  }
});

test("a torn record is delivered or skipped at the end of the log", () => {
  const header = `${TIME} stderr F `;
  const text = `${cri("stderr P one")}${header}tw`;
  assert.deepEqual(decode(text).lines, ["stderr onetw..."]);
  for (const torn of [header.slice(0, 20), header.slice(0, -1), '{"log":"two\\n","stream":"std']) {
    assert.deepEqual(decode(`${cri("stderr P one")}${torn}`).lines, ["stderr one..."]);
  }
  const decoder = new LogDecoder({ onFault: assert.fail });
  decoder.beginFile("0.log");
  decoder.push(Buffer.from(text));
  assert.deepEqual(decoder.finish(false).map(show), ["stderr one..."]);
});

test("a torn record in the middle of the log is told and skipped, a line may go on", () => {
  const faults: LogFault[] = [];
  const decoder = new LogDecoder({ onFault: (fault) => faults.push(fault) });
  decoder.beginFile("0.log.1");
  const first = cri("stdout P a");
  assert.deepEqual(decoder.push(Buffer.from(`${first}${TIME} stdout F torn`)), []);
  decoder.endFile();
  decoder.beginFile("0.log");
  assert.deepEqual(decoder.push(Buffer.from(cri("stdout F b"))).map(show), ["stdout ab"]);
  assert.deepEqual(
    faults.map(({ kind, file, offset }) => ({ kind, file, offset })),
    [{ kind: "torn", file: "0.log.1", offset: first.length }],
  );
});

test("a record far longer than a block is handed on as it comes", () => {
  const long = "y".repeat(3 * MAX_WHOLE_RECORD);
  const log = cri("stdout F a", `stdout F ${long}`, "stdout F b");
  const { raw, faults } = decode(log, { size: 100_000, maxLine: 1_000_000 });
  assert.deepEqual(faults, []);
  const texts = raw.map(({ text, complete }) => `${text.length}${complete ? "" : "..."}`);
  assert.deepEqual(texts, ["1", "1000000...", "1000000...", "1000000...", "145728", "1"]);
  assert.equal(Buffer.concat(raw.slice(1, -1).map(({ text }) => text)).toString(), long);
  const other = decode(log, { size: 100_000, stream: "stderr" });
  assert.deepEqual([other.lines, other.faults], [[], []]);
});

test("an endless line that is no record does not fill the memory, and is told once", () => {
  const garbage = "z".repeat(3 * MAX_WHOLE_RECORD);
  for (const line of [garbage, json(garbage).trim()]) {
    const { lines, faults } = decode(`${line}\n${cri("stdout F b")}`, { size: 100_000 });
    assert.deepEqual(lines, ["stdout b"]);
    assert.equal(faults.length, 1);
    assert.deepEqual([faults[0]?.kind, faults[0]?.offset], ["malformed", 0]);
  }
});

test("a text that is kept does not change, nor does it keep the pieces' memory", () => {
  const joiner = new LineJoiner(1000, () => true);
  const lines: LogLine[] = [];
  const bytes = Buffer.from("abcdef");
  joiner.add(lines, "stdout", true, AT, bytes, 0, 2);
  bytes.fill("x");
  joiner.add(lines, "stdout", false, AT, Buffer.from("cd"), 0, 2);
  joiner.add(lines, "stdout", true, AT, Buffer.from("ef"), 0, 2);
  joiner.add(lines, "stdout", false, AT, Buffer.from("gh"), 0, 2);
  assert.deepEqual(lines.map(show), ["stdout abcd", "stdout efgh"]);
});
