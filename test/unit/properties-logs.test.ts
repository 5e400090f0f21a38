/** What must hold of logs whatever a container writes, and whatever is in a file that is read as one. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { CriFramer } from "../../src/logging/cri-framing.ts";
import { encodeField, encodeIdentity } from "../../src/logging/journal-entry.ts";
import { JsonFramer } from "../../src/logging/json-framing.ts";
import { parseCriRecord, readOutput } from "../../src/logging/read/cri-records.ts";
import { parseJsonRecord } from "../../src/logging/read/json-records.ts";
import { LogDecoder } from "../../src/logging/read/log-decoder.ts";
import type { LogLine } from "../../src/logging/read/log-line.ts";
import { MAX_WHOLE_RECORD } from "../../src/logging/read/raw-record.ts";
import { parseRfc3339 } from "../../src/logging/read/rfc3339.ts";
import { parseTimeArgument } from "../../src/logging/read/time-argument.ts";
import type { RecordFramer } from "../../src/logging/record-framer.ts";
import type { StreamName } from "../../src/logging/sink.ts";
import { LocalTimestamp, TIMESTAMP_LENGTH } from "../../src/logging/timestamp.ts";
import { cutAt, cuts, output } from "../support/any-bytes.ts";

const AT = { seconds: 1_700_000_000, nanoseconds: 5 };
const TIME = "2023-11-14T22:13:20.000000005Z";
const streams = fc.constantFrom<StreamName[]>("stdout", "stderr");
const sizes = fc.oneof(fc.integer({ min: 1, max: 20 }), fc.integer({ min: 1, max: 16384 }));
/** What was read from the two streams, in turn. */
const reads = fc.array(fc.tuple(streams, output()), { maxLength: 8 });

/** All records of some reads, as a sink writes them to its file; from `input` or from elsewhere. */
function frame(
  framer: RecordFramer,
  pieces: readonly (readonly [StreamName, Buffer])[],
  recordSize: number,
  input?: Buffer,
): Buffer {
  const file: Buffer[] = [];
  const take = (): void => {
    file.push(Buffer.from(framer.bytes.subarray(0, framer.length)));
  };
  for (const [stream, piece] of pieces) {
    framer.begin(stream, AT);
    input?.set(piece);
    const data = input === undefined ? Uint8Array.from(piece) : input.subarray(0, piece.length);
    for (let from = 0; from < data.length; ) {
      const next = framer.fill(data, from, recordSize);
      assert.ok(next > from, "each turn takes something");
      from = next;
      const measured = framer.measure(0, framer.length);
      assert.equal(measured.records, framer.records, "as many records as are measured");
      take();
    }
  }
  for (const stream of ["stdout", "stderr"] as const) if (framer.finish(stream)) take();
  assert.equal(framer.heldBytes, 0, "nothing is held behind the end");
  return Buffer.concat(file);
}

/** What the container wrote to a stream. */
function written(pieces: readonly (readonly [StreamName, Buffer])[], stream: StreamName): Buffer {
  return Buffer.concat(pieces.filter(([name]) => name === stream).map(([, bytes]) => bytes));
}

/** The CRI format as simply as can be: the records' tags and payloads of one read. */
function reference(data: Buffer, recordSize: number): string[] {
  const records: string[] = [];
  for (let from = 0; from < data.length; ) {
    const newline = data.indexOf("\n", from);
    const end = newline === -1 ? data.length : newline;
    const isWhole = newline !== -1 && end - from <= recordSize;
    const to = Math.min(end, from + recordSize);
    records.push(`${isWhole ? "F" : "P"} ${data.toString("latin1", from, to)}`);
    from = isWhole ? to + 1 : to;
  }
  return records;
}

/** All lines of a file that comes in blocks, and the places of its faults. */
function decode(blocks: readonly Buffer[], maxLine = 1024 * 1024) {
  const faults: number[] = [];
  const decoder = new LogDecoder({ maxLine, onFault: ({ offset }) => faults.push(offset) });
  decoder.beginFile("any.log");
  const lines: LogLine[] = blocks.flatMap((block) => decoder.push(block));
  lines.push(...decoder.finish(true));
  const shown = lines.map(
    ({ stream, text, complete, timestamp }) =>
      `${timestamp} ${stream} ${complete} ${text.toString("latin1")}`,
  );
  return { lines, shown, faults };
}

