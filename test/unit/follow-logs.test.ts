import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { type K8sFileOptions, K8sFileSink } from "../../src/logging/k8s-file.ts";
import { type FollowOptions, followLogs, type LogFault } from "../../src/logging/read/mod.ts";
import { inTime } from "../support/waiting.ts";

const TIME = "2026-11-24T04:13:35.000000001Z";

let directory: string;
let path: string;
let clock = 0;
const sinks = new Set<K8sFileSink>();
const followers = new Set<Follower>();

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "follow-logs-"));
  path = join(directory, "0.log");
});

afterEach(async () => {
  for (const follower of followers) await follower.stop();
  for (const sink of sinks) sink.close();
  followers.clear();
  sinks.clear();
  fs.rmSync(directory, { recursive: true, force: true });
});

function sinkWith(options: Partial<K8sFileOptions> = {}): K8sFileSink {
  const sink = new K8sFileSink({ path, ...options });
  sinks.add(sink);
  return sink;
}

function print(sink: K8sFileSink, ...lines: string[]): void {
  for (const line of lines) {
    sink.write("stdout", Buffer.from(`${line}\n`), {
      seconds: 1_700_000_000,
      nanoseconds: clock++,
    });
  }
}

function compress(name: string): void {
  fs.writeFileSync(`${name}.gz`, gzipSync(fs.readFileSync(name)));
  fs.rmSync(name);
}

/** Gives the follower occasion to do what it must not do; nothing depends on its being enough. */
async function turns(): Promise<void> {
  // Each goes the way that a read of the log does, and lets events come.
  for (let turn = 0; turn < 20; turn++) await fs.promises.stat(directory);
}

/** Somebody who follows the log and can be asked for the next lines. */
class Follower {
  readonly faults: LogFault[] = [];
  readonly #stop = new AbortController();
  readonly #lines: AsyncGenerator<{ text: Buffer; complete: boolean }>;

  constructor(options: FollowOptions = {}) {
    const onFault = (fault: LogFault) => this.faults.push(fault);
    this.#lines = followLogs(path, { onFault, signal: this.#stop.signal, ...options });
    followers.add(this);
  }

