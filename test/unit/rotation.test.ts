/** Fresh files by size and age, with compressed backups, a cap on all of them, and kubelet's own rotation. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { mock, test } from "node:test";
import { type K8sFileOptions, K8sFileSink } from "../../src/logging/k8s-file.ts";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import type { SinkFault } from "../../src/logging/sink.ts";
import { NumberedLines, readBack } from "../support/numbered-lines.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { watchFor } from "../support/waiting.ts";

const FRAME = 46;

function make(scratch: Scratch, options: Partial<K8sFileOptions> = {}) {
  const path = scratch.path("0.log");
  const faults: SinkFault[] = [];
  const sink = new K8sFileSink({ path, onError: (fault) => faults.push(fault), ...options });
  scratch.atEnd(() => sink.close());
  const names = (): string[] => fs.readdirSync(dirname(path)).filter((name) => name !== "tmp");
  return { path, sink, faults, names };
}

function print(sink: K8sFileSink, text: string, seconds = Math.floor(Date.now() / 1000)): void {
  sink.write("stdout", Buffer.from(text), { seconds, nanoseconds: 0 });
}

/** Resolves when all backups are compressed. */
function allCompressed(path: string): Promise<true> {
  const plain = new RegExp(`^${basename(path).replaceAll(".", "\\.")}\\.(\\d+|\\d+\\.gz\\.tmp)$`);
  const look = () => !fs.readdirSync(dirname(path)).some((name) => plain.test(name)) || undefined;
  return watchFor(dirname(path), look, "the backups to be compressed");
}

