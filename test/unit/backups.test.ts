import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { gunzipSync, gzipSync } from "node:zlib";
import { Backups } from "../../src/logging/backups.ts";
import { projectRoot } from "../support/programs.ts";
import { appears, disappears, PATIENCE } from "../support/waiting.ts";

let directory: string;
let path: string;
const open = new Set<Backups>();

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "backups-"));
  path = join(directory, "0.log");
});

afterEach(() => {
  for (const backups of open) backups.close();
  open.clear();
  fs.rmSync(directory, { recursive: true });
});

function make(keep: number, compress = false, onCompressed: (error?: Error) => void = () => {}) {
  const backups = new Backups(path, { keep, compress, onCompressed });
  open.add(backups);
  return backups;
}

function put(files: Record<string, string>): void {
  for (const [name, text] of Object.entries(files)) {
    const content = name.endsWith(".gz") ? gzipSync(text) : text;
    fs.writeFileSync(join(directory, name), content);
  }
}

/** What each file holds, by name. */
function files(): Record<string, string> {
  const names = fs.readdirSync(directory).sort();
  return Object.fromEntries(
    names.map((name) => {
      const content = fs.readFileSync(join(directory, name));
      return [name, (name.endsWith(".gz") ? gunzipSync(content) : content).toString()];
    }),
  );
}

/** Resolves when so many backups have been compressed, and rejects when one cannot be. */
function compressed(count: number): { backups: (keep: number) => Backups; done: Promise<void> } {
  let left = count;
  let settle: { resolve: () => void; reject: (error: Error) => void };
  const done = new Promise<void>((resolve, reject) => {
    settle = { resolve, reject };
  });
  const onCompressed = (error?: Error): void => {
    if (error !== undefined) settle.reject(error);
    else if (--left === 0) settle.resolve();
  };
  return { backups: (keep) => make(keep, true, onCompressed), done };
}

test("plain and compressed backups move up together, the oldest goes in either form", () => {
  put({ "0.log": "d", "0.log.1": "c", "0.log.2.gz": "b", "0.log.3": "a" });
  const backups = make(3);
  backups.shift();
  assert.deepEqual(files(), { "0.log.1": "d", "0.log.2": "c", "0.log.3.gz": "b" });
  put({ "0.log": "e" });
  backups.shift();
  assert.deepEqual(files(), { "0.log.1": "e", "0.log.2": "d", "0.log.3": "c" });
});

test("names that are no plain numbers are nobody's business here", async () => {
  const others = {
    "0.log.20260102-150405": "kubelet",
    "0.log.20260102-150405.gz": "kubelet, compressed",
    "0.log.20260102": "a rotator's",
    "0.log.01": "whoever's",
    "0.log.1.gz.old": "whoever's",
    "0.logs.1": "another log's",
    "1.log.1": "another log's",
  };
  put({ ...others, "0.log": "c", "0.log.1": "b", "0.log.7.gz.tmp": "half" });
  const { backups, done } = compressed(2);
  const mine = backups(2);
  assert.equal(mine.measure(), 1);
  mine.tidy();
  mine.shift();
  mine.compress();
  await done;
  assert.equal(mine.prune(0), 0);
  assert.deepEqual(files(), { ...others });
});

test("what a crash has left is removed, and the plain form of a backup counts", () => {
  put({
    "0.log": "",
    "0.log.1.gz.tmp": "half",
    "0.log.2": "b",
    "0.log.2.gz": "?",
    "0.log.3.gz": "a",
  });
  make(3).tidy();
  assert.deepEqual(files(), { "0.log": "", "0.log.2": "b", "0.log.3.gz": "a" });
});

test("a fifo that has the name of a backup is not waited for", async () => {
  execFileSync("mkfifo", [`${path}.1`]);
  const { backups, done } = compressed(1);
  backups(2).compress();
  await assert.rejects(done, /Failed to compress a backup of .*0\.log\.1 is no regular file/);
  fs.rmSync(`${path}.1`);
});

test("backups that are there already are compressed at the start", async () => {
  put({ "0.log": "c", "0.log.1": "b", "0.log.2": "a" });
  const { mode } = fs.statSync(`${path}.1`);
  fs.chmodSync(`${path}.1`, 0o640);
  fs.utimesSync(`${path}.1`, 1000, 2000);
  const { backups, done } = compressed(2);
  backups(2).tidy();
  await done;
  assert.deepEqual(files(), { "0.log": "c", "0.log.1.gz": "b", "0.log.2.gz": "a" });
  const status = fs.statSync(`${path}.1.gz`);
  assert.deepEqual([status.mode & 0o777, status.mtimeMs], [0o640, 2_000_000]);
  assert.equal(fs.statSync(`${path}.2.gz`).mode, mode);
});

test("a backup that moves while it is compressed is put where it then is", async () => {
  const large = "0123456789abcdef".repeat(500_000);
  put({ "0.log.1": large });
  const { backups, done } = compressed(1);
  const mine = backups(3);
  const watcher = fs.watch(directory);
  mine.tidy();
  for (;;) {
    const [, name] = await once(watcher, "change", { signal: AbortSignal.timeout(PATIENCE) });
    if (name === "0.log.1.gz.tmp" && fs.statSync(`${path}.1.gz.tmp`).size > 0) break;
  }
  watcher.close();
  put({ "0.log": "new" });
  mine.shift();
  assert.ok(fs.existsSync(`${path}.1.gz.tmp`), "it should still be at work");
  await done;
  assert.deepEqual(files(), { "0.log.1": "new", "0.log.2.gz": large });
});