  /** So many lines, or all up to the end. */
  async lines(count = Number.POSITIVE_INFINITY): Promise<string[]> {
    const lines: string[] = [];
    while (lines.length < count) {
      const what = () => `another line after ${JSON.stringify(lines)}`;
      const { value, done } = await inTime(this.#lines.next(), what);
      if (done) break;
      lines.push(`${value.text}${value.complete ? "" : "..."}`);
    }
    return lines;
  }

  async stop(): Promise<void> {
    this.#stop.abort();
    await this.lines();
  }
}

/** One who has read the first line, and so looks at the log. */
async function attentive(sink: K8sFileSink, options?: FollowOptions): Promise<Follower> {
  const follower = new Follower(options);
  print(sink, "first");
  assert.deepEqual(await follower.lines(1), ["first"]);
  return follower;
}

test("what is there comes first, then what is written", async () => {
  const sink = sinkWith();
  print(sink, "a", "b");
  const follower = new Follower();
  assert.deepEqual(await follower.lines(2), ["a", "b"]);
  const waiting = follower.lines(3);
  print(sink, "c");
  print(sink, "d", "e");
  assert.deepEqual(await waiting, ["c", "d", "e"]);
});

test("the last lines come first, or only what is new", async () => {
  const sink = sinkWith({ rotate: true, maxFiles: 3 });
  print(sink, "a", "b");
  sink.reopen();
  print(sink, "c");
  sink.reopen();
  const [two, none] = [new Follower({ tail: 2 }), new Follower({ tail: 0 })];
  const [twoLines, noLines] = [two.lines(3), none.lines(1)];
  setImmediate(() => print(sink, "d"));
  assert.deepEqual(await twoLines, ["b", "c", "d"]);
  assert.deepEqual(await noLines, ["d"]);
});

test("the last lines of both streams are counted together over several files", async () => {
  const record = (stream: string, text: string) => `${TIME} ${stream} F ${text}\n`;
  fs.writeFileSync(`${path}.2`, record("stderr", "a") + record("stdout", "b"));
  fs.writeFileSync(`${path}.1`, record("stderr", "c") + record("stdout", "d"));
  fs.writeFileSync(path, record("stderr", "e") + record("stderr", "f"));
  const follower = new Follower({ tail: 4, ended: Promise.resolve() });
  assert.deepEqual(await follower.lines(), ["c", "d", "e", "f"]);
  const other = new Follower({ tail: 2, stream: "stdout", ended: Promise.resolve() });
  assert.deepEqual(await other.lines(), ["b", "d"]);
});

test("a torn record waits for its end", async () => {
  fs.writeFileSync(path, `${TIME} stdout F on`);
  for (const tail of [Number.POSITIVE_INFINITY, 0]) {
    const follower = new Follower({ tail });
    const waiting = follower.lines(2);
    await turns();
    fs.appendFileSync(path, `e\n${TIME} stdout F two\n`);
    assert.deepEqual(await waiting, ["one", "two"]);
    assert.deepEqual(follower.faults, []);
    fs.writeFileSync(path, `${TIME} stdout F on`);
  }
});

test("a torn record that its writer cuts off again was never there", async () => {
  const sink = sinkWith();
  const follower = await attentive(sink);
  const expected: string[] = [];
  const waiting = follower.lines(200);
  for (let number = 0; number < 200; number++) {
    const { size } = fs.statSync(path);
    fs.appendFileSync(path, `${TIME} stdout F this is torn in the middle of it`);
    for (let turn = number % 7; turn > 0; turn--) await new Promise(setImmediate);
    fs.truncateSync(path, size);
    expected.push("x".repeat(number));
    print(sink, "x".repeat(number));
    for (let turn = number % 5; turn > 0; turn--) await new Promise(setImmediate);
  }
  assert.deepEqual(await waiting, expected);
  assert.deepEqual(follower.faults, []);
});

test("with kubelet's rotation the old file is read to its end before the new one", async () => {
  const sink = sinkWith();
  const follower = await attentive(sink);
  fs.renameSync(path, `${path}.20260102-000000`);
  print(sink, "a");
  assert.deepEqual(await follower.lines(1), ["a"]);
  print(sink, "b");
  sink.reopen();
  print(sink, "c");
  assert.deepEqual(await follower.lines(2), ["b", "c"]);
});

test("a new file that a rotator makes is not the end of the old one", async () => {
  const sink = sinkWith();
  const follower = await attentive(sink);
  const waiting = follower.lines(3);
  fs.renameSync(path, `${path}.1`);
  fs.writeFileSync(path, "");
  for (const text of ["a", "b"]) {
    await turns();
    print(sink, text);
  }
  await turns();
  sink.reopen();
  print(sink, "c");
  assert.deepEqual(await waiting, ["a", "b", "c"]);
});

test("a file that is moved to another directory, or deleted, is read as long as it grows", async () => {
  const sink = sinkWith();
  const follower = await attentive(sink);
  const elsewhere = fs.mkdtempSync(join(tmpdir(), "follow-logs-"));
  try {
    fs.renameSync(path, join(elsewhere, "moved"));
    print(sink, "a");
    assert.deepEqual(await follower.lines(1), ["a"]);
    const waiting = follower.lines(1);
    await turns();
    print(sink, "b");
    assert.deepEqual(await waiting, ["b"]);
    fs.rmSync(join(elsewhere, "moved"));
    print(sink, "c");
    assert.deepEqual(await follower.lines(1), ["c"]);
    sink.reopen();
    print(sink, "d");
    assert.deepEqual(await follower.lines(1), ["d"]);
  } finally {
    fs.rmSync(elsewhere, { recursive: true });
  }
});

test("a log that is deleted and made again goes on", async () => {
  const follower = await attentive(sinkWith());
  for (const text of ["a", "b", "c"]) {
    fs.rmSync(path);
    print(sinkWith(), text);
    assert.deepEqual(await follower.lines(1), [text]);
  }
});

test("rotations that were not noticed one by one lose and double nothing", async () => {
  const sink = sinkWith({ rotate: true, maxFiles: 100 });
  const follower = await attentive(sink);
  const expected: string[] = [];
  // More than are held open at a time.
  for (let number = 0; number < 50; number++) {
    print(sink, `${number}`, `${number} again`);
    expected.push(`${number}`, `${number} again`);
    sink.reopen();
  }
  assert.deepEqual(await follower.lines(expected.length), expected);
  print(sink, "last");
  assert.deepEqual(await follower.lines(1), ["last"]);
});

test("files that are compressed before they were noticed are read once", async () => {
  const sink = sinkWith();
  const follower = await attentive(sink);
  const rotate = (second: number) => {
    fs.renameSync(path, `${path}.20260102-00000${second}`);
    sink.reopen();
    compress(`${path}.20260102-00000${second}`);
  };
  print(sink, "a");
  rotate(1);
  print(sink, "b");
  rotate(2);
  print(sink, "c");
  rotate(3);
  print(sink, "d");
  assert.deepEqual(await follower.lines(4), ["a", "b", "c", "d"]);
  rotate(4);
  print(sink, "e");
  assert.deepEqual(await follower.lines(1), ["e"]);
  assert.deepEqual(follower.faults, []);
});

test("a file that was noticed while it was empty is known again when it is compressed", async () => {
  const sink = sinkWith();
  print(sink, "old");
  fs.renameSync(path, `${path}.20260102-000001`);
  sink.reopen();
  compress(`${path}.20260102-000001`);
  // The log itself is empty, and not read yet while the first line has not been taken.
  const follower = new Follower();
  assert.deepEqual(await follower.lines(1), ["old"]);
  print(sink, "a");
  fs.renameSync(path, `${path}.20260102-000002`);
  sink.reopen();
  compress(`${path}.20260102-000002`);
  print(sink, "b");
  assert.deepEqual(await follower.lines(2), ["a", "b"]);
});

test("a backup that is compressed later is not read again", async () => {
  const sink = sinkWith({ rotate: true, maxFiles: 9 });
  print(sink, "old");
  sink.reopen();
  const follower = new Follower();
  assert.deepEqual(await follower.lines(1), ["old"]);
  compress(`${path}.1`);
  print(sink, "a");
  assert.deepEqual(await follower.lines(1), ["a"]);
  // Gone, so that it cannot be told by it which files are newer.
  fs.rmSync(path);
  print(sinkWith(), "b");
  assert.deepEqual(await follower.lines(1), ["b"]);
});

test("a line does not go on behind files that are missing", async () => {
  const sink = sinkWith({ maxSize: 1, rotate: true });
  const follower = await attentive(sink);
  // A file each, of which a reader that does nothing holds the first.
  const pieces = Array.from({ length: 40 }, (_, index) => `${index} `);
  for (const piece of pieces) {
    sink.write("stdout", Buffer.from(piece), { seconds: 1_700_000_000, nanoseconds: clock++ });
    await turns();
  }
  print(sink, "end");
  const [beginning = "", rest = ""] = await follower.lines(2);
  assert.match(beginning, /^0 1 2 .*\.\.\.$/);
  assert.match(rest, /^\d+ (\d+ )*end$/);
  assert.ok(pieces.join("").startsWith(beginning.slice(0, -"...".length)));
  assert.ok(`${pieces.join("")}end`.endsWith(rest));
  assert.deepEqual(
    follower.faults.map(({ kind }) => kind),
    ["missing"],
  );
});

test("where no backups are kept, old ones that are there are not mistaken for new", async () => {
  fs.writeFileSync(`${path}.1`, `${TIME} stdout F old\n`);
  const sink = sinkWith();
  const follower = new Follower({ tail: 0 });
  const waiting = follower.lines(3);
  for (const text of ["a", "b", "c"]) {
    await turns();
    print(sink, text);
  }
  assert.deepEqual(await waiting, ["a", "b", "c"]);
  sink.reopen();
  print(sink, "d");
  assert.deepEqual(await follower.lines(1), ["d"]);
});

test("a truncated file is read from its beginning", async () => {
  const sink = sinkWith();
  const follower = await attentive(sink);
  print(sink, "x".repeat(1000));
  assert.equal((await follower.lines(1)).length, 1);
  fs.copyFileSync(path, `${path}.1`);
  fs.truncateSync(path);
  print(sink, "a");
  assert.deepEqual(await follower.lines(1), ["a"]);
  assert.deepEqual(
    follower.faults.map(({ kind }) => kind),
    ["truncated"],
  );
});

test("a truncated file that has grown beyond its old size is noticed as well", async () => {
  const sink = sinkWith();
  const follower = await attentive(sink);
  fs.truncateSync(path);
  print(sink, "a", "b", "x".repeat(1000), "c");
  assert.deepEqual(await follower.lines(4), ["a", "b", "x".repeat(1000), "c"]);
  assert.equal(follower.faults[0]?.kind, "truncated");
});

test("a file that is truncated before it was read at all is read once", async () => {
  const sink = sinkWith();
  const follower = await attentive(sink);
  fs.renameSync(path, `${path}.1`);
  sink.reopen();
  print(sink, "lost");
  await turns();
  fs.truncateSync(path);
  print(sink, "a");
  assert.deepEqual(await follower.lines(1), ["a"]);
  print(sink, "b");
  assert.deepEqual(await follower.lines(1), ["b"]);
});

test("truncation is no error for those who are not interested in faults", async () => {
  const sink = sinkWith();
  print(sink, "a");
  const lines = followLogs(path, { ended: Promise.resolve() });
  const first = await lines.next();
  assert.equal(first.value?.text.toString(), "a");
  fs.truncateSync(path);
  assert.equal((await lines.next()).done, true);
});

test("a log may come later", async () => {
  const follower = new Follower();
  const waiting = follower.lines(1);
  await turns();
  print(sinkWith(), "a");
  assert.deepEqual(await waiting, ["a"]);
});

test("a log may come later where a link leads", async () => {
  const target = join(directory, "pods", "0.log");
  fs.mkdirSync(join(directory, "pods"));
  fs.symlinkSync("pods/link.log", path);
  fs.symlinkSync("0.log", join(directory, "pods", "link.log"));
  const follower = new Follower();
  const waiting = follower.lines(1);
  await turns();
  const sink = sinkWith({ path: target });
  print(sink, "a");
  assert.deepEqual(await waiting, ["a"]);
});

test("a log of which only compressed backups are left goes on when it is made again", async () => {
  fs.writeFileSync(`${path}.1.gz`, gzipSync(Buffer.from(`${TIME} stdout P old \n`)));
  const follower = new Follower();
  const waiting = follower.lines(1);
  fs.writeFileSync(join(directory, "0.log-other"), "");
  await turns();
  print(sinkWith(), "new");
  assert.deepEqual(await waiting, ["old new"]);
});

test("no directory is an error", async () => {
  path = join(directory, "missing", "0.log");
  await assert.rejects(new Follower().lines(), {
    message: `Failed to watch the directory ${join(directory, "missing")} of a log: No such file or directory`,
    code: "ENOENT",
  });
});

test("it ends with the container, after everything was read", async () => {
  const sink = sinkWith({ rotate: true, maxFiles: 9 });
  let end: () => void = assert.fail;
  const ended = new Promise<void>((resolve) => {
    end = resolve;
  });
  const follower = await attentive(sink, { ended });
  const waiting = follower.lines();
  print(sink, "a");
  sink.reopen();
  sink.reopen();
  print(sink, "b");
  sink.write("stderr", Buffer.from("unfinished"), { seconds: 1, nanoseconds: 0 });
  sink.reopen();
  end();
  assert.deepEqual(await waiting, ["a", "b", "unfinished..."]);
});

test("at the end a torn record is skipped or delivered", async () => {
  fs.writeFileSync(path, `${TIME} stdout F one\n${TIME} stdout F tw`);
  const ended = Promise.resolve();
  assert.deepEqual(await new Follower({ ended }).lines(), ["one"]);
  const torn = "deliver";
  assert.deepEqual(await new Follower({ ended, torn }).lines(), ["one", "tw..."]);
});

test("a torn record at the end of a rotated file is told", async () => {
  const sink = sinkWith();
  const follower = await attentive(sink);
  const { size } = fs.statSync(path);
  fs.appendFileSync(path, `${TIME} stdout F to`);
  fs.renameSync(path, `${path}.1`);
  sink.reopen();
  print(sink, "a");
  assert.deepEqual(await follower.lines(1), ["a"]);
  assert.deepEqual(
    follower.faults.map(({ kind, offset }) => [kind, offset]),
    [["torn", size]],
  );
});

test("it ends with the log's directory", async () => {
  const follower = await attentive(sinkWith());
  const waiting = follower.lines();
  fs.rmSync(directory, { recursive: true });
  assert.deepEqual(await waiting, []);
});

test("it ends when it is aborted while it waits, and leaves nothing open", async () => {
  const before = fs.readdirSync("/proc/self/fd").length;
  const stop = new AbortController();
  const follower = new Follower({ signal: stop.signal });
  const waiting = follower.lines();
  const sink = sinkWith();
  fs.renameSync(path, `${path}.1`);
  sink.close();
  await turns();
  stop.abort();
  assert.deepEqual(await waiting, []);
  assert.equal(fs.readdirSync("/proc/self/fd").length, before);
});

test("what went wrong with the container's end is thrown", async () => {
  print(sinkWith(), "a");
  const follower = new Follower({ ended: Promise.reject(new Error("lost sight of it")) });
  await assert.rejects(follower.lines(), /lost sight of it/);
});
