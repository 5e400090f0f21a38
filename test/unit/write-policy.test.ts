/** Logs on file systems that are really full, or really read-only. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import * as fs from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type K8sFileOptions, K8sFileSink } from "../../src/logging/k8s-file.ts";
import { type LossNotice, parseLossNotice } from "../../src/logging/loss-notice.ts";
import { readCriRecords, readOutput } from "../../src/logging/read/cri-records.ts";
import type { SinkFault, StreamName } from "../../src/logging/sink.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { mountTmpfs } from "../support/tmpfs.ts";
import { inTime } from "../support/waiting.ts";

const skip = unlessRootWith("mount", "umount");
const AT = { seconds: 1_700_000_000, nanoseconds: 5 };

/** A sink on a tmpfs of 256 KiB, of which half is taken by a file. */
function makeFull(scratch: Scratch, options: Partial<K8sFileOptions> = {}) {
  const directory = mountTmpfs(scratch, 256);
  const path = join(directory, "0.log");
  const ballast = join(directory, "ballast");
  fs.writeFileSync(ballast, Buffer.alloc(128 * 1024));
  const faults: SinkFault[] = [];
  let relieve = (): void => {};
  const sink = new K8sFileSink({
    path,
    onError: (fault) => faults.push(fault),
    onRelief: () => relieve(),
    ...options,
  });
  scratch.atEnd(() => sink.close());
  const relief = (): Promise<void> =>
    new Promise((resolve) => {
      relieve = resolve;
    });
  return { directory, path, ballast, faults, sink, relief };
}

function print(sink: K8sFileSink, text: string, stream: StreamName = "stdout"): void {
  sink.write(stream, Buffer.from(text), AT);
}

function notices(path: string): LossNotice[] {
  const own = [...readCriRecords(fs.readFileSync(path))].filter(
    ({ stream }) => stream === "stderr",
  );
  return own.flatMap(({ payload }) => parseLossNotice(payload.toString()) ?? []);
}

test(
  "block: nothing is lost while the disk is full, and it goes on by itself",
  { skip },
  async (t) => {
    const { path, ballast, faults, sink, relief } = makeFull(makeScratch(t), {
      onWriteError: "block",
    });
    const written: Buffer[] = [];
    const write = (data: Buffer): void => {
      sink.write("stdout", data, AT);
      written.push(data);
    };
    while (!sink.behind) write(Buffer.from(`${randomBytes(2000).toString("hex")}\n`.repeat(5)));
    // Those who write nevertheless are kept in order.
    write(Buffer.from("a piece"));
    write(Buffer.from(" of a line\n"));
    const { counters } = sink;
    const total = Buffer.concat(written).length;
    assert.ok(counters.pendingBytes > 18);
    assert.equal(counters.bytes + counters.pendingBytes, total);
    assert.equal(fs.readFileSync(path).at(-1), 10);
    assert.equal(faults.length, 1);
    const errorsBefore = counters.writeErrors;
    const relieved = relief();
    fs.rmSync(ballast);
    await inTime(relieved, "the log to go on");
    // Not a busy loop: the first attempts come after 0.1, 0.2, 0.4... seconds.
    assert.ok(counters.writeErrors - errorsBefore <= 3, `${counters.writeErrors} attempts`);
    assert.equal(sink.behind, false);
    assert.ok(readOutput(fs.readFileSync(path), "stdout").equals(Buffer.concat(written)));
    assert.deepEqual([counters.bytes, counters.pendingBytes], [total, 0]);
    assert.equal(counters.records, [...readCriRecords(fs.readFileSync(path))].length);
    assert.deepEqual(counters.stdout, { bytes: total, records: counters.records });
    assert.deepEqual([counters.droppedBytes, counters.droppedRecords], [0, 0]);
    assert.deepEqual(
      faults.map(({ state }) => state),
      ["failing", "recovered"],
    );
  },
);