/** A file with records of both formats and things that are none. */
const anyFile = fc
  .array(
    fc.oneof(
      fc
        .tuple(streams, fc.constantFrom("F", "P", "F:x", "P:"), output(3))
        .map(([stream, tag, payload]) => {
          const text = payload.toString("latin1").replaceAll("\n", "|");
          return Buffer.from(`${TIME} ${stream} ${tag} ${text}\n`, "latin1");
        }),
      fc
        .tuple(streams, fc.string())
        .map(([stream, log]) => Buffer.from(`${JSON.stringify({ log, stream, time: TIME })}\n`)),
      output(3),
      fc.constantFrom(TIME, `${TIME} stdout`, "{", '{"log":1}\n', "\n").map((text) => {
        return Buffer.from(text);
      }),
    ),
    { maxLength: 12 },
  )
  .map((parts) => Buffer.concat(parts));

describe("a CRI log", () => {
  test("gives back what was written, and is to the byte what the format says", () => {
    const framer = new CriFramer();
    fc.assert(
      fc.property(reads, sizes, fc.boolean(), (pieces, size, fromInput) => {
        const log = frame(framer, pieces, size, fromInput ? framer.input : undefined);
        for (const stream of ["stdout", "stderr"] as const) {
          assert.ok(readOutput(log, stream).equals(written(pieces, stream)), stream);
        }
        const lines = log.toString("latin1").split("\n").slice(0, -1);
        const expected = pieces.flatMap(([stream, data]) =>
          reference(data, size).map((record) => `${stream} ${record}`),
        );
        assert.deepEqual(
          lines.map((line) => line.slice(TIMESTAMP_LENGTH + 1)),
          expected,
        );
      }),
      { numRuns: 400 },
    );
  });

  test("is as long however it was cut, but for the records' heads", () => {
    const framer = new CriFramer();
    fc.assert(
      fc.property(output(), cuts, sizes, (data, places, size) => {
        const pieces = cutAt(data, places).map((piece) => ["stdout", piece] as const);
        const log = frame(framer, pieces, size);
        assert.ok(readOutput(log, "stdout").equals(data));
      }),
    );
  });
});

describe("a json-file log", () => {
  test("gives back what was written as text, wherever characters are cut", () => {
    fc.assert(
      fc.property(output(), output(), cuts, cuts, sizes, (stdout, stderr, some, others, size) => {
        const ofOut = cutAt(stdout, some).map((piece) => ["stdout", piece] as const);
        const ofErr = cutAt(stderr, others).map((piece) => ["stderr", piece] as const);
        const pieces = ofOut.flatMap((piece, n) => [piece, ...ofErr.slice(n, n + 1)]);
        pieces.push(...ofErr.slice(ofOut.length));
        const log = frame(new JsonFramer(), pieces, size);
        const records = log.toString("utf8").split("\n").slice(0, -1);
        const texts = { stdout: "", stderr: "" };
        for (const record of records) {
          const { log: text, stream } = JSON.parse(record) as { log: string; stream: StreamName };
          assert.ok(!text.slice(0, -1).includes("\n"), "one line at most");
          texts[stream] += text;
        }
        assert.equal(texts.stdout, stdout.toString("utf8"));
        assert.equal(texts.stderr, stderr.toString("utf8"));
      }),
      { numRuns: 400 },
    );
  });

  test("is read by us as JSON.parse reads it", () => {
    fc.assert(
      fc.property(output(), sizes, (data, size) => {
        const log = frame(new JsonFramer(), [["stderr", data]], size);
        let text = "";
        for (const line of log.toString("latin1").split("\n").slice(0, -1)) {
          const record = parseJsonRecord(Buffer.from(line, "latin1"));
          assert.equal(record?.stream, "stderr");
          assert.equal(record?.timestamp, TIME);
          text += `${record?.payload}${record?.partial ? "" : "\n"}`;
        }
        assert.equal(text, data.toString("utf8"));
      }),
    );
  });
});