test("at full load nothing is lost, doubled or split by rotation, compression and reopening", async (t) => {
  const scratch = makeScratch(t);
  const { path, sink, faults } = make(scratch, {
    ...{ maxSize: 64 * 1024, rotate: true, maxFiles: 10_000, compress: "gzip" },
  });
  const lines = new NumberedLines();
  for (let read = 0; read < 300; read++) {
    const stream = read % 3 === 0 ? "stderr" : "stdout";
    sink.write(stream, lines.read(stream, 1 + Math.floor(Math.random() * 65_536)), {
      seconds: 1_700_000_000 + read,
      nanoseconds: 0,
    });
    // As kubelet does it: its file is neither counted nor touched.
    if (read % 37 === 36) {
      fs.renameSync(path, `${path}.20260102-${150000 + read}`);
      sink.reopen();
    } else if (read % 41 === 40) sink.reopen();
    // Compression goes on between the reads.
    if (read % 5 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await allCompressed(path);
  const files = readBack(path);
  lines.check(files);
  assert.ok(files.filter(({ name }) => name.endsWith(".gz")).length > 100);
  assert.equal(files.filter(({ name }) => name.includes("2026")).length, 8);
  for (const { name, content } of files) {
    assert.equal(content.at(-1), 10, `${name} ends in a torn record`);
    if (!name.includes("2026")) assert.ok(content.length <= 64 * 1024, name);
  }
  const { counters } = sink;
  assert.deepEqual(faults, []);
  assert.deepEqual(
    [counters.stdout.bytes, counters.stderr.bytes],
    [lines.written.stdout.length, lines.written.stderr.length],
  );
  assert.equal(counters.bytes, counters.stdout.bytes + counters.stderr.bytes);
  assert.equal(counters.records, counters.stdout.records + counters.stderr.records);
});

test("no more backups are kept than asked for, whatever is being compressed", async (t) => {
  const { path, sink, names } = make(makeScratch(t), {
    ...{ maxSize: 200_000, rotate: true, maxFiles: 3, compress: "gzip" },
  });
  for (let line = 0; line < 2000; line++) {
    print(sink, `${line} ${"x".repeat(5000)}\n`);
    if (line % 20 === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  await allCompressed(path);
  assert.deepEqual(names().sort(), ["0.log", "0.log.1.gz", "0.log.2.gz", "0.log.3.gz"]);
  const numbers = readBack(path).map(({ content }) =>
    readOutput(content, "stdout").toString().match(/^\d+/gm)?.map(Number),
  );
  const all = numbers.flat();
  assert.equal(all.at(-1), 1999);
  all.forEach((number, index) => {
    assert.equal(number, 2000 - all.length + index);
  });
});

test("log and backups together never have more bytes than allowed", async (t) => {
  const most = 100_000;
  const { path, sink, names } = make(makeScratch(t), {
    ...{ maxSize: 20_000, rotate: true, maxFiles: 100, maxTotalSize: most },
  });
  fs.writeFileSync(`${path}.20260102-150405`, "kubelet's");
  const size = (): number =>
    names()
      .filter((name) => !name.includes("2026"))
      .reduce((sum, name) => sum + fs.statSync(join(dirname(path), name)).size, 0);
  let largest = 0;
  for (let line = 0; line < 3000; line++) {
    print(sink, `${line} ${"x".repeat((line * 7919) % 900)}\n`);
    largest = Math.max(largest, size());
  }
  assert.ok(largest <= most && largest > most - 25_000, `${largest}`);
  assert.ok(names().length >= 5);
  assert.ok(fs.existsSync(`${path}.20260102-150405`));
});

test("a cap for all is a cap for the file, too", (t) => {
  const { path, sink, names } = make(makeScratch(t), { rotate: true, maxTotalSize: 1000 });
  for (let line = 0; line < 100; line++) print(sink, `${line} ${"x".repeat(80)}\n`);
  assert.ok(fs.statSync(path).size <= 1000);
  assert.match(readOutput(fs.readFileSync(path), "stdout").toString(), /^99 /m);
  assert.ok(names().length <= 2);
});

test("a file whose first record is too old is rotated, and an empty one is left alone", (t) => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
  t.after(() => mock.timers.reset());
  const { path, sink } = make(makeScratch(t), { rotate: true, maxFiles: 9, maxAge: 60 });
  mock.timers.tick(1000_000);
  assert.equal(sink.counters.rotations, 0);
  print(sink, "a\n");
  mock.timers.tick(30_000);
  print(sink, "b\n");
  mock.timers.tick(29_000);
  assert.equal(sink.counters.rotations, 0);
  mock.timers.tick(1000);
  assert.equal(sink.counters.rotations, 1);
  mock.timers.tick(1000_000);
  assert.equal(sink.counters.rotations, 1);
  print(sink, "c\n");
  mock.timers.tick(60_000);
  assert.equal(sink.counters.rotations, 2);
  const text = (file: string): string => readOutput(fs.readFileSync(file), "stdout").toString();
  assert.deepEqual([text(`${path}.2`), text(`${path}.1`), text(path)], ["a\nb\n", "c\n", ""]);
});

test("the age counts from the first record that is there at the start", (t) => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
  t.after(() => mock.timers.reset());
  const scratch = makeScratch(t);
  const { sink } = make(scratch);
  print(sink, "a\n", 1_700_000_000 - 3600);
  print(sink, "b\n");
  const { sink: next } = make(scratch, { maxAge: 3660 });
  mock.timers.tick(59_000);
  assert.equal(next.counters.rotations, 0);
  mock.timers.tick(1000);
  assert.equal(next.counters.rotations, 1);
});

test("the age counts on when the clock is set, and from now on for a record of the future", (t) => {
  let now = 1_700_000_000_000;
  mock.timers.enable({ apis: ["setTimeout"] });
  t.after(() => mock.timers.reset());
  t.mock.method(Date, "now", () => now);
  const { sink } = make(makeScratch(t), { rotate: true, maxFiles: 9, maxAge: 60 });
  for (const jump of [-365 * 86_400_000, 365 * 86_400_000]) {
    const { rotations } = sink.counters;
    print(sink, "a\n", now / 1000);
    now += jump;
    mock.timers.tick(59_000);
    assert.equal(sink.counters.rotations, rotations);
    mock.timers.tick(1000);
    assert.equal(sink.counters.rotations, rotations + 1);
  }
  print(sink, "b\n", now / 1000 + 86_400);
  mock.timers.tick(60_000);
  assert.equal(sink.counters.rotations, 3);
});

test("an age of years is no timer that runs at once", (t) => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
  t.after(() => mock.timers.reset());
  const { sink } = make(makeScratch(t), { maxAge: 40 * 86_400 });
  print(sink, "a\n");
  // The longest that Node.js has is about 25 days; what a timer sets counts from the end of a tick.
  mock.timers.tick(2 ** 31 - 1);
  mock.timers.tick(39 * 86_400_000 - (2 ** 31 - 1));
  assert.equal(sink.counters.rotations, 0);
  mock.timers.tick(86_400_000);
  assert.equal(sink.counters.rotations, 1);
});

test("kubelet's rotation begins a new age, and close() ends it", (t) => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
  t.after(() => mock.timers.reset());
  const { path, sink } = make(makeScratch(t), { rotate: true, maxAge: 60 });
  print(sink, "a\n");
  mock.timers.tick(30_000);
  fs.renameSync(path, `${path}.20260102-150405`);
  sink.reopen();
  mock.timers.tick(45_000);
  assert.equal(sink.counters.rotations, 1);
  print(sink, "b\n");
  sink.close();
  mock.timers.tick(100_000);
  assert.equal(sink.counters.rotations, 1);
});

test("a file that is rotated for its size is not rotated for its age at once", (t) => {
  mock.timers.enable({ apis: ["setTimeout", "Date"], now: 1_700_000_000_000 });
  t.after(() => mock.timers.reset());
  const { sink } = make(makeScratch(t), { maxSize: FRAME + 1, maxAge: 60 });
  print(sink, "a\n");
  mock.timers.tick(50_000);
  print(sink, "b\n");
  mock.timers.tick(50_000);
  assert.equal(sink.counters.rotations, 1);
  mock.timers.tick(10_000);
  assert.equal(sink.counters.rotations, 2);
});