test(
  "block: records of one read that is written in parts are neither lost nor doubled",
  { skip },
  async (t) => {
    const { path, ballast, sink, relief } = makeFull(makeScratch(t), { onWriteError: "block" });
    // What 64 KiB of empty lines become is more than there is room for.
    const data = Buffer.alloc(65_536, "\n");
    const relieved = relief();
    sink.write("stderr", data.subarray(0, 5000), AT);
    assert.ok(sink.behind);
    fs.rmSync(ballast);
    await inTime(relieved, "the log to go on");
    assert.equal(readOutput(fs.readFileSync(path), "stderr").length, 5000);
    assert.deepEqual(sink.counters.stderr, { bytes: 5000, records: 5000 });
  },
);

test(
  "block: at the end it is waited for a while only, then all is counted and told",
  { skip },
  async (t) => {
    const { path, faults, sink } = makeFull(makeScratch(t), {
      onWriteError: "block",
      lastPatience: 300,
    });
    // Records of a page each leave no room for a notice.
    const line = `${"x".repeat(4050)}\n`;
    while (!sink.behind) print(sink, line);
    const flushed = sink.flush();
    // Somebody sets the clock back: that is no reason to wait until it has caught up.
    t.mock.method(Date, "now", () => 0);
    await inTime(flushed, "the end of the flush");
    assert.equal(sink.behind, false);
    const { droppedBytes, droppedRecords, pendingBytes, bytes } = sink.counters;
    assert.deepEqual([droppedBytes, droppedRecords, pendingBytes], [4051, 1, 0]);
    assert.equal(readOutput(fs.readFileSync(path), "stdout").length, bytes);
    const last = faults.at(-1);
    assert.ok(last?.state === "failing");
    assert.equal(parseLossNotice(last.error.message)?.bytes, 4051);
  },
);

test("block: a reopen where there is room goes on at once", { skip }, (t) => {
  const { path, ballast, sink } = makeFull(makeScratch(t), { onWriteError: "block" });
  const line = `${"x".repeat(999)}\n`;
  while (!sink.behind) print(sink, line);
  fs.renameSync(path, `${path}.20260102-150405`);
  fs.rmSync(ballast);
  sink.reopen();
  assert.equal(sink.behind, false);
  assert.equal(readOutput(fs.readFileSync(path), "stdout").toString(), line);
});

test("drop: the container goes on, and one line in the log says what was lost", { skip }, (t) => {
  const { path, ballast, sink } = makeFull(makeScratch(t));
  const line = `${"x".repeat(999)}\n`;
  for (let number = 0; number < 300; number++) print(sink, line);
  assert.equal(sink.behind, false);
  const { droppedBytes, droppedRecords } = sink.counters;
  assert.ok(droppedRecords > 100);
  assert.deepEqual(notices(path), []);
  fs.rmSync(ballast);
  print(sink, `${line}last\n`);
  const [notice, ...more] = notices(path);
  assert.deepEqual(more, []);
  assert.deepEqual([notice?.records, notice?.bytes], [droppedRecords, droppedBytes]);
  assert.equal(notice?.reason, "no space left on device");
  // Right behind the first record after the gap.
  const records = [...readCriRecords(fs.readFileSync(path))].map(({ stream }) => stream);
  assert.deepEqual(records.slice(-3), ["stdout", "stderr", "stdout"]);
  assert.deepEqual(sink.counters.stderr, { bytes: 0, records: 0 });
});

test("drop: the notice is not put together with a piece of a line", { skip }, (t) => {
  const { path, ballast, sink } = makeFull(makeScratch(t));
  print(sink, "a piece", "stderr");
  const line = `${"x".repeat(999)}\n`;
  for (let number = 0; number < 200; number++) print(sink, line);
  fs.rmSync(ballast);
  print(sink, line);
  print(sink, "more\n", "stderr");
  assert.ok(sink.counters.droppedRecords > 0);
  const [first, second, third] = readOutput(fs.readFileSync(path), "stderr").toString().split("\n");
  assert.deepEqual([first, third], ["a piece", "more"]);
  assert.ok(parseLossNotice(second ?? ""));
});

