import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, describe, test } from "node:test";
import { LineWriter } from "../../src/conmond/line-writer.ts";
import * as sys from "../../src/sys/mod.ts";
import { inTime } from "../support/waiting.ts";

/** What a pipe, or whatever else, is to the one who writes and to the one who reads. */
interface Ends {
  readonly reading: number;
  readonly writing: number;
}

const open: number[] = [];
const writers: LineWriter[] = [];

afterEach(() => {
  for (const writer of writers.splice(0)) writer.close();
  for (const fd of open.splice(0)) sys.close(fd);
});

function ends([reading, writing]: [number, number]): Ends {
  open.push(reading, writing);
  // Nobody who starts conmond gives it one that does not wait.
  sys.setNonBlocking(writing, false);
  return { reading, writing };
}

function makeTerminal(): [number, number] {
  const [master, slave] = sys.openTerminal();
  sys.stopOutputProcessing(slave);
  return [master, slave];
}

const KINDS: Record<string, () => Ends> = {
  pipe: () => ends(sys.pipe()),
  socket: () => ends(sys.unixSocketPair("stream")),
  terminal: () => ends(makeTerminal()),
};

/** Reads as soon as it is asked to, and not before. */
class Reader {
  #text = "";
  readonly #fd: number;

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** All lines up to one that begins so; what comes behind it is left for the next time. */
  async until(start: string): Promise<string[]> {
    const found = () => this.#text.split("\n").findIndex((line) => line.startsWith(start));
    const readiness = await inTime(
      new Promise<sys.Readiness>((resolve) => {
        const reading = new sys.Readiness(this.#fd, () => {
          this.#read();
          if (found() !== -1 && this.#text.endsWith("\n")) resolve(reading);
        });
        reading.watch(sys.READABLE);
      }),
      () => `a line that begins with ${start} after ${this.#text.slice(-200)}`,
    );
    readiness.close();
    const lines = this.#text.split("\n");
    const taken = lines.splice(0, found() + 1);
    this.#text = lines.join("\n");
    return taken;
  }

  #read(): void {
    const bytes = Buffer.alloc(100_000);
    const count = sys.read(this.#fd, bytes, 0, bytes.length);
    if (count > 0) this.#text += bytes.toString("latin1", 0, count);
  }
}

function writerTo(fd: number): LineWriter {
  const writer: LineWriter = new LineWriter(fd, (lines) => writer.write(`lost ${lines}\n`));
  writers.push(writer);
  return writer;
}

const PADDING = "x".repeat(100);

function writeNumbered(writer: LineWriter, from: number, to: number): void {
  for (let number = from; number < to; number++) writer.write(`${number} ${PADDING}\n`);
}

function numbered(from: number, to: number): string[] {
  return Array.from({ length: to - from }, (_, index) => `${from + index} ${PADDING}`);
}

for (const [kind, make] of Object.entries(KINDS)) {
  describe(`a ${kind} that nobody reads from`, () => {
    test("gets all lines later, as long as they are not too many", async () => {
      const { reading, writing } = make();
      const writer = writerTo(writing);
      // More than the kernel takes, less than that and what is kept.
      writeNumbered(writer, 0, 2400);
      const lines = await new Reader(reading).until("2399 ");
      assert.deepEqual(lines, numbered(0, 2400));
    });

    test("gets those that could be kept, then how many could not, then what comes after", async () => {
      const { reading, writing } = make();
      const writer = writerTo(writing);
      const reader = new Reader(reading);
      let from = 0;
      for (const to of [10_000, 20_000]) {
        writeNumbered(writer, from, to);
        const lines = await reader.until("lost ");
        const lost = Number(lines.pop()?.split(" ")[1]);
        assert.deepEqual(lines, numbered(from, to - lost));
        assert.ok(lost > 0 && lines.length * PADDING.length > 250_000, `${lost} lost`);
        writeNumbered(writer, to, to + 1);
        assert.deepEqual(await reader.until(`${to} `), numbered(to, to + 1));
        from = to + 1;
      }
    });
  });
}

describe("what writes lines", () => {
  test("has written them when it returns, where there is room", () => {
    const { reading, writing } = ends(sys.pipe());
    const writer = writerTo(writing);
    const bytes = Buffer.alloc(1000);
    for (const line of ["one\n", "two\n"]) {
      writer.write(line);
      assert.equal(bytes.toString("latin1", 0, sys.read(reading, bytes, 0, 1000)), line);
    }
  });

  test("writes at the end what there is room for by then", () => {
    const { reading, writing } = ends(sys.pipe());
    const writer = writerTo(writing);
    writeNumbered(writer, 0, 1000);
    const before = sys.bytesReadable(reading);
    const bytes = Buffer.alloc(1 << 20);
    assert.equal(sys.read(reading, bytes, 0, bytes.length), before);
    writer.flush();
    const rest = sys.read(reading, bytes, before, bytes.length - before);
    assert.equal(bytes.toString("latin1", 0, before + rest), `${numbered(0, 1000).join("\n")}\n`);
  });

  test("leaves pipes and terminals in the mode in which others have them", () => {
    for (const kind of ["pipe", "terminal"]) {
      const { writing } = KINDS[kind]?.() ?? assert.fail();
      writeNumbered(writerTo(writing), 0, 10_000);
      const info = fs.readFileSync(`/proc/self/fdinfo/${writing}`, "latin1");
      const flags = Number.parseInt(/flags:\s*([0-7]+)/.exec(info)?.[1] ?? "", 8);
      assert.equal(flags & fs.constants.O_NONBLOCK, 0, kind);
    }
  });

  test("does not mind that the reader leaves", async () => {
    for (const make of Object.values(KINDS)) {
      const { reading, writing } = make();
      const writer = writerTo(writing);
      writeNumbered(writer, 0, 5000);
      open.splice(open.indexOf(reading), 1);
      sys.close(reading);
      await new Promise(setImmediate);
      writeNumbered(writer, 0, 5000);
      writer.flush();
    }
  });

  test("goes on in a file when the disk is no longer full, and says what is missing", () => {
    const path = join(fs.mkdtempSync(join(tmpdir(), "line-writer-")), "log");
    try {
      const fd = sys.duplicate(fs.openSync("/dev/full", "w"));
      open.push(fd);
      const writer = writerTo(fd);
      writer.write("one\n");
      writer.write("two\n");
      const file = fs.openSync(path, "a");
      sys.duplicateOnto(file, fd);
      fs.closeSync(file);
      writer.write("three\n");
      assert.equal(fs.readFileSync(path, "latin1"), "lost 2\nthree\n");
    } finally {
      fs.rmSync(join(path, ".."), { recursive: true });
    }
  });
});