describe("reading any file as a log", () => {
  test("gives the same lines and faults however it comes in blocks", () => {
    fc.assert(
      fc.property(anyFile, cuts, fc.integer({ min: 1, max: 100 }), (file, places, maxLine) => {
        const whole = decode([file], maxLine);
        const cut = decode(cutAt(file, places), maxLine);
        assert.deepEqual(cut.shown, whole.shown);
        assert.deepEqual(cut.faults, whole.faults);
        for (const { text } of whole.lines) assert.ok(text.length <= maxLine);
      }),
      { numRuns: 500 },
    );
  });

  test("takes from each line of the file what a single record says, or tells where it is wrong", () => {
    fc.assert(
      fc.property(anyFile, (file) => {
        const { faults } = decode([file]);
        const expected: number[] = [];
        let at = 0;
        for (const line of file.toString("latin1").split("\n").slice(0, -1)) {
          const bytes = Buffer.from(line, "latin1");
          const cri = parseCriRecord(bytes);
          const isCri = cri !== undefined && isTime(cri.timestamp);
          const json = parseJsonRecord(bytes);
          const isJson = line.startsWith("{") && json !== undefined && isTime(json.timestamp);
          if (!isCri && !isJson) expected.push(at);
          at += line.length + 1;
        }
        assert.deepEqual(faults, expected);
      }),
      { numRuns: 300 },
    );
  });

  test("needs no more memory for lines that never end than for those that do", () => {
    const head = Buffer.from(`${TIME} stdout P `);
    const block = Buffer.alloc(256 * 1024, "x");
    for (const beginning of [head, Buffer.from("no record "), Buffer.from('{"log":"')]) {
      const faults: Error[] = [];
      const decoder = new LogDecoder({ maxLine: 1000, onFault: (fault) => faults.push(fault) });
      decoder.beginFile("endless.log");
      decoder.push(beginning);
      globalThis.gc?.();
      const before = process.memoryUsage().arrayBuffers;
      let longest = 0;
      for (let n = 0; n < 200; n++) {
        for (const { text } of decoder.push(block)) longest = Math.max(longest, text.length);
      }
      const grown = process.memoryUsage().arrayBuffers - before;
      // 50 MiB have passed. What has not been collected yet counts here too.
      assert.ok(decoder.offset > 200 * block.length - 2 * MAX_WHOLE_RECORD, "nothing piles up");
      assert.ok(longest <= 1000);
      assert.ok(faults.length <= 1, "a line that is no record is told once");
      assert.ok(grown < 200 * block.length, `${grown} bytes`);
    }
  });
});

function isTime(text: string): boolean {
  const bytes = Buffer.from(text);
  return parseRfc3339(bytes, 0, bytes.length) !== undefined;
}