test("drop: nor with a piece whose rest was lost", { skip }, async (t) => {
  const { path, ballast, sink } = makeFull(makeScratch(t));
  print(sink, "a piece", "stderr");
  const line = `${"x".repeat(4050)}\n`;
  while (sink.counters.droppedRecords === 0) print(sink, line);
  print(sink, `${"y".repeat(5000)}\n`, "stderr");
  fs.rmSync(ballast);
  await sink.flush();
  const [first, second] = readOutput(fs.readFileSync(path), "stderr").toString().split("\n");
  assert.equal(first, "a piece");
  assert.equal(parseLossNotice(second ?? "")?.records, 2);
});

test("drop: at the end the notice is written if that is possible by then", { skip }, async (t) => {
  const { path, ballast, faults, sink } = makeFull(makeScratch(t));
  const line = `${"x".repeat(9999)}\n`;
  for (let number = 0; number < 30; number++) print(sink, line);
  fs.rmSync(ballast);
  await sink.flush();
  assert.equal(notices(path)[0]?.bytes, sink.counters.droppedBytes);
  assert.deepEqual(
    faults.map(({ state }) => state),
    ["failing", "recovered"],
  );
});

test("drop: what the log cannot be told any more is told to others", { skip }, async (t) => {
  const { path, faults, sink } = makeFull(makeScratch(t));
  const line = `${"x".repeat(99)}\n`;
  for (let number = 0; number < 3000; number++) print(sink, line);
  await sink.flush();
  assert.deepEqual(notices(path), []);
  const last = faults.at(-1);
  assert.ok(last?.state === "failing");
  assert.equal(parseLossNotice(last.error.message)?.bytes, sink.counters.droppedBytes);
});

test("limits by which output is dropped on purpose are nothing to be told of", async (t) => {
  const path = makeScratch(t).path("0.log");
  const sink = new K8sFileSink({ path, globalMaxSize: 100 });
  print(sink, "one\ntwo\nthree\n");
  await sink.flush();
  sink.close();
  assert.equal(sink.counters.droppedRecords, 1);
  assert.deepEqual(notices(path), []);
});

test("a file system that has become read-only is an outage like others", { skip }, async (t) => {
  const scratch = makeScratch(t);
  const image = scratch.path("image");
  const directory = scratch.folder("mounted");
  fs.writeFileSync(image, "");
  fs.truncateSync(image, 4 * 2 ** 20);
  if (spawnSync("mkfs.ext4", ["-q", "-O", "^has_journal", image]).status !== 0) {
    t.skip("needs mkfs.ext4");
    return;
  }
  if (spawnSync("mount", ["-o", "loop,errors=remount-ro", image, directory]).status !== 0) {
    t.skip("needs loop devices");
    return;
  }
  scratch.atEnd(() => {
    execFileSync("umount", [directory]);
  });
  const device = execFileSync("findmnt", ["-no", "SOURCE", directory], { encoding: "utf8" });
  const trigger = `/sys/fs/ext4/${device.trim().replace("/dev/", "")}/trigger_fs_error`;
  const path = join(directory, "0.log");
  const faults: SinkFault[] = [];
  const sink = new K8sFileSink({ path, onError: (fault) => faults.push(fault) });
  scratch.atEnd(() => sink.close());
  print(sink, "before\n");
  fs.writeFileSync(trigger, "test");
  print(sink, "lost\n");
  print(sink, "lost, too\n");
  assert.match((sink.counters.lastError as NodeJS.ErrnoException).code ?? "", /^(EROFS|EIO)$/);
  assert.deepEqual([sink.counters.droppedRecords, faults.length], [2, 1]);
  assert.equal(readOutput(fs.readFileSync(path), "stdout").toString(), "before\n");
});
