import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { type JsonFileOptions, JsonFileSink } from "../../src/logging/json-file.ts";
import type { SinkFault } from "../../src/logging/sink.ts";

const AT = { seconds: 1_700_000_000, nanoseconds: 5 };
/** What the record of a whole line has besides its text. */
const FRAME = 71;

let directory: string;
let path: string;
const open = new Set<JsonFileSink>();

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "json-file-"));
  path = join(directory, "0.json");
});

afterEach(() => {
  for (const sink of open) sink.close();
  open.clear();
  fs.rmSync(directory, { recursive: true });
});

function sinkWith(options: Partial<JsonFileOptions> = {}): JsonFileSink {
  const sink = new JsonFileSink({ path, ...options });
  open.add(sink);
  return sink;
}

function print(sink: JsonFileSink, ...lines: string[]): void {
  for (const line of lines) sink.write("stdout", Buffer.from(`${line}\n`), AT);
}

/** What a stream's records say together, read by a program that others read JSON with. */
function logged(file = "0.json", stream = "stdout"): string {
  const filter = `select(.stream == "${stream}") | .log`;
  return execFileSync("jq", ["-j", filter, join(directory, file)], { encoding: "utf8" });
}

test("both streams can be read back by jq, whatever the bytes and wherever they were cut", () => {
  const written: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
  const sink = sinkWith();
  const text = Buffer.from('Zeile "€"\t😀\n'.repeat(1000));
  for (let at = 0; at < text.length; at += 7) {
    for (const [stream, data] of [
      ["stdout", text.subarray(at, at + 7)],
      ["stderr", randomBytes(50)],
    ] as const) {
      sink.write(stream, data, AT);
      written[stream].push(data);
    }
  }
  sink.end("stdout");
  sink.end("stderr");
  for (const stream of ["stdout", "stderr"] as const) {
    const whole = Buffer.concat(written[stream]).toString("utf8");
    assert.ok(logged("0.json", stream) === whole, stream);
  }
  const { bytes, pendingBytes, records } = sink.counters;
  const handedOver = written.stderr.length * 50 + text.length;
  assert.deepEqual([bytes, pendingBytes], [handedOver, 0]);
  assert.equal(records, fs.readFileSync(path, "utf8").split("\n").length - 1);
});

test("the beginning of a character counts as pending, and is logged at the end at the latest", () => {
  const sink = sinkWith();
  sink.write("stdout", Buffer.from("a€").subarray(0, 3), AT);
  assert.deepEqual([sink.counters.bytes, sink.counters.pendingBytes], [1, 2]);
  assert.equal(logged(), "a");
  sink.close();
  assert.equal(logged(), "a\ufffd");
  assert.deepEqual([sink.counters.bytes, sink.counters.pendingBytes], [3, 0]);
});

test("limits and rotation are those of the other file", () => {
  const sink = sinkWith({ maxSize: 2 * (FRAME + 1), rotate: true, maxFiles: 2 });
  print(sink, "a", "b", "c", "d", "e", "f", "g");
  assert.deepEqual(
    ["0.json.2", "0.json.1", "0.json"].map((name) => logged(name)),
    ["c\nd\n", "e\nf\n", "g\n"],
  );
  assert.equal(sink.counters.rotations, 3);
  fs.renameSync(path, `${path}.moved`);
  sink.reopen();
  print(sink, "h");
  assert.deepEqual([logged("0.json.moved"), logged()], ["g\n", "h\n"]);
});

test("one read fills several files, and no record is split", () => {
  const sink = sinkWith({ maxSize: 3000, rotate: true, maxFiles: 1000, recordSize: 500 });
  const written = Buffer.from('"€uro"\n'.repeat(20_000));
  for (let at = 0; at < written.length; at += 8191) {
    sink.write("stdout", written.subarray(at, at + 8191), AT);
  }
  const { rotations } = sink.counters;
  const names = [...Array(rotations).keys()].map((index) => `0.json.${rotations - index}`);
  const files = [...names, "0.json"].map((name) => fs.readFileSync(join(directory, name), "utf8"));
  assert.ok(files.every((file) => file.length <= 3000 && file.endsWith("\n")));
  const records = files.join("").split("\n").slice(0, -1);
  assert.equal(records.map((record) => JSON.parse(record).log).join(""), written.toString());
  assert.ok(rotations > 100);
});

test("what is dropped is counted in bytes of output", () => {
  const sink = sinkWith({ globalMaxSize: FRAME + 3 });
  sink.write("stdout", Buffer.from('ä"\n\u0001\u0001\u0001\n€\n'), AT);
  print(sink, "more");
  assert.deepEqual(sink.counters, {
    ...{ bytes: 0, records: 0, pendingBytes: 0, rotations: 0 },
    ...{ stdout: { bytes: 0, records: 0 }, stderr: { bytes: 0, records: 0 } },
    ...{ droppedBytes: 17, droppedRecords: 4, writeErrors: 0, lastError: undefined },
  });
});

test("a device without space is one outage, and says how much was lost", () => {
  const faults: SinkFault[] = [];
  const sink = sinkWith({ path: "/dev/full", onError: (fault) => faults.push(fault) });
  print(sink, '"one"', "two", "€");
  assert.equal(faults.length, 1);
  assert.deepEqual([sink.counters.droppedBytes, sink.counters.droppedRecords], [14, 3]);
  assert.equal((sink.counters.lastError as NodeJS.ErrnoException).code, "ENOSPC");
});
