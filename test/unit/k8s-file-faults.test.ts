import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, type TestContext, test } from "node:test";
import { fileURLToPath } from "node:url";
import { K8sFileSink } from "../../src/logging/k8s-file.ts";
import { readCriRecords, readOutput } from "../../src/logging/read/cri-records.ts";
import type { SinkFault } from "../../src/logging/sink.ts";

const AT = { seconds: 1_700_000_000, nanoseconds: 5 };
const FRAME = 46;
const FILL_DISK = fileURLToPath(new URL("../support/log-to-full-disk.ts", import.meta.url));

const notRoot = process.getuid?.() !== 0 && "needs root";

let directory: string;
let path: string;
let faults: SinkFault[];

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "k8s-file-faults-"));
  path = join(directory, "0.log");
  faults = [];
});

afterEach(() => fs.rmSync(directory, { recursive: true }));

function onError(fault: SinkFault): void {
  faults.push(fault);
}

function print(sink: K8sFileSink, ...lines: string[]): void {
  for (const line of lines) sink.write("stdout", Buffer.from(`${line}\n`), AT);
}

function logged(file = path): string {
  return readOutput(fs.readFileSync(file), "stdout").toString();
}

/** Runs the program on a tmpfs of 64 KiB that only it sees. */
function fillDisk(context: TestContext, lineLength: number) {
  const mounted = 'mount -t tmpfs -o size=64k tmpfs "$0" && exec "$@"';
  const program = [process.execPath, "--import", "tsx", FILL_DISK, directory, String(lineLength)];
  const namespace = process.getuid?.() === 0 ? "-m" : "-rm";
  if (spawnSync("unshare", [namespace, "true"]).status !== 0) {
    context.skip("needs a mount namespace: run as root, or allow user namespaces");
    return undefined;
  }
  const argv = [namespace, "sh", "-c", mounted, directory, ...program];
  return JSON.parse(execFileSync("unshare", argv, { encoding: "utf8" }));
}

for (const lineLength of [10, 1000, 60_000]) {
  test(`a full disk loses whole records only, counted and told once (${lineLength})`, (context) => {
    const report = fillDisk(context, lineLength);
    if (report === undefined) return;
    const { whileFull, counters, total } = report;
    // It was filled to the brim, and one outage is one message.
    assert.ok(whileFull.size > 32 * 1024 - Math.min(lineLength, 16384) - FRAME);
    assert.equal(whileFull.faults, 1);
    assert.ok(whileFull.droppedRecords > 0);
    assert.ok(report.endsInRecord);
    // With room again it goes on, and says what was lost.
    assert.equal(counters.lastError, "ENOSPC");
    assert.deepEqual(
      report.faults.map((fault: SinkFault) => [fault.task, fault.state]),
      [
        ["write", "failing"],
        ["write", "recovered"],
      ],
    );
    assert.equal(report.faults[0].error.code, "ENOSPC");
    assert.equal(report.faults[1].droppedBytes, counters.droppedBytes);
    assert.equal(report.faults[1].droppedRecords, counters.droppedRecords);
    assert.deepEqual(
      { records: report.records, output: report.output },
      { records: counters.records, output: counters.bytes },
    );
    assert.equal(counters.bytes + counters.droppedBytes, total.bytes);
    // The log itself says so, too, in one line.
    const [notice] = report.notices;
    assert.equal(report.notices.length, 1);
    const { droppedRecords, droppedBytes } = counters;
    assert.deepEqual([notice.records, notice.bytes], [droppedRecords, droppedBytes]);
    assert.equal(notice.reason, "no space left on device");
    assert.match(notice.from, /^2023-11-1\dT.*\.\d{9}[+-]\d\d:\d\d$/);
    assert.ok(notice.from <= notice.to);
  });
}

test("a device without space is one outage with many failures", () => {
  const sink = new K8sFileSink({ path: "/dev/full", onError });
  print(sink, "one", "two", "three");
  assert.equal(faults.length, 1);
  assert.equal(faults[0]?.state, "failing");
  assert.equal((sink.counters.lastError as NodeJS.ErrnoException).code, "ENOSPC");
  assert.equal(sink.counters.writeErrors, 3);
  assert.deepEqual([sink.counters.bytes, sink.counters.records], [0, 0]);
  assert.deepEqual([sink.counters.droppedBytes, sink.counters.droppedRecords], [14, 3]);
  sink.close();
});

test("a torn record that cannot be cut off is completed when there is room", () => {
  execFileSync("mkfifo", [path]);
  const reader = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const pipe = Buffer.alloc(1024 * 1024);
  const sink = new K8sFileSink({ path, onError });
  const data = Buffer.from(`${"x".repeat(9999)}\n`.repeat(10));
  sink.write("stdout", data, AT);
  assert.deepEqual(
    faults.map((fault) => fault.state),
    ["failing"],
  );
  assert.equal((sink.counters.lastError as NodeJS.ErrnoException).code, "EAGAIN");
  const first = fs.readSync(reader, pipe);
  assert.notEqual(pipe[first - 1], 10, "the pipe should have been full in mid-record");
  sink.write("stdout", data.subarray(0, 10_000), AT);
  const log = pipe.subarray(0, first + fs.readSync(reader, pipe, first, pipe.length - first, null));
  // And the notice of what was lost after it.
  assert.equal([...readCriRecords(log)].length, sink.counters.records + 1);
  assert.equal(readOutput(log, "stdout").length, sink.counters.bytes);
  assert.equal(sink.counters.bytes + sink.counters.droppedBytes, 110_000);
  assert.deepEqual(
    faults.map((fault) => fault.state),
    ["failing", "recovered"],
  );
  sink.close();
  fs.closeSync(reader);
});

