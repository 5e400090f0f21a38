import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { JsonFramer } from "../../src/logging/json-framing.ts";
import type { StreamName } from "../../src/logging/sink.ts";
import { characterLength } from "../../src/logging/utf8.ts";

const AT = { seconds: 1_700_000_000, nanoseconds: 5 };
const TIME = "2023-11-14T22:13:20.000000005Z";

interface Entry {
  readonly log: string;
  readonly stream: StreamName;
  readonly time: string;
}

/** All records of one read, each parsed. What is handed over is overwritten afterwards. */
function frame(framer: JsonFramer, text: string | Uint8Array, recordSize = 16384): Entry[] {
  const data = Uint8Array.from(Buffer.from(text));
  const entries: Entry[] = [];
  framer.begin("stdout", AT);
  for (let from = 0; from < data.length; ) {
    const next = framer.fill(data, from, recordSize);
    assert.ok(next > from, "each turn takes something");
    const parsed = parse(framer);
    assert.equal(parsed.length, framer.records);
    entries.push(...parsed);
    from = next;
  }
  data.fill(0);
  return entries;
}

function parse({ bytes, length }: JsonFramer): Entry[] {
  const text = bytes.toString("utf8", 0, length);
  assert.ok(Buffer.from(text).equals(bytes.subarray(0, length)), "UTF-8 throughout");
  assert.ok(text === "" || text.endsWith("\n"));
  return text
    .split("\n")
    .slice(0, -1)
    .map((line) => JSON.parse(line));
}

const logs = (entries: readonly Entry[]): string[] => entries.map(({ log }) => log);
const together = (entries: readonly Entry[]): string => logs(entries).join("");

test("a line is one object in Docker's form, to the byte", () => {
  const framer = new JsonFramer();
  framer.begin("stderr", AT);
  assert.equal(framer.fill(Buffer.from('a "b"\n\nrest'), 0, 16384), 11);
  const end = `","stream":"stderr","time":"${TIME}"}\n`;
  assert.equal(
    framer.bytes.toString("latin1", 0, framer.length),
    `{"log":"a \\"b\\"\\n${end}{"log":"\\n${end}{"log":"rest${end}`,
  );
  assert.equal(framer.records, 3);
});

test("each byte below 0x80 comes back, at every distance from the end", () => {
  const framer = new JsonFramer();
  for (let byte = 0; byte < 0x80; byte++) {
    for (let before = 0; before < 18; before++) {
      const text = `${"x".repeat(before)}${String.fromCharCode(byte)}yz${"w".repeat(17 - before)}`;
      assert.equal(together(frame(framer, text)), text);
    }
  }
});

test("lines longer than the record size become pieces, and no character is cut", () => {
  const framer = new JsonFramer();
  assert.deepEqual(logs(frame(framer, "aäb€c😀\n", 3)), ["aä", "b", "€", "c", "😀\n"]);
  assert.deepEqual(logs(frame(framer, "abcd\nabc\nab", 3)), ["abc", "d\n", "abc\n", "ab"]);
  assert.deepEqual(logs(frame(framer, "ä😀€", 1)), ["ä", "😀", "€"]);
});

test("a character that is cut between two reads stays whole, however often it is cut", () => {
  const framer = new JsonFramer();
  const data = Buffer.from("€ und 😀\n");
  const entries: Entry[] = [];
  for (const byte of data) {
    entries.push(...frame(framer, Uint8Array.of(byte)));
    assert.ok(framer.heldBytes <= 3);
  }
  assert.equal(together(entries), "€ und 😀\n");
  assert.equal(framer.heldBytes, 0);
});

test("each stream holds its own", () => {
  const framer = new JsonFramer();
  const euro = Buffer.from("€");
  for (const stream of ["stdout", "stderr"] as const) {
    framer.begin(stream, AT);
    assert.equal(framer.fill(euro, 0, 100) + framer.fill(euro, 3, 100), 6);
  }
  framer.begin("stdout", AT);
  framer.fill(euro.subarray(0, 2), 0, 100);
  framer.begin("stderr", AT);
  framer.fill(euro.subarray(0, 1), 0, 100);
  assert.deepEqual([framer.heldBytes, framer.records], [3, 0]);
  framer.fill(Buffer.from("x"), 0, 100);
  assert.deepEqual(parse(framer)[0]?.log, "�x");
  framer.begin("stdout", AT);
  framer.fill(euro.subarray(2), 0, 100);
  assert.deepEqual(parse(framer)[0], { log: "€", stream: "stdout", time: TIME });
});

