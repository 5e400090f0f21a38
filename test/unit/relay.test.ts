/** Output that goes from a pipe to a log by itself is logged as if it had been handed out and written. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import fc from "fast-check";
import { INPUT_SIZE, MAX_RECORD_SIZE } from "../../src/logging/cri-framing.ts";
import { K8sFileSink } from "../../src/logging/k8s-file.ts";
import { parseLossNotice } from "../../src/logging/loss-notice.ts";
import { readCriRecords } from "../../src/logging/read/cri-records.ts";
import type { RecordFileOptions } from "../../src/logging/record-file.ts";
import type { SinkCounters, SinkFault, StreamName } from "../../src/logging/sink.ts";
import * as sys from "../../src/sys/mod.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { mountTmpfs } from "../support/tmpfs.ts";

const PIPE_SIZE = 1024 * 1024;

/** What a container wrote between two reads: the lengths of its lines, of which the last is not ended. */
interface Output {
  readonly stream: StreamName;
  readonly lines: readonly number[];
}

const outputs = fc.array(
  fc.record<Output>({
    stream: fc.constantFrom("stdout", "stderr"),
    lines: fc.array(
      fc.oneof(
        fc.integer({ min: 0, max: 5000 }),
        fc.integer({ min: 4000, max: 40_000 }),
        fc.integer({ min: 100_000, max: 300_000 }),
      ),
      { minLength: 1, maxLength: 6 },
    ),
  }),
  { minLength: 1, maxLength: 6 },
);

const sizes = fc.option(fc.integer({ min: 10_000, max: 600_000 }), { nil: undefined });
const options = fc.record({
  recordSize: fc.constantFrom(100, 4096, 16_384, MAX_RECORD_SIZE),
  maxSize: sizes,
  maxTotalSize: sizes,
  globalMaxSize: fc.constantFrom(0, 50_000, 400_000),
  rotate: fc.boolean(),
  maxFiles: fc.integer({ min: 1, max: 3 }),
});

function bytesOf({ lines }: Output): Buffer {
  const text = lines.map((length, index) => String.fromCharCode(97 + index).repeat(length));
  return Buffer.from(text.join("\n")).subarray(0, PIPE_SIZE);
}

/** A pipe with output in it, for one reader after the other. */
class Pipe {
  readonly readEnd: number;
  readonly #writeEnd: number;