test("what comes behind a torn record is no part of it", () => {
  const torn = "2026-01-02T15:04:05.000000006+01:00 stdout F to";
  const whole = "2026-01-02T15:04:05.000000006+01:00 stdout F whole\n";
  fs.writeFileSync(path, whole + torn);
  const sink = new K8sFileSink({ path, onError });
  print(sink, "first");
  // A rotator has put one there.
  fs.renameSync(path, `${path}.old`);
  fs.writeFileSync(path, torn);
  sink.reopen();
  print(sink, "second");
  sink.close();
  assert.equal(logged(`${path}.old`), "whole\nto\nfirst\n");
  assert.equal(logged(), "to\nsecond\n");
  new K8sFileSink({ path }).close();
  assert.equal(logged(), "to\nsecond\n");
});

test("a torn record on a full disk is ended when there is room", { skip: notRoot }, () => {
  execFileSync("mount", ["-t", "tmpfs", "-o", "size=4k", "tmpfs", directory]);
  try {
    const torn = "2026-01-02T15:04:05.000000006+01:00 stdout F ";
    fs.writeFileSync(path, torn.padEnd(4096, "x"));
    const sink = new K8sFileSink({ path, onError });
    print(sink, "lost");
    execFileSync("mount", ["-o", "remount,size=8k", directory]);
    print(sink, "second");
    sink.close();
    const lines = logged().split("\n");
    assert.deepEqual([lines.length, lines[0]?.length, lines[1]], [3, 4096 - torn.length, "second"]);
    const { records, droppedRecords, droppedBytes } = sink.counters;
    assert.deepEqual([records, droppedRecords, droppedBytes], [1, 1, "lost\n".length]);
  } finally {
    execFileSync("umount", ["-l", directory]);
  }
});

test("a fifo that nobody reads is an error, not a hang", () => {
  execFileSync("mkfifo", [path]);
  assert.throws(() => new K8sFileSink({ path }), { code: "ENXIO" });
});

test("what is no regular file is not replaced by one", () => {
  execFileSync("mkfifo", [path]);
  const reader = fs.openSync(path, fs.constants.O_RDONLY | fs.constants.O_NONBLOCK);
  const sink = new K8sFileSink({ path, maxSize: 1, onError });
  print(sink, "one", "two");
  sink.reopen();
  print(sink, "three");
  assert.ok(fs.lstatSync(path).isFIFO());
  const log = Buffer.alloc(4096);
  const length = fs.readSync(reader, log);
  assert.equal(readOutput(log.subarray(0, length), "stdout").toString(), "one\ntwo\nthree\n");
  assert.deepEqual(fs.readdirSync(directory), ["0.log"]);
  sink.close();
  fs.closeSync(reader);
});

test("where no fresh file can be made, logging goes on in the old one", () => {
  const sink = new K8sFileSink({ path, maxSize: FRAME + 1, rotate: true, onError });
  fs.mkdirSync(`${path}.tmp`);
  print(sink, "a", "b", "c");
  assert.equal(logged(), "a\nb\nc\n");
  assert.deepEqual(
    faults.map((fault) => [fault.task, fault.state]),
    [["rotate", "failing"]],
  );
  assert.equal(sink.counters.writeErrors, 2);
  assert.equal(sink.counters.droppedRecords, 0);
  fs.rmdirSync(`${path}.tmp`);
  print(sink, "d");
  assert.deepEqual([logged(`${path}.1`), logged()], ["a\nb\nc\n", "d\n"]);
  assert.deepEqual(faults[1], {
    state: "recovered",
    task: "rotate",
    droppedBytes: 0,
    droppedRecords: 0,
  });
  sink.close();
});

test("rotations that fail do not push the backups out", () => {
  const sink = new K8sFileSink({ path, maxSize: FRAME + 1, rotate: true, maxFiles: 2, onError });
  print(sink, "a", "b", "c");
  fs.mkdirSync(`${path}.tmp`);
  print(sink, "d", "e", "f");
  assert.deepEqual([logged(`${path}.2`), logged(`${path}.1`)], ["a\n", "b\n"]);
  sink.close();
});

test("a reopen that fails is thrown, and logging goes on where it was", () => {
  const sink = new K8sFileSink({ path, onError });
  const moved = `${directory}.moved`;
  fs.renameSync(directory, moved);
  try {
    const message = `Failed to reopen log file ${path}: No such file or directory`;
    assert.throws(() => sink.reopen(), { message, code: "ENOENT" });
    print(sink, "a");
    assert.equal(logged(join(moved, "0.log")), "a\n");
  } finally {
    fs.renameSync(moved, directory);
    sink.close();
  }
});
