import assert from "node:assert/strict";
import { test } from "node:test";
import {
  CriFramer,
  DEFAULT_RECORD_SIZE,
  endOfRecord,
  endOfRecordsWithin,
  INPUT_SIZE,
  MAX_RECORD_SIZE,
  measureRecords,
} from "../../src/logging/cri-framing.ts";
import type { StreamName } from "../../src/logging/sink.ts";
import { TIMESTAMP_LENGTH } from "../../src/logging/timestamp.ts";

const AT = { seconds: 1_700_000_000, nanoseconds: 42 };
const PREFIX = /^2023-11-1[45]T\d\d:\d\d:20\.000000042[+-]\d\d:\d\d (stdout|stderr) /;

/** The records of one read as text, without the time. */
function frame(data: string | Uint8Array, recordSize = 10, stream: StreamName = "stdout") {
  const bytes = typeof data === "string" ? Buffer.from(data) : data;
  const framer = new CriFramer();
  framer.begin(stream, AT);
  const records: string[] = [];
  for (let from = 0; from < bytes.length; ) {
    from = framer.fill(bytes, from, recordSize);
    const lines = framer.bytes.toString("latin1", 0, framer.length).split(/(?<=\n)/);
    assert.equal(lines.length, framer.records);
    for (const line of lines) {
      assert.match(line, PREFIX);
      records.push(line.replace(PREFIX, ""));
    }
  }
  return records;
}

test("each line becomes a full record, an empty one too", () => {
  assert.deepEqual(frame("a\n\nbc\n"), ["F a\n", "F \n", "F bc\n"]);
});

test("what has no newline at the end of a read is a piece, and nothing is remembered of it", () => {
  assert.deepEqual(frame("a\nbc"), ["F a\n", "P bc\n"]);
  assert.deepEqual(frame("\n"), ["F \n"]);
});

test("the stream's name and time are those of the read", () => {
  const framer = new CriFramer();
  framer.begin("stderr", AT);
  framer.fill(Buffer.from("x\n"), 0, 10);
  assert.match(framer.bytes.toString("latin1", 0, framer.length), / stderr F x\n$/);
  framer.begin("stdout", { seconds: AT.seconds + 1, nanoseconds: 7 });
  framer.fill(Buffer.from("x\n"), 0, 10);
  assert.match(framer.bytes.toString("latin1", 0, framer.length), /:21\.000000007.* stdout F x\n$/);
});

test("long records have the stream's name too, whole ones and pieces, at the same time as well", () => {
  const framer = new CriFramer();
  const line = "x".repeat(5000);
  for (const stream of ["stdout", "stderr", "stderr", "stdout"] as const) {
    framer.begin(stream, AT);
    framer.fill(Buffer.from(`${line}\n${line}`), 0, 10_000);
    assert.notEqual(framer.gathered, undefined, "they are not put together yet");
    const { memory, parts, count } = framer.gathered ?? {
      memory: Buffer.of(),
      parts: [],
      count: 0,
    };
    const pieces = Array.from({ length: count }, (_, part) => {
      const [at = 0, length = 0] = parts.slice(2 * part, 2 * part + 2);
      return memory.slice(at, at + length);
    });
    const text = Buffer.concat(pieces).toString("latin1");
    assert.equal(text, framer.bytes.toString("latin1", 0, framer.length));
    const [whole, piece] = text.split(/(?<=\n)/);
    assert.equal(whole?.slice(TIMESTAMP_LENGTH), ` ${stream} F ${line}\n`);
    assert.equal(piece?.slice(TIMESTAMP_LENGTH), ` ${stream} P ${line}\n`);
  }
});

test("a line longer than the record size is cut into pieces", () => {
  assert.deepEqual(frame("0123456789abc\nd\n"), ["P 0123456789\n", "F abc\n", "F d\n"]);
  assert.deepEqual(frame("0123456789".repeat(2).concat("x")), [
    "P 0123456789\n",
    "P 0123456789\n",
    "P x\n",
  ]);
});