describe("times", () => {
  const seconds = fc.integer({ min: -62_000_000_000, max: 253_000_000_000 });
  const clocks = fc.record({ seconds, nanoseconds: fc.nat(999_999_999) });

  test("come back from a log to the nanosecond", () => {
    const bytes = Buffer.alloc(TIMESTAMP_LENGTH);
    const timestamp = new LocalTimestamp(bytes);
    fc.assert(
      fc.property(clocks, (at) => {
        timestamp.set(at);
        // Offsets of the time before time zones have seconds, which the format cannot tell.
        const read = parseRfc3339(bytes, 0, bytes.length);
        assert.equal(read?.nanoseconds, at.nanoseconds);
        assert.ok(Math.abs((read?.seconds ?? Number.NaN) - at.seconds) <= 30);
        if (at.seconds >= 0) assert.equal(read?.seconds, at.seconds);
      }),
      { numRuns: 500 },
    );
  });

  test("are read from no other bytes than a time's", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 50 }), fc.nat(9), (bytes, flip) => {
        const time = Buffer.from(TIME);
        time.set(bytes.subarray(0, 1), flip * 3);
        for (const any of [bytes, time]) {
          const read = parseRfc3339(any, 0, any.length);
          if (read === undefined) continue;
          const known = Date.parse(Buffer.from(any).toString("latin1"));
          assert.equal(read.seconds * 1000, Math.floor(known / 1000) * 1000);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("of the command line are times, or refused by name", () => {
    const words = fc.oneof(
      fc.string(),
      fc.stringMatching(/^[0-9.]{1,40}(ns|us|ms|s|m|h|d|x)?$/),
      fc.stringMatching(/^([0-9]{1,30}[smhd]){1,3}$/),
      clocks.map((at) => `${at.seconds}.${at.nanoseconds}`),
    );
    fc.assert(
      fc.property(words, (text) => {
        let time: { seconds: number; nanoseconds: number };
        try {
          time = parseTimeArgument(text, AT);
        } catch (error) {
          assert.ok(error instanceof RangeError);
          assert.ok(error.message.includes(JSON.stringify(text)));
          return;
        }
        assert.ok(Number.isSafeInteger(time.seconds), `${time.seconds} s`);
        assert.ok(time.nanoseconds >= 0 && time.nanoseconds < 1e9, `${time.nanoseconds} ns`);
      }),
      { numRuns: 1000 },
    );
  });

  test("before now are as long ago as they say", () => {
    fc.assert(
      fc.property(clocks, fc.nat(1e9), fc.nat(999_999_999), (now, ago, nanoseconds) => {
        const { seconds, ...rest } = parseTimeArgument(`${ago}s${nanoseconds}ns`, now);
        const since =
          BigInt(now.seconds - seconds) * 1_000_000_000n +
          BigInt(now.nanoseconds - rest.nanoseconds);
        assert.equal(since, BigInt(ago) * 1_000_000_000n + BigInt(nanoseconds));
      }),
    );
  });
});

describe("the journal's fields", () => {
  /** As https://systemd.io/JOURNAL_NATIVE_PROTOCOL has it. */
  function fields(entry: Buffer): [string, string][] {
    const found: [string, string][] = [];
    for (let at = 0; at < entry.length; ) {
      const lineEnd = entry.indexOf("\n", at);
      const equals = entry.indexOf("=", at);
      assert.notEqual(lineEnd, -1, "each field has its end");
      if (equals !== -1 && equals < lineEnd) {
        found.push([
          entry.toString("latin1", at, equals),
          entry.toString("utf8", equals + 1, lineEnd),
        ]);
        at = lineEnd + 1;
        continue;
      }
      const length = Number(entry.readBigUInt64LE(lineEnd + 1));
      const start = lineEnd + 9;
      assert.equal(entry[start + length], 0x0a, "the length is right");
      const name = entry.toString("latin1", at, lineEnd);
      found.push([name, entry.toString("utf8", start, start + length)]);
      at = start + length + 1;
    }
    return found;
  }

  const text = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("\n", "=", "A=1\nB=2\n"));
  const name = fc.stringMatching(/^[A-Z][A-Z0-9_]{0,20}$/);

  test("hold any value and let none of it become another field", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(name, text)), (wanted) => {
        const entry = Buffer.concat(wanted.map(([key, value]) => encodeField(key, value)));
        const expected = wanted.map(([key, value]) => [key, Buffer.from(value).toString("utf8")]);
        assert.deepEqual(fields(entry), expected);
      }),
      { numRuns: 300 },
    );
  });

  test("of a container are its own, whatever its name, tag and labels", () => {
    fc.assert(
      fc.property(
        text,
        fc.option(text, { nil: undefined }),
        fc.option(text, { nil: undefined }),
        fc.array(fc.tuple(name, text), { maxLength: 3 }),
        (containerId, containerName, tag, labels) => {
          const entry = encodeIdentity({
            ...{ containerId, containerName, tag },
            labels: labels.map(([label, value]) => `${label}=${value}`),
          });
          const names = fields(entry).map(([key]) => key);
          const expected = ["CONTAINER_ID_FULL", "CONTAINER_ID", "SYSLOG_IDENTIFIER"];
          if (containerName !== undefined) expected.push("CONTAINER_NAME");
          if (tag !== undefined) expected.push("CONTAINER_TAG");
          assert.deepEqual(names, [...expected, ...labels.map(([label]) => label)]);
        },
      ),
    );
  });
});
