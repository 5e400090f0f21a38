/** What a container without a cgroup of its own uses, which is added up from its processes. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { type Container, readUsage } from "../../src/containers/mod.ts";
import { makeScratch } from "../support/scratch.ts";

/** A proc file system with a process 70 and its child 71, of 3 pages each. */
function makeProc(directory: string, vector: readonly bigint[]): string {
  const rest = "0 0 0 -1 0 0 0 0 0 2 1 0 0 20 0 1 0 987654 4096 3";
  for (const [pid, parent] of [
    [70, 1],
    [71, 70],
    [72, 1],
  ]) {
    mkdirSync(join(directory, String(pid)), { recursive: true });
    writeFileSync(join(directory, String(pid), "stat"), `${pid} (a b) S ${parent} ${rest}\n`);
  }
  mkdirSync(join(directory, "self"));
  writeFileSync(join(directory, "self/auxv"), new Uint8Array(BigUint64Array.from(vector).buffer));
  return directory;
}

test("memory is counted in the kernel's own pages", (t) => {
  const scratch = makeScratch(t);
  const container = { id: "f".repeat(64), pid: 70 } as Container;
  const memory = (name: string, vector: readonly bigint[]) => {
    const usage = readUsage(container, makeProc(scratch.folder(name), vector));
    assert.deepEqual([usage?.source, usage?.processes], ["processes", 2]);
    return usage?.memory;
  };
  assert.equal(memory("x64", [33n, 1n, 6n, 4096n, 17n, 100n, 0n, 0n]), 6 * 4096);
  assert.equal(memory("arm64", [33n, 6n, 16n, 6n, 6n, 65_536n, 0n, 0n]), 6 * 65_536);
  assert.equal(memory("unknown", [0n, 0n]), 6 * 4096);
});
