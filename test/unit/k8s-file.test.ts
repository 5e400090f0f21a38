import assert from "node:assert/strict";
import { pbkdf2, randomBytes } from "node:crypto";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { promisify } from "node:util";
import { type K8sFileOptions, K8sFileSink } from "../../src/logging/k8s-file.ts";
import { readCriRecords, readOutput } from "../../src/logging/read/cri-records.ts";
import { inTime, PATIENCE } from "../support/waiting.ts";

const AT = { seconds: 1_700_000_000, nanoseconds: 5 };
/** What a record has besides its text. */
const FRAME = 46;

const pbkdf2Async = promisify(pbkdf2);

let directory: string;
let path: string;
const open = new Set<K8sFileSink>();

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "k8s-file-"));
  path = join(directory, "0.log");
});

afterEach(() => {
  for (const sink of open) sink.close();
  open.clear();
  fs.rmSync(directory, { recursive: true });
});

function sinkWith(options: Partial<K8sFileOptions> = {}): K8sFileSink {
  const sink = new K8sFileSink({ path, ...options });
  open.add(sink);
  return sink;
}

function print(sink: K8sFileSink, ...lines: string[]): void {
  for (const line of lines) sink.write("stdout", Buffer.from(`${line}\n`), AT);
}

/** The text of each file, oldest backup first. */
function logged(...files: string[]): string[] {
  return files.map((file) =>
    readOutput(fs.readFileSync(join(directory, file)), "stdout").toString(),
  );
}

function files(): string[] {
  return fs.readdirSync(directory).sort();
}

test("the file is made with mode 0640", () => {
  const umask = process.umask(0o022);
  try {
    sinkWith().reopen();
    assert.equal(fs.statSync(path).mode & 0o7777, 0o640);
    fs.rmSync(path);
    sinkWith();
    assert.equal(fs.statSync(path).mode & 0o7777, 0o640);
  } finally {
    process.umask(umask);
  }
});

test("records are appended in the form that CRI readers know", () => {
  fs.writeFileSync(path, "");
  const sink = sinkWith();
  sink.write("stdout", Buffer.from("one\ntw"), AT);
  sink.write("stderr", Buffer.from("\n"), AT);
  sink.write("stdout", Buffer.alloc(0), AT);
  const time = /^2023-11-1\dT\d\d:\d\d:20\.000000005[+-]\d\d:\d\d /gm;
  const text = fs.readFileSync(path, "utf8");
  assert.equal(text.match(time)?.length, 3);
  assert.equal(text.replace(time, ""), "stdout F one\nstdout P tw\nstderr F \n");
  assert.deepEqual(sink.counters, {
    bytes: 7,
    records: 3,
    stdout: { bytes: 6, records: 2 },
    stderr: { bytes: 1, records: 1 },
    pendingBytes: 0,
    rotations: 0,
    droppedBytes: 0,
    droppedRecords: 0,
    writeErrors: 0,
    lastError: undefined,
  });
});

test("what the container wrote can be read back exactly, however it was read", () => {
  for (const recordSize of [1, 7, 128, 16384, 131072]) {
    const name = join(directory, `${recordSize}.log`);
    const sink = sinkWith({ path: name, recordSize });
    const written: Record<"stdout" | "stderr", Buffer[]> = { stdout: [], stderr: [] };
    for (let read = 0; read < 60; read++) {
      const stream = Math.random() < 0.5 ? "stdout" : "stderr";
      const data = randomBytes(Math.floor(Math.random() ** 4 * 70_000));
      // Some reads of short lines, some of long ones, some with none.
      const every = [2, 20, 300, 20_000, 1e9][read % 5] ?? 1;
      for (let at = 0; at < data.length; at += Math.ceil(Math.random() * every)) data[at] = 10;
      sink.write(stream, data, AT);
      written[stream].push(data);
    }
    const log = fs.readFileSync(name);
    for (const stream of ["stdout", "stderr"] as const) {
      assert.ok(readOutput(log, stream).equals(Buffer.concat(written[stream])), `${recordSize}`);
    }
    const records = [...readCriRecords(log)];
    assert.equal(sink.counters.records, records.length);
    assert.ok(records.every((record) => record.payload.length <= recordSize));
  }
});

test("a log path that cannot be opened is an error with path, reason and code", () => {
  const missing = join(directory, "missing", "0.log");
  assert.throws(() => sinkWith({ path: missing }), {
    message: `Failed to open log file ${missing}: No such file or directory`,
    code: "ENOENT",
  });
  assert.throws(() => sinkWith({ path: directory }), { code: "EISDIR" });
});

test("a record size out of range is refused", () => {
  for (const recordSize of [0, -1, 1.5, 131073, Number.NaN]) {
    assert.throws(() => sinkWith({ recordSize }), /record size must be 1 to 131072/);
  }
  assert.deepEqual(files(), []);
});