test("a line of exactly the record size is one full record", () => {
  assert.deepEqual(frame("0123456789\nx\n"), ["F 0123456789\n", "F x\n"]);
  assert.deepEqual(frame("0123456789".repeat(2).concat("\n")), [
    "P 0123456789\n",
    "F 0123456789\n",
  ]);
});

test("a line of the record size at the end of a read is a piece; its newline comes alone", () => {
  assert.deepEqual(frame("0123456789"), ["P 0123456789\n"]);
  assert.deepEqual(frame("\nnext\n"), ["F \n", "F next\n"]);
});

test("the exact boundaries hold for long lines too", () => {
  const line = "x".repeat(DEFAULT_RECORD_SIZE);
  const size = DEFAULT_RECORD_SIZE;
  assert.deepEqual(frame(`${line}\n`, size), [`F ${line}\n`]);
  assert.deepEqual(frame(`${line}y\n`, size), [`P ${line}\n`, "F y\n"]);
  assert.deepEqual(frame(`${line}${line}\nz`, size), [`P ${line}\n`, `F ${line}\n`, "P z\n"]);
});

test("lines of every length around the short paths are framed right", () => {
  for (let length = 0; length <= 300; length++) {
    const text = Buffer.alloc(length, "abcdefghijklmnopqrstuvwxyz").toString();
    assert.deepEqual(frame(`${text}\n${text}\n`, 1000), [`F ${text}\n`, `F ${text}\n`]);
    assert.deepEqual(frame(text, 1000), length === 0 ? [] : [`P ${text}\n`]);
  }
});

test("bytes next to the newline in value do not end a line", () => {
  const bytes = Buffer.from([...Array(256).keys()].filter((byte) => byte !== 10));
  for (let shift = 0; shift < 8; shift++) {
    const data = Buffer.concat([Buffer.alloc(shift, 11), bytes, Buffer.from("\n")]);
    assert.deepEqual(frame(data, 1000), [`F ${"\v".repeat(shift)}${bytes.toString("latin1")}\n`]);
  }
});

test("a plain Uint8Array in the middle of its memory is framed like a Buffer", () => {
  const memory = new Uint8Array(1000).fill(120);
  memory[0] = memory[502] = memory[900] = 10;
  assert.deepEqual(frame(memory.subarray(1, 601), 400), [
    `P ${"x".repeat(400)}\n`,
    `F ${"x".repeat(101)}\n`,
    `P ${"x".repeat(98)}\n`,
  ]);
});

test("a read that does not fit in the buffer is taken in turns, in whole records", () => {
  const lines = frame("\n".repeat(65536));
  assert.equal(lines.length, 65536);
  const framer = new CriFramer();
  framer.begin("stdout", AT);
  assert.ok(framer.fill(Buffer.alloc(65536, "\n"), 0, 10) < 65536);
});

test("records of the largest size fit in the buffer", () => {
  const text = "x".repeat(MAX_RECORD_SIZE);
  assert.deepEqual(frame(text.repeat(3), MAX_RECORD_SIZE), Array(3).fill(`P ${text}\n`));
});

test("records are found and measured in what was framed", () => {
  const framer = new CriFramer();
  framer.begin("stdout", AT);
  framer.fill(Buffer.from("ab\n\n0123456789xy"), 0, 10);
  const { bytes, length } = framer;
  assert.equal(length, 4 * 46 + 14);
  assert.equal(endOfRecord(bytes, 0), 48);
  assert.equal(endOfRecord(bytes, 50), 48 + 46);
  assert.equal(endOfRecordsWithin(bytes, 0, 47), 0);
  assert.equal(endOfRecordsWithin(bytes, 0, 48), 48);
  assert.equal(endOfRecordsWithin(bytes, 48, 100), 48 + 46);
  assert.equal(endOfRecordsWithin(bytes, 48, 0), 48);
  assert.equal(endOfRecordsWithin(bytes, 48, -5), 48);
  assert.deepEqual(measureRecords(bytes, 0, length), { records: 4, bytes: 3 + 1 + 10 + 2 });
  assert.deepEqual(measureRecords(bytes, 48, 94), { records: 1, bytes: 1 });
});