test("at the end of a stream what is held is told to be no character", () => {
  const framer = new JsonFramer();
  assert.equal(framer.finish("stdout"), false);
  assert.deepEqual(frame(framer, Buffer.from("😀").subarray(0, 3)), []);
  assert.equal(framer.finish("stderr"), false);
  assert.equal(framer.finish("stdout"), true);
  assert.deepEqual(parse(framer), [{ log: "�", stream: "stdout", time: TIME }]);
  assert.deepEqual(framer.measure(0, framer.length), { records: 1, bytes: 3 });
  assert.equal(framer.finish("stdout"), false);
  assert.equal(framer.heldBytes, 0);
});

/** Bytes that are likely to be at the edge of something. */
const EDGES = Buffer.from(
  "7f8081bfc0c1c2dfe0e1edeeeff0f1f4f5ff90a08f9f22 5c0a0020".replace(" ", ""),
  "hex",
);

const sources: [string, (length: number) => Buffer][] = [
  ["random bytes", randomBytes],
  [
    "edges of UTF-8",
    (length) => Buffer.from(randomBytes(length).map((b) => EDGES[b % EDGES.length] ?? 0)),
  ],
  ["text", (length) => Buffer.from('Zeile €, 😀 и «строка» "q"\\\n'.repeat(length / 30))],
];
for (const [what, make] of sources) {
  test(`${what}: what is logged is what a decoder makes of the whole stream`, () => {
    for (const recordSize of [1, 4, 5, 100, 16384, 131072]) {
      const framer = new JsonFramer();
      const data = make(60_000);
      const entries: Entry[] = [];
      for (let at = 0; at < data.length; ) {
        const size = 1 + Math.floor(Math.random() ** 6 * 40_000);
        entries.push(...frame(framer, data.subarray(at, at + size), recordSize));
        at += size;
      }
      if (framer.finish("stdout")) entries.push(...parse(framer));
      assert.ok(together(entries) === data.toString("utf8"), `${recordSize}`);
      const longest = Math.max(4, recordSize);
      // One U+FFFD, three bytes, may stand for a single byte.
      const isValid = data.equals(Buffer.from(data.toString("utf8")));
      const sizes = logs(entries).map((log) => Buffer.byteLength(log.replace(/\n$/, "")));
      assert.ok(sizes.every((size) => size <= longest * (isValid ? 1 : 3)));
    }
  });
}

test("the worst that a record can hold fits, whatever size is asked for", () => {
  const framer = new JsonFramer();
  const data = Buffer.alloc(300_000, 1);
  assert.equal(together(frame(framer, data, 131072)), data.toString());
  assert.equal(together(frame(framer, data, 16384)), data.toString());
});

test("the measure of records is that of the output, not of the JSON", () => {
  const framer = new JsonFramer();
  framer.begin("stdout", AT);
  const lines = ['"""\n', "€\n", Buffer.from([0xff, 0xfe, 0x0a]), "\n", "end"];
  framer.fill(Buffer.concat(lines.map((line) => Buffer.from(line))), 0, 16384);
  const starts = [0];
  for (let at = 0; at < framer.length; starts.push(at)) at = framer.bytes.indexOf(10, at) + 1;
  const sizes = [4, 4, 3, 1, 3];
  sizes.forEach((bytes, index) => {
    const [start = 0, end = 0] = starts.slice(index);
    assert.deepEqual(framer.measure(start, end), { records: 1, bytes });
  });
  assert.deepEqual(framer.measure(starts[1] ?? 0, framer.length), { records: 4, bytes: 11 });
  assert.deepEqual(framer.measure(5, 5), { records: 0, bytes: 0 });
});

describe("characterLength", () => {
  const look = (...bytes: number[]): number =>
    characterLength(new DataView(Uint8Array.from(bytes).buffer), 0, bytes.length);

  test("agrees with the decoder on each character", () => {
    for (let code = 0; code <= 0x10ffff; code += code < 0x3000 ? 1 : 211) {
      if (code >= 0xd800 && code < 0xe000) continue;
      const bytes = Buffer.from(String.fromCodePoint(code));
      assert.equal(look(...bytes), bytes.length);
      for (let cut = 1; cut < bytes.length; cut++) assert.equal(look(...bytes.subarray(0, cut)), 0);
    }
  });

  test("knows what is none", () => {
    assert.equal(look(0x80), -1);
    assert.equal(look(0xc0, 0xaf), -1);
    assert.equal(look(0xed, 0xa0, 0x80), -1);
    assert.equal(look(0xf4, 0x90, 0x80, 0x80), -1);
    assert.equal(look(0xe2, 0x82, 0x41), -2);
    assert.equal(look(0xf0, 0x9f, 0x98, 0x0a), -3);
  });
});