test("at the size limit the old content is dropped", () => {
  const sink = sinkWith({ maxSize: 3 * (FRAME + 4) });
  print(sink, "0001", "0002", "0003");
  assert.deepEqual(logged("0.log"), ["0001\n0002\n0003\n"]);
  print(sink, "0004");
  assert.deepEqual(logged("0.log"), ["0004\n"]);
  assert.deepEqual(files(), ["0.log"]);
  assert.equal(sink.counters.rotations, 1);
  assert.equal(sink.counters.droppedRecords, 0);
});

test("with rotation the old content moves through the backups, the oldest goes", () => {
  const sink = sinkWith({ maxSize: 2 * (FRAME + 1), rotate: true, maxFiles: 2 });
  print(sink, "a", "b", "c", "d", "e", "f", "g");
  assert.deepEqual(files(), ["0.log", "0.log.1", "0.log.2"]);
  assert.deepEqual(logged("0.log.2", "0.log.1", "0.log"), ["c\nd\n", "e\nf\n", "g\n"]);
});

test("one read fills several files, and no record is lost, doubled or split", () => {
  const maxSize = 2000;
  const sink = sinkWith({ maxSize, rotate: true, maxFiles: 1000, recordSize: 500 });
  const written: Buffer[] = [];
  for (let read = 0; read < 30; read++) {
    const data = randomBytes(Math.floor(Math.random() * 8000));
    sink.write("stdout", data, AT);
    written.push(data);
  }
  const backups = sink.counters.rotations;
  const names = [...Array(backups).keys()].map((index) => `0.log.${backups - index}`);
  const contents = [...names, "0.log"].map((name) => fs.readFileSync(join(directory, name)));
  for (const content of contents) assert.ok(content.length <= maxSize && content.at(-1) === 10);
  const output = contents.map((content) => readOutput(content, "stdout"));
  assert.ok(Buffer.concat(output).equals(Buffer.concat(written)));
  assert.ok(backups > 30);
});

test("a record larger than the limit goes alone into a file", () => {
  const sink = sinkWith({ maxSize: 100, rotate: true, maxFiles: 9 });
  const large = "x".repeat(200);
  sink.write("stdout", Buffer.from(`${large}\na\n${large}\n${large}\nb\n`), AT);
  assert.deepEqual(logged("0.log.4", "0.log.3", "0.log.2", "0.log.1", "0.log"), [
    `${large}\n`,
    "a\n",
    `${large}\n`,
    `${large}\n`,
    "b\n",
  ]);
});

test("what is in the file at the start counts", () => {
  print(sinkWith(), "old");
  const sink = sinkWith({ maxSize: FRAME + 3 + FRAME + 4 });
  print(sink, "new");
  assert.deepEqual(logged("0.log"), ["old\nnew\n"]);
  print(sinkWith({ maxSize: FRAME + 4 }), "only");
  assert.deepEqual(logged("0.log"), ["only\n"]);
});

test("a file that somebody else truncates is not rotated early", () => {
  const sink = sinkWith({ maxSize: 3 * (FRAME + 1), rotate: true });
  print(sink, "a", "b", "c");
  fs.truncateSync(path);
  print(sink, "d", "e", "f");
  assert.deepEqual(logged("0.log"), ["d\ne\nf\n"]);
  assert.deepEqual(files(), ["0.log"]);
});

test("no limit is a limit of 0 or less", () => {
  const sink = sinkWith({ maxSize: 0, globalMaxSize: -1 });
  print(sink, ...Array(1000).fill("line"));
  assert.equal(fs.statSync(path).size, 1000 * (FRAME + 4));
});

test("beyond the limit for the whole run all is dropped and counted", () => {
  const sink = sinkWith({ globalMaxSize: 2 * (FRAME + 4) + 60 });
  sink.write("stdout", Buffer.from(`0001\n0002\n${"x".repeat(20)}\n4\n`), AT);
  print(sink, "5");
  assert.deepEqual(logged("0.log"), ["0001\n0002\n"]);
  assert.equal(sink.counters.bytes, 10);
  assert.equal(sink.counters.records, 2);
  assert.equal(sink.counters.droppedBytes, 21 + 2 + 2);
  assert.equal(sink.counters.droppedRecords, 3);
  assert.equal(sink.counters.writeErrors, 0);
});

test("the limit for the whole run goes on over rotations and counts what was there", () => {
  print(sinkWith(), "0");
  const sink = sinkWith({ maxSize: FRAME + 1, globalMaxSize: 3 * (FRAME + 1) });
  print(sink, "1", "2", "3", "4");
  assert.deepEqual(logged("0.log"), ["2\n"]);
  assert.equal(sink.counters.droppedRecords, 2);
});

test("a limit for the whole run that the file has passed already lets nothing through", () => {
  print(sinkWith(), "0", "1");
  const sink = sinkWith({ globalMaxSize: FRAME });
  print(sink, "2");
  assert.deepEqual(logged("0.log"), ["0\n1\n"]);
  assert.equal(sink.counters.droppedRecords, 1);
});

test("reopen drops the content where the file is still at its path", () => {
  const sink = sinkWith();
  print(sink, "a");
  sink.reopen();
  print(sink, "b");
  assert.deepEqual(logged("0.log"), ["b\n"]);
  assert.deepEqual(files(), ["0.log"]);
  assert.equal(sink.counters.rotations, 1);
});