  constructor() {
    [this.readEnd, this.#writeEnd] = sys.pipe();
    sys.setPipeSize(this.readEnd, PIPE_SIZE);
  }

  put(bytes: Buffer): void {
    if (bytes.length > 0)
      assert.equal(sys.write(this.#writeEnd, bytes, 0, bytes.length), bytes.length);
  }

  take(most: number): Buffer {
    const bytes = Buffer.alloc(most);
    assert.equal(sys.read(this.readEnd, bytes, 0, most), most);
    return bytes;
  }

  close(): void {
    sys.close(this.readEnd);
    sys.close(this.#writeEnd);
  }
}

/** How output gets into a sink. Returns how much of it did so by itself. */
type Way = (sink: K8sFileSink, pipe: Pipe, stream: StreamName, count: number) => number;

const AT = { seconds: 1_700_000_000, nanoseconds: 5 };

function write(sink: K8sFileSink, pipe: Pipe, stream: StreamName, count: number): number {
  for (let left = count; left > 0; ) {
    const piece = pipe.take(Math.min(left, INPUT_SIZE));
    sink.write(stream, piece, AT);
    left -= piece.length;
  }
  return 0;
}

function relay(sink: K8sFileSink, pipe: Pipe, stream: StreamName, count: number): number {
  let relayed = 0;
  for (let left = count; left > 0; ) {
    const taken = sink.relay(stream, pipe.readEnd, left, AT);
    relayed += taken;
    left -= taken;
    if (taken > 0) continue;
    const piece = Math.min(left, INPUT_SIZE);
    write(sink, pipe, stream, piece);
    left -= piece;
  }
  return relayed;
}

interface Result {
  readonly files: Record<string, string>;
  readonly counters: Omit<SinkCounters, "lastError">;
  readonly faults: string[];
  readonly relayed: number;
}

/** Logs all of it in a directory of its own. */
function log(
  directory: string,
  all: readonly Output[],
  settings: Partial<RecordFileOptions>,
  way: Way,
  before: (number: number) => void = () => {},
): Result {
  const pipe = new Pipe();
  const faults: string[] = [];
  const onError = ({ task, state }: SinkFault): void => {
    faults.push(`${task} ${state}`);
  };
  const sink = new K8sFileSink({ ...settings, path: join(directory, "0.log"), onError });
  let relayed = 0;
  all.forEach((output, number) => {
    const bytes = bytesOf(output);
    before(number);
    pipe.put(bytes);
    sink.begin();
    relayed += way(sink, pipe, output.stream, bytes.length);
  });
  sink.close();
  pipe.close();
  const { lastError, ...counters } = structuredClone({ ...sink.counters, lastError: undefined });
  const files: Record<string, string> = {};
  for (const name of readdirSync(directory).sort()) {
    if (name.startsWith("0.log")) files[name] = readFileSync(join(directory, name), "latin1");
  }
  return { files, counters, faults, relayed };
}

function assertSame({ relayed: _, ...actual }: Result, { relayed: __, ...expected }: Result): void {
  assert.deepEqual(actual.counters, expected.counters);
  assert.deepEqual(actual.faults, expected.faults);
  assert.deepEqual(Object.keys(actual.files), Object.keys(expected.files));
  for (const [name, text] of Object.entries(expected.files)) {
    assert.ok(actual.files[name] === text, `${name} is another`);
  }
}

describe("a relay from a pipe to a log", () => {
  it("logs what a write would, whatever the limits", (t) => {
    const scratch = makeScratch(t);
    let relayed = 0;
    let rotations = 0;
    let dropped = 0;
    let run = 0;
    fc.assert(
      fc.property(outputs, options, (all, settings) => {
        const [one, other] = ["written", "relayed"].map((name) => {
          const directory = scratch.path(`${name}-${run}`);
          mkdirSync(directory);
          return directory;
        });
        run++;
        const expected = log(one ?? "", all, settings, write);
        const actual = log(other ?? "", all, settings, relay);
        assertSame(actual, expected);
        relayed += actual.relayed;
        rotations += actual.counters.rotations;
        dropped += actual.counters.droppedRecords;
      }),
      { numRuns: 40 },
    );
    // Of all kinds there was something.
    assert.ok(
      relayed > 1_000_000 && rotations > 10 && dropped > 10,
      `${relayed} ${rotations} ${dropped}`,
    );
  });

  it(
    "logs as much as a write on a full disk, and says what is lost",
    { skip: unlessRootWith("mount") },
    (t) => {
      const all: Output[] = [
        { stream: "stdout", lines: [300_000] },
        { stream: "stderr", lines: [9000, 70_000, 100, 30_000] },
        // Here it ends in the middle.
        { stream: "stdout", lines: [200_000, 50_000, 200_000] },
        { stream: "stderr", lines: [20_000] },
        // Here there is room again.
        { stream: "stdout", lines: [10, 20_000, 70_000] },
        { stream: "stdout", lines: [150_000] },
        { stream: "stdout", lines: [100_000] },
      ];
      const logOn = (context: TestContext, way: Way): Result => {
        const directory = mountTmpfs(makeScratch(context), 1024);
        const ballast = join(directory, "ballast");
        writeFileSync(ballast, Buffer.alloc(500 * 1024));
        return log(directory, all, {}, way, (number) => {
          if (number === 4) writeFileSync(ballast, "");
        });
      };
      const expected = logOn(t, write);
      const actual = logOn(t, relay);
      assertSame(actual, expected);
      assert.deepEqual(expected.faults, ["write failing", "write recovered"]);
      assert.ok(expected.counters.droppedBytes > 100_000);
      const records = [...readCriRecords(Buffer.from(expected.files["0.log"] ?? "", "latin1"))];
      assert.ok(records.some(({ payload }) => parseLossNotice(payload.toString()) !== undefined));
      assert.ok(actual.relayed > 300_000);
    },
  );

  it("is not done by a log that keeps what cannot be written, nor by one that is closed", (t) => {
    const scratch = makeScratch(t);
    const pipe = new Pipe();
    pipe.put(Buffer.alloc(10_000, "x"));
    const path = scratch.path("0.log");
    const blocking = new K8sFileSink({ path, onWriteError: "block" });
    assert.equal(blocking.relay("stdout", pipe.readEnd, 10_000, AT), 0);
    blocking.close();
    const closed = new K8sFileSink({ path });
    closed.close();
    assert.equal(closed.relay("stdout", pipe.readEnd, 10_000, AT), 0);
    assert.equal(sys.bytesReadable(pipe.readEnd), 10_000);
    pipe.close();
  });
});

describe("relayRecords", () => {
  const memory = Buffer.alloc(100_000);
  const at = sys.RecordLayout;
  const counts = new Uint32Array(7);
  const layoutOf = (changes: Partial<Record<keyof typeof at, number>> = {}): Uint32Array => {
    const values = {
      ...{ fullHead: 0, pieceHead: 100, headLength: 10, newline: 200 },
      ...{ longest: 1000, shortest: 100, input: 1000, inputLength: 50_000 },
      ...changes,
    };
    return Uint32Array.from(Object.values(values));
  };

  it("says how much of a record has been written that is not whole", () => {
    const input = new Pipe();
    // Whose other end takes one page.
    const [readEnd, writeEnd] = sys.pipe();
    sys.setPipeSize(readEnd, 4096);
    sys.setNonBlocking(writeEnd, true);
    input.put(Buffer.alloc(20_000, "x"));
    sys.relayRecords(input.readEnd, 20_000, writeEnd, 1_000_000, memory, layoutOf(), counts);
    const { taken, written, torn, rest, restEnd } = sys.RelayedCounts;
    assert.deepEqual(
      [taken, written, torn, rest, restEnd].map((index) => counts[index]),
      [20_000, 0, 4096, 1000, 21_000],
    );
    input.close();
    sys.close(readEnd);
    sys.close(writeEnd);
  });

  it("ends where there is no room, before anything of it is written", () => {
    const input = new Pipe();
    input.put(Buffer.alloc(3000, "x"));
    const layout = layoutOf({ inputLength: 1000 });
    sys.relayRecords(input.readEnd, 3000, 1, 1010, memory, layout, counts);
    assert.deepEqual([...counts], [1000, 0, 0, 0, 0, 1000, 2000]);
    input.close();
  });

  it("refuses what is not in the memory, and numbers of another kind", () => {
    const relayWith = (layout: unknown, into: unknown = counts): void =>
      sys.relayRecords(0, 1, 1, 1, memory, layout as Uint32Array, into as Uint32Array);
    for (const [name, value] of Object.entries({
      fullHead: 99_991,
      pieceHead: 2 ** 32 - 1,
      headLength: 1025,
      newline: 100_000,
      input: 50_001,
      inputLength: 0,
      shortest: 0,
    })) {
      assert.throws(() => relayWith(layoutOf({ [name]: value })), RangeError, name);
    }
    assert.throws(() => relayWith(layoutOf().subarray(1)), RangeError);
    assert.throws(() => relayWith(layoutOf(), new Uint32Array(6)), RangeError);
    assert.throws(() => relayWith(new Uint8Array(8)), TypeError);
    assert.throws(() => relayWith(layoutOf(), []), TypeError);
    const gather = (from: number, end: number): void =>
      sys.gatherRecords(memory, layoutOf(), from, end, new Uint32Array(6), counts);
    assert.throws(() => gather(0, 100_001), RangeError);
    assert.throws(() => gather(2, 1), RangeError);
  });
});
