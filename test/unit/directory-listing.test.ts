import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { listLogFiles } from "../../src/logging/read/directory-listing.ts";
import { meanwhile } from "../support/between-calls.ts";

const ROTATOR = fileURLToPath(new URL("../support/rotate-often.ts", import.meta.url));

let directory: string;
let path: string;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "listing-"));
  path = join(directory, "0.log");
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true });
});

test("the files are listed from the newest to one that is known", () => {
  for (const suffix of ["", ".1", ".2.gz", ".3"]) fs.writeFileSync(`${path}${suffix}`, "");
  fs.mkdirSync(`${path}.4`);
  const all = listLogFiles(path);
  const names = all.map((file) => basename(file.path));
  assert.deepEqual(names, ["0.log", "0.log.1", "0.log.2.gz", "0.log.3"]);
  assert.deepEqual(listLogFiles(path, all[1]?.id), all.slice(0, 2));
  assert.deepEqual(listLogFiles(path, "none of them"), all);
});

test("a file keeps its identity when it is renamed", () => {
  fs.writeFileSync(path, "");
  const [before] = listLogFiles(path);
  fs.renameSync(path, `${path}.1`);
  const [after] = listLogFiles(path);
  assert.equal(after?.id, before?.id);
  assert.notEqual(after?.path, before?.path);
});

test("a file is not missed that is rotated during the first look and compressed during the second", (t) => {
  const old = `${path}.20260102-000001`;
  fs.writeFileSync(path, "old");
  const left = meanwhile(t, "after readdirSync", () => true, [
    () => {
      fs.renameSync(path, old);
      fs.writeFileSync(path, "new");
      // Here the first look asks for 0.log, and sees the new one only.
      fs.writeFileSync(`${old}.gz`, "packed");
    },
    // The second look has read both names and asks for the plain file, since there is one.
    () => fs.rmSync(old),
  ]);
  const names = listLogFiles(path).map((file) => basename(file.path));
  assert.deepEqual(names, ["0.log", "0.log.20260102-000001.gz"]);
  assert.equal(left(), 0);
});

test("a link that leads nowhere is no file that is just being renamed", () => {
  fs.writeFileSync(path, "");
  fs.symlinkSync("nowhere", `${path}.1`);
  assert.deepEqual(
    listLogFiles(path).map((file) => basename(file.path)),
    ["0.log"],
  );
});

test("while all files are renamed again and again none is listed twice or missing", async () => {
  const args = ["--import", "tsx", ROTATOR, path, "20"];
  const rotator = spawn(process.execPath, args, { stdio: ["ignore", "pipe", "inherit"] });
  const gone = once(rotator, "exit");
  try {
    await once(rotator.stdout, "data");
    for (let look = 0; look < 1000; look++) {
      const files = listLogFiles(path);
      const ids = new Set(files.map(({ id }) => id));
      const names = files.map((file) => basename(file.path)).join(" ");
      assert.equal(ids.size, files.length, names);
      // When the oldest has been replaced and the newest is not there yet, there is one less.
      assert.ok(files.length >= 19, names);
    }
  } finally {
    rotator.kill("SIGKILL");
    await gone;
  }
});