test("a backup that is pushed out while it is compressed is gone", async () => {
  put({ "0.log.1": "x".repeat(4_000_000) });
  const { backups, done } = compressed(1);
  const mine = backups(1);
  const watcher = fs.watch(directory);
  mine.tidy();
  await once(watcher, "change", { signal: AbortSignal.timeout(PATIENCE) });
  watcher.close();
  put({ "0.log": "new" });
  mine.shift();
  await done;
  assert.deepEqual(files(), { "0.log.1": "new" });
});

test("close() leaves a backup that is being compressed as it was", async () => {
  const large = "x".repeat(8_000_000);
  put({ "0.log.1": large });
  const faults: unknown[] = [];
  const mine = make(1, true, (error) => faults.push(error));
  const watcher = fs.watch(directory);
  mine.tidy();
  await once(watcher, "change", { signal: AbortSignal.timeout(PATIENCE) });
  watcher.close();
  mine.close();
  assert.deepEqual(files(), { "0.log.1": large });
  // Whoever comes next has its turn when the one that was interrupted is over.
  const { backups, done } = compressed(1);
  backups(1).tidy();
  await done;
  assert.deepEqual(files(), { "0.log.1.gz": large });
  assert.deepEqual(faults, []);
});

test("close() tells what it cannot remove, and goes on", async () => {
  put({ "0.log.1": "x".repeat(8_000_000) });
  const faults: string[] = [];
  const mine = make(1, true, (error) => faults.push(String(error?.message)));
  mine.tidy();
  const unfinished = `${path}.1.gz.tmp`;
  await appears(unfinished);
  fs.rmSync(unfinished);
  fs.mkdirSync(unfinished);
  mine.close();
  assert.equal(faults.length, 1);
  assert.match(faults[0] ?? "", /^Failed to remove the unfinished backup .*0\.log\.1\.gz\.tmp: /);
  // The next has its turn when the one that was interrupted is over.
  fs.rmdirSync(unfinished);
  const { backups, done } = compressed(1);
  backups(1).tidy();
  await done;
});

test("whoever is killed while compressing leaves nothing that is taken for a backup", async () => {
  const large = "0123456789abcdef".repeat(1_000_000);
  put({ "0.log.1": large });
  const script = `
    const { Backups } = await import("./src/logging/backups.ts");
    new Backups(${JSON.stringify(path)}, { keep: 1, compress: true, onCompressed() {} }).tidy();
  `;
  const args = ["--import", "tsx", "--input-type=module", "--eval", script];
  const child = spawn(process.execPath, args, { cwd: projectRoot, stdio: "inherit" });
  await appears(`${path}.1.gz.tmp`);
  child.kill("SIGKILL");
  await once(child, "exit");
  assert.deepEqual(fs.readdirSync(directory).sort(), ["0.log.1", "0.log.1.gz.tmp"]);
  const { backups, done } = compressed(1);
  const mine = backups(1);
  assert.equal(mine.measure(), large.length);
  mine.tidy();
  await done;
  assert.deepEqual(files(), { "0.log.1.gz": large });
});

test("a backup that cannot be compressed stays, and that is told", async () => {
  put({ "0.log.1": "a" });
  fs.mkdirSync(`${path}.1.gz.tmp`);
  const error = await new Promise<Error | undefined>((resolve) => {
    make(1, true, resolve).compress();
  });
  assert.match(error?.message ?? "", /^Failed to compress a backup of .*0\.log: /);
  assert.equal(fs.readFileSync(`${path}.1`, "utf8"), "a");
});

test("one after the other: two logs share one turn", async () => {
  put({ "0.log.1": "x".repeat(2_000_000), "0.log.2": "y".repeat(2_000_000) });
  const other = join(directory, "other.log");
  fs.writeFileSync(`${other}.1`, "z".repeat(2_000_000));
  let most = 0;
  const watcher = fs.watch(directory, () => {
    const names = fs.readdirSync(directory).filter((name) => name.endsWith(".tmp"));
    most = Math.max(most, names.length);
  });
  const { backups, done } = compressed(2);
  const another = new Backups(other, { keep: 1, compress: true, onCompressed: () => {} });
  open.add(another);
  backups(2).tidy();
  another.tidy();
  await Promise.all([done, disappears(`${other}.1`)]);
  watcher.close();
  assert.equal(most, 1);
  assert.equal(gunzipSync(fs.readFileSync(`${other}.1.gz`)).length, 2_000_000);
});

test("the oldest are deleted until the rest is small enough", () => {
  put({ "0.log.1": "1234", "0.log.2": "12345", "0.log.3": "1", "0.log.12": "123" });
  const backups = make(3);
  assert.equal(backups.measure(), 13);
  assert.equal(backups.prune(13), 13);
  assert.equal(backups.prune(9), 9);
  assert.deepEqual(Object.keys(files()), ["0.log.1", "0.log.2"]);
  assert.equal(backups.prune(8), 4);
  assert.deepEqual(Object.keys(files()), ["0.log.1"]);
});
