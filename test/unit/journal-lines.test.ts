import assert from "node:assert/strict";
import { test } from "node:test";
import { EntryBuffer } from "../../src/logging/journal-entry.ts";
import { LineFramer, type LineFramerSettings } from "../../src/logging/journal-lines.ts";
import { parseEntry } from "../support/journal.ts";

const COMMON = Buffer.from("A=b\n");

/** A message, with its priority before it, and `P` behind it if it is marked as a piece. */
type Message = [priority: number, text: string, mark?: "P"];

class Reader {
  readonly messages: Message[] = [];
  readonly framer: LineFramer;
  readonly #entry = new EntryBuffer();
  readonly #pieceSize: number;
  bytes = 0;

  constructor(settings: Partial<LineFramerSettings> = {}) {
    this.#pieceSize = settings.pieceSize ?? 100;
    this.framer = new LineFramer({
      ...{ priority: 6, markPartials: true, pieceSize: this.#pieceSize },
      ...settings,
    });
  }

  read(data: string | Buffer): this {
    const bytes = typeof data === "string" ? Buffer.from(data, "latin1") : data;
    for (let from = 0; from < bytes.length; ) {
      const next = this.#frame(bytes, from);
      if (next === -1) {
        this.framer.hold(bytes, from, bytes.length);
        break;
      }
      this.#take();
      from = next;
    }
    return this;
  }

  end(): this {
    this.#entry.begin(COMMON, this.#pieceSize + 1);
    if (this.framer.frameRest(this.#entry)) this.#take();
    return this;
  }

  /** Each entry is framed twice, as one is that was too much for a full queue. */
  #frame(bytes: Buffer, from: number): number {
    this.#entry.begin(COMMON, this.#pieceSize + 1);
    const first = this.framer.frame(bytes, from, bytes.length, this.#entry);
    this.#entry.begin(COMMON, this.#pieceSize + 1);
    assert.equal(this.framer.frame(bytes, from, bytes.length, this.#entry), first);
    return first;
  }

  #take(): void {
    const { bytes, length } = this.#entry;
    const fields = new Map(parseEntry(bytes.subarray(0, length)));
    const message: Message = [Number(fields.get("PRIORITY")), fields.get("MESSAGE") ?? ""];
    if (fields.has("CONTAINER_PARTIAL_MESSAGE")) message.push("P");
    this.messages.push(message);
    this.bytes += this.framer.framedBytes;
    this.framer.commit();
  }
}

test("each line is a message with its newline, empty lines too", () => {
  const { messages } = new Reader().read("one\n\n\ntwo\n");
  assert.deepEqual(messages, [
    [6, "one\n"],
    [6, "\n"],
    [6, "\n"],
    [6, "two\n"],
  ]);
});

test("bytes are kept as they are", () => {
  const line = Buffer.from(Array.from({ length: 255 }, (_, i) => (i < 10 ? i : i + 1)));
  const { messages } = new Reader({ pieceSize: 1000 }).read(Buffer.concat([line, line]));
  assert.deepEqual(messages, []);
  const all = new Reader({ pieceSize: 1000 }).read(Buffer.concat([line, Buffer.from("\n")]));
  assert.deepEqual(all.messages, [[6, `${line.toString("latin1")}\n`]]);
});

test("an unfinished line is held until it is complete", () => {
  const reader = new Reader().read("a\nb").read("c");
  assert.deepEqual(reader.messages, [[6, "a\n"]]);
  assert.equal(reader.framer.heldBytes, 2);
  reader.read("d\ne");
  assert.deepEqual(reader.messages, [
    [6, "a\n"],
    [6, "bcd\n"],
  ]);
});

test("an unfinished line is a marked piece at the end, and nothing held is nothing", () => {
  assert.deepEqual(new Reader().read("a").read("b").end().messages, [[6, "ab", "P"]]);
  assert.deepEqual(new Reader().read("a\n").end().messages, [[6, "a\n"]]);
  assert.deepEqual(new Reader().end().messages, []);
});

test("a line longer than the piece size becomes pieces, all but the last marked", () => {
  const { messages } = new Reader({ pieceSize: 4 }).read("12345678\n1234\n123456\n");
  assert.deepEqual(messages, [
    [6, "1234", "P"],
    [6, "5678\n"],
    [6, "1234\n"],
    [6, "1234", "P"],
    [6, "56\n"],
  ]);
});

test("pieces are the same however the line is read", () => {
  for (let size = 1; size <= 11; size++) {
    const reader = new Reader({ pieceSize: 4 });
    for (let at = 0; at < 10; at += size) reader.read("0123456789".slice(at, at + size));
    reader.read("\n");
    const expected = ["0123", "4567", "89\n"];
    assert.deepEqual(
      reader.messages.map(([, text]) => text),
      expected,
      `read ${size} at a time`,
    );
  }
});

test("without marks pieces are messages like others", () => {
  const reader = new Reader({ pieceSize: 2, markPartials: false }).read("123\nx").end();
  assert.deepEqual(reader.messages, [
    [6, "12"],
    [6, "3\n"],
    [6, "x"],
  ]);
});

test("<0> to <7> at the beginning of a line is its priority and is taken off", () => {
  const lines = ["<0>a", "<7>b", "<3>", "<8>c", "<a>d", "<33>e", " <3>f", "<3", "<3 >g", "h<3>"];
  const { messages } = new Reader({ priority: 3 }).read(`${lines.join("\n")}\n`);
  assert.deepEqual(messages, [
    [0, "a\n"],
    [7, "b\n"],
    [3, "\n"],
    [3, "<8>c\n"],
    [3, "<a>d\n"],
    [3, "<33>e\n"],
    [3, " <3>f\n"],
    [3, "<3\n"],
    [3, "<3 >g\n"],
    [3, "h<3>\n"],
  ]);
});

test("a priority that comes in several reads counts, and does not go over to the next line", () => {
  const { messages } = new Reader().read("<").read("4").read(">a").read("b\n<2>").read("c\nd\n");
  assert.deepEqual(messages, [
    [4, "ab\n"],
    [2, "c\n"],
    [6, "d\n"],
  ]);
});

test("all pieces of a line have its priority, and only its beginning is looked at", () => {
  const { messages } = new Reader({ pieceSize: 5 }).read("<4>ab<5>cd<6>\n<1>x\n12345<2>\n");
  assert.deepEqual(messages, [
    [4, "ab", "P"],
    [4, "<5>cd", "P"],
    [4, "<6>\n"],
    [1, "x\n"],
    [6, "12345", "P"],
    [6, "<2>\n"],
  ]);
});

test("every byte is in one message, whatever the reads", () => {
  let seed = 7;
  const random = (below: number): number => {
    seed = (seed * 1_103_515_245 + 12_345) & 0x7fffffff;
    return (seed >> 8) % below;
  };
  const data = Buffer.from(
    Array.from({ length: 50_000 }, () => (random(120) === 0 ? 10 : 0x61 + random(26))),
  );
  for (const pieceSize of [1, 3, 127, 128, 129, 1000]) {
    const reader = new Reader({ pieceSize });
    for (let at = 0; at < data.length; ) {
      const end = at + 1 + random(1000);
      reader.read(data.subarray(at, end));
      at = end;
    }
    const text = reader.end().messages.map(([, message]) => message);
    assert.ok(text.join("") === data.toString("latin1"), `pieces of ${pieceSize}`);
    assert.equal(reader.bytes, data.length);
  }
});
