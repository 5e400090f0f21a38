import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { type LogFilePart, LogFiles } from "../../src/logging/read/log-files.ts";
import { meanwhile } from "../support/between-calls.ts";

let directory: string;
let path: string;
const opened: LogFilePart[] = [];

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "log-files-"));
  path = join(directory, "0.log");
});

afterEach(() => {
  for (const file of opened.splice(0)) file.close();
  fs.rmSync(directory, { recursive: true });
});

/** What is in each of these files, which are closed at the test's end. */
async function contents(files: LogFilePart[]): Promise<string[]> {
  opened.push(...files);
  const all: string[] = [];
  for (const file of files) {
    const { bytes } = await file.blockBefore(await file.length());
    all.push(bytes.toString());
  }
  return all;
}

function compress(name: string, target = name): void {
  fs.writeFileSync(`${target}.gz.tmp`, gzipSync(fs.readFileSync(name)));
  fs.renameSync(`${target}.gz.tmp`, `${target}.gz`);
  fs.rmSync(name);
}

test("a file that is renamed between being listed and being opened is opened all the same", async (t) => {
  fs.writeFileSync(path, "a");
  const rotate = (text: string, to: string) => {
    fs.renameSync(path, `${path}.${to}`);
    fs.writeFileSync(path, text);
  };
  const left = meanwhile(t, "before openSync", (name) => name === path, [
    () => rotate("b", "20260102-000001"),
    () => rotate("c", "20260102-000002"),
  ]);
  const files = new LogFiles(path);
  assert.deepEqual(await contents(files.openAll()), ["a", "b", "c"]);
  assert.equal(left(), 0);
  const more = meanwhile(t, "before openSync", (name) => name === path, [
    () => rotate("e", "20260102-000004"),
  ]);
  rotate("d", "20260102-000003");
  assert.deepEqual(await contents(files.openNewer(opened.at(-1), 9)), ["d", "e"]);
  assert.equal(more(), 0);
});

test("a compressed file is known again although it is renamed while it is looked for", async (t) => {
  fs.writeFileSync(path, "a");
  const files = new LogFiles(path);
  assert.deepEqual(await contents(files.openAll()), ["a"]);
  fs.renameSync(path, `${path}.1`);
  fs.writeFileSync(path, "b");
  compress(`${path}.1`);
  // It has been listed as .1.gz, which is another file's name by now, or nobody's.
  for (const next of ["c", "d"]) {
    const left = meanwhile(t, "before openSync", (name) => name === `${path}.1.gz`, [
      () => {
        for (const number of [2, 1]) {
          if (!fs.existsSync(`${path}.${number}.gz`)) continue;
          fs.renameSync(`${path}.${number}.gz`, `${path}.${number + 1}.gz`);
        }
        fs.renameSync(path, `${path}.1`);
        fs.writeFileSync(path, next);
        if (next === "d") compress(`${path}.1`);
      },
    ]);
    const newer = files.openNewer(opened[0], 9);
    assert.deepEqual(await contents(newer), next === "c" ? ["b", "c"] : ["b", "c", "d"]);
    assert.equal(left(), 0);
    if (next === "c") compress(`${path}.1`);
  }
});

test("a new file is not taken for one that is gone and had the same inode and time of birth", async () => {
  // This one comes back, which is the same as another one that cannot be told from it.
  const away = join(directory, "away");
  fs.writeFileSync(path, "a");
  const files = new LogFiles(path);
  assert.deepEqual(await contents(files.openAll()), ["a"]);
  fs.renameSync(path, away);
  fs.writeFileSync(path, "b");
  const last = opened.at(-1);
  assert.deepEqual(await contents(files.openNewer(last, 9)), ["b"]);
  files.noteOlder(opened.at(-1));
  fs.renameSync(away, path);
  assert.deepEqual(await contents(files.openNewer(opened.at(-1), 9)), ["a"]);
});

test("of many compressed files so many are opened as are asked for, each once", async () => {
  fs.writeFileSync(path, "first");
  const files = new LogFiles(path);
  assert.deepEqual(await contents(files.openAll()), ["first"]);
  const expected: string[] = [];
  for (let number = 10; number < 60; number++) {
    const name = `${path}.20260102-0000${number}`;
    fs.renameSync(path, name);
    fs.writeFileSync(path, `${number}`);
    compress(name);
    // The newest has both forms, as long as the plain one is not removed.
    if (number === 59) fs.writeFileSync(name, `${number - 1}`);
    expected.push(`${number}`);
  }
  const found: string[] = [];
  for (let most = 16; ; ) {
    const newer = await contents(files.openNewer(opened.at(-1), most));
    if (newer.length === 0) break;
    assert.ok(newer.length <= most);
    found.push(...newer);
  }
  assert.deepEqual(found, expected);
});

test("files that are renamed all the time hold nobody up who only remembers them", async (t) => {
  for (const suffix of ["", ".1", ".2"]) fs.writeFileSync(`${path}${suffix}`, suffix);
  const files = new LogFiles(path);
  await contents(files.openAll());
  const rotate = (): void => {
    for (const number of [2, 1]) fs.renameSync(`${path}.${number}`, `${path}.${number + 1}`);
    fs.renameSync(path, `${path}.1`);
    fs.writeFileSync(path, "new");
  };
  const rotations = Array.from({ length: 100 }, () => rotate);
  const left = meanwhile(t, "after readdirSync", () => true, rotations);
  files.noteOlder(opened.at(-1));
  assert.ok(left() > 50, `${left()} rotations were not waited for`);
});
