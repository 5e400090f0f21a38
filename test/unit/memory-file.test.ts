/** What processes hand on in memory files. */
import assert from "node:assert/strict";
import { closeSync, ftruncateSync, readSync, writeSync } from "node:fs";
import { test } from "node:test";
import { readMemoryFile } from "../../src/files/memory-file.ts";
import * as sys from "../../src/sys/mod.ts";

test("a memory file is read whole, wherever its position is, up to a bound", (t) => {
  const fd = sys.memoryFile("test");
  t.after(() => closeSync(fd));
  writeSync(fd, "0123456789");
  assert.equal(readMemoryFile(fd, "a text", 10).toString(), "0123456789");
  readSync(fd, Buffer.alloc(4), 0, 4, 0);
  assert.equal(readMemoryFile(fd, "a text", 10).toString(), "0123456789");
  assert.throws(() => readMemoryFile(fd, "a text", 9), /^Error: a text of 10 bytes, more than 9$/);
  ftruncateSync(fd, 2 ** 40);
  assert.throws(() => readMemoryFile(fd, "a text", 10), /^Error: a text of 1099511627776 bytes/);
  ftruncateSync(fd, 0);
  assert.equal(readMemoryFile(fd, "a text", 10).length, 0);
});