/** The same by the plainest means. */
function frameSlowly(data: Buffer, recordSize: number): string[] {
  const records: string[] = [];
  for (let at = 0; at < data.length; ) {
    const limit = Math.min(at + recordSize, data.length);
    const newline = data.subarray(at, limit).indexOf("\n");
    const end = newline < 0 ? limit : at + newline;
    const full = data[end] === 0x0a;
    records.push(`${full ? "F" : "P"} ${data.toString("latin1", at, end)}\n`);
    at = full ? end + 1 : end;
  }
  return records;
}

/** Bytes with a newline about every `distance` bytes, and newlines side by side. */
function randomLines(length: number, distance: number): Buffer {
  const bytes = Buffer.from(Array.from({ length }, () => 11 + Math.floor(Math.random() * 245)));
  for (let at = 0; at < length; at += Math.floor(Math.random() * distance * 2) || 1) bytes[at] = 10;
  return bytes;
}

test("random lines come out as the plainest program would have them, wherever they lie", () => {
  const framer = new CriFramer();
  framer.begin("stdout", AT);
  for (let round = 0; round < 2000; round++) {
    const data = randomLines(1 + Math.floor(Math.random() * 400), 1 + (round % 60));
    const recordSize = 1 + Math.floor(Math.random() * 100);
    const wanted = frameSlowly(data, recordSize);
    const at = Math.floor(Math.random() * 64);
    // What is left there from before must not matter.
    framer.input.fill("\n", at + data.length, at + data.length + 64);
    data.copy(framer.input, at);
    for (const place of [data, framer.input.subarray(at, at + data.length)]) {
      assert.equal(framer.fill(place, 0, recordSize), data.length);
      const got = framer.bytes.toString("latin1", 0, framer.length).split(/(?<=\n)/);
      assert.deepEqual(
        got.map((record) => record.replace(PREFIX, "")),
        wanted,
        `round ${round}`,
      );
    }
  }
});

test("a full read goes through in several turns, and nothing is lost between them", () => {
  const framer = new CriFramer();
  framer.begin("stdout", AT);
  randomLines(INPUT_SIZE, 3).copy(framer.input);
  const pieces: string[] = [];
  let turns = 0;
  for (let from = 0; from < INPUT_SIZE; turns++) {
    from = framer.fill(framer.input, from, 10);
    assert.ok(framer.length <= framer.bytes.length);
    pieces.push(framer.bytes.toString("latin1", 0, framer.length));
  }
  assert.ok(turns > 1);
  const records = pieces.join("").split(/(?<=\n)/);
  assert.deepEqual(
    records.map((record) => record.replace(PREFIX, "")),
    frameSlowly(framer.input, 10),
  );
});

test("long records are left in pieces, which are the same as when they are put together", () => {
  const framer = new CriFramer();
  framer.begin("stderr", AT);
  let gatheredRecords = 0;
  for (let round = 0; round < 200; round++) {
    const length = 1 + Math.floor(Math.random() * INPUT_SIZE);
    const data = framer.input.subarray(0, length).fill("x");
    // Lines of all lengths, the long ones in the majority.
    const distance = (): number => Math.floor(Math.random() * 60_000);
    for (let at = distance(); at < length; at += distance() + 1) data[at] = 0x0a;
    const recordSize = [10, 4096, 5000, DEFAULT_RECORD_SIZE, MAX_RECORD_SIZE][round % 5] ?? 0;
    for (let from = 0; from < length; ) {
      from = framer.fill(data, from, recordSize);
      const { gathered, records, length: bytes } = framer;
      if (gathered === undefined) continue;
      const { memory, parts, count } = gathered;
      const pieces = Array.from({ length: count }, (_, index) => {
        const [offset = 0, size = 0] = parts.subarray(2 * index);
        return Buffer.from(memory.subarray(offset, offset + size));
      });
      const whole = Buffer.concat(pieces);
      assert.equal(gathered.length, whole.length);
      assert.ok(framer.bytes.subarray(0, framer.length).equals(whole), `round ${round}`);
      assert.deepEqual([framer.records, framer.length], [records, bytes]);
      assert.equal(framer.gathered, undefined, "once is enough");
      gatheredRecords += records;
    }
  }
  assert.ok(gatheredRecords > 300, `${gatheredRecords} long records`);
});
