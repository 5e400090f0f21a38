import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, rmSync, symlinkSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { writeOomFiles } from "../../src/events/oom-files.ts";
import { readSmallFile } from "../../src/files/small-file.ts";
import { readPid } from "../../src/session/pidfile.ts";

let directory: string;
let path: string;

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "small-file-"));
  path = join(directory, "file");
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

describe("readSmallFile", () => {
  it("reads a regular file, through a link as well", () => {
    writeFileSync(path, "text");
    symlinkSync(path, `${path}.link`);
    assert.equal(readSmallFile(`${path}.link`, 4).toString(), "text");
    assert.equal(readSmallFile("/proc/self/stat", 4096).toString().split(" ")[0], `${process.pid}`);
  });

  it("refuses more than it was told to read", () => {
    writeFileSync(path, "text");
    assert.throws(() => readSmallFile(path, 3), /file has more than 3 bytes$/);
    assert.throws(() => readSmallFile("/dev/zero", 3), /is no regular file$/);
  });

  it("does not wait for somebody to write to a fifo", () => {
    execFileSync("mkfifo", [path]);
    assert.throws(() => readSmallFile(path, 3), /file is no regular file$/);
  });
});

describe("readPid", () => {
  it("takes white space around the number, but no other text and no init", () => {
    writeFileSync(path, " 4711\n");
    assert.equal(readPid(path), 4711);
    for (const text of ["", "1", "-5", "4711 4712", "0x10", "99999999999"]) {
      writeFileSync(path, text);
      assert.throws(() => readPid(path), /holds no pid of a container process/);
    }
  });
});

describe("writeOomFiles", () => {
  it("does not wait for somebody to read from a fifo", () => {
    execFileSync("mkfifo", [join(directory, "oom")]);
    const [error] = writeOomFiles([directory]);
    assert.match(error?.message ?? "", /Failed to write .*oom: ENXIO/);
  });
});