test("reopen with rotation keeps the content in a backup", () => {
  const sink = sinkWith({ rotate: true });
  print(sink, "a");
  sink.reopen();
  print(sink, "b");
  assert.deepEqual(logged("0.log.1", "0.log"), ["a\n", "b\n"]);
});

test("reopen after the file was renamed makes a new one and leaves the old alone", () => {
  for (const rotate of [false, true]) {
    const sink = sinkWith({ rotate });
    print(sink, "a");
    fs.renameSync(path, `${path}.20260101`);
    print(sink, "b");
    sink.reopen();
    print(sink, "c");
    assert.deepEqual(logged("0.log.20260101", "0.log"), ["a\nb\n", "c\n"]);
    assert.deepEqual(files(), ["0.log", "0.log.20260101"]);
    fs.rmSync(path);
  }
});

test("reopen after the file was removed makes a new one", () => {
  const sink = sinkWith();
  fs.rmSync(path);
  sink.reopen();
  print(sink, "a");
  assert.deepEqual(logged("0.log"), ["a\n"]);
});

test("reopen goes on in a file that a rotator has put there", () => {
  const sink = sinkWith({ rotate: true });
  print(sink, "a");
  fs.renameSync(path, `${path}.old`);
  fs.writeFileSync(path, "", { mode: 0o600 });
  const { ino } = fs.statSync(path);
  sink.reopen();
  print(sink, "b");
  assert.equal(fs.statSync(path).ino, ino);
  assert.deepEqual(logged("0.log.old", "0.log"), ["a\n", "b\n"]);
});

test("the directory sees a fresh file at the path itself, on reopen and on rotation", async () => {
  for (const rotate of [false, true]) {
    const sink = sinkWith({ maxSize: FRAME + 1, rotate });
    const freshFiles = [
      () => sink.reopen(),
      () => print(sink, "1", "2"),
      () => {
        fs.renameSync(path, `${path}.moved`);
        sink.reopen();
      },
    ];
    for (const makeOne of freshFiles) {
      const watcher = fs.watch(directory);
      try {
        makeOne();
        const { ino } = fs.statSync(path);
        for (;;) {
          const [event, name] = await once(watcher, "change", {
            signal: AbortSignal.timeout(PATIENCE),
          });
          if (event === "rename" && name === "0.log" && fs.statSync(path).ino === ino) break;
        }
      } finally {
        watcher.close();
      }
    }
  }
});

test("what is left over of an interrupted rotation does not disturb the next", () => {
  fs.symlinkSync(join(directory, "elsewhere"), `${path}.tmp`);
  const sink = sinkWith();
  sink.reopen();
  print(sink, "a");
  assert.deepEqual(files(), ["0.log"]);
  assert.deepEqual(logged("0.log"), ["a\n"]);
});

test("a gap in the backups keeps the older ones where they are", () => {
  fs.writeFileSync(`${path}.3`, "old");
  const sink = sinkWith({ rotate: true, maxFiles: 3 });
  for (const line of ["a", "b"]) {
    print(sink, line);
    sink.reopen();
  }
  assert.deepEqual(logged("0.log.2", "0.log.1"), ["a\n", "b\n"]);
  assert.equal(fs.readFileSync(`${path}.3`, "utf8"), "old");
});

test("sync survives rotations and a close in the meantime, and no descriptor is left", async () => {
  const sink = sinkWith({ maxSize: FRAME + 1, rotate: true });
  // All threads of the pool are busy, so that the syncs begin after the files were closed.
  const busy = Array.from({ length: 4 }, () => pbkdf2Async("", "", 50_000, 64, "sha512"));
  const syncs = [sink.sync()];
  print(sink, "1", "2", "3");
  syncs.push(sink.sync());
  sink.reopen();
  sink.close();
  sink.close();
  await Promise.all([...busy, ...syncs]);
  await sink.sync();
  const stillOpen = () =>
    fs.readdirSync("/proc/self/fd").filter((fd) => {
      // The descriptor of the listing itself is gone by now.
      const link = `/proc/self/fd/${fd}`;
      return fs.existsSync(link) && fs.readlinkSync(link).startsWith(directory);
    });
  // Files that were replaced are closed in threads.
  const allClosed = async () => {
    while (stillOpen().length > 0) await turn();
  };
  await inTime(allClosed(), () => `the closing of descriptors ${stillOpen().join(", ")}`);
});

test("after close all is dropped and counted, and a reopen is an error", () => {
  const faults: unknown[] = [];
  const sink = sinkWith({ maxSize: FRAME + 1, onError: (fault) => faults.push(fault) });
  print(sink, "a");
  sink.close();
  print(sink, "b", "c");
  assert.deepEqual(logged("0.log"), ["a\n"]);
  assert.equal(sink.counters.droppedBytes, 4);
  assert.throws(() => sink.reopen(), /Failed to reopen log file .*closed/);
  assert.deepEqual(faults, []);
});
