import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdirSync, statSync, symlinkSync, unlinkSync, writeFileSync } from "node:fs";
import { test } from "node:test";
import { makeDirectory } from "../../src/files/make-directory.ts";
import { conmonctlProgram, privateEnvironment } from "../support/run-conmonctl.ts";
import { makeScratch } from "../support/scratch.ts";

const modeOf = (path: string): number => statSync(path).mode & 0o777;

test("a directory and those above it are made, with the mode, and the first one is returned", (t) => {
  const scratch = makeScratch(t);
  assert.equal(makeDirectory(scratch.path("a/b/c"), 0o700), scratch.path("a"));
  assert.deepEqual(
    ["a", "a/b", "a/b/c"].map((path) => modeOf(scratch.path(path))),
    [...[0o700, 0o700, 0o700]],
  );
  assert.equal(makeDirectory(scratch.path("a/b/d"), 0o755), scratch.path("a/b/d"));
  assert.equal(makeDirectory(scratch.path("a/b/c"), 0o755), undefined);
  assert.equal(modeOf(scratch.path("a/b/c")), 0o700);
});

test("a directory may be a link to one; what is something else is an error", (t) => {
  const scratch = makeScratch(t);
  mkdirSync(scratch.path("directory"));
  symlinkSync(scratch.path("directory"), scratch.path("link"));
  symlinkSync(scratch.path("nowhere"), scratch.path("dangling"));
  writeFileSync(scratch.path("file"), "");
  scratch.atEnd(() => {
    for (const name of ["link", "dangling"]) unlinkSync(scratch.path(name));
  });
  assert.equal(makeDirectory(scratch.path("link"), 0o700), undefined);
  assert.throws(() => makeDirectory(scratch.path("file"), 0o700), { code: "EEXIST" });
  assert.throws(() => makeDirectory(scratch.path("file/below"), 0o700), { code: "ENOTDIR" });
  assert.throws(() => makeDirectory(scratch.path("dangling/below"), 0o700), { code: "ENOENT" });
});

// In processes of their own, since one that never comes back can only be killed.
test("where nobody can make a directory commands end, with an error", (t) => {
  const scratch = makeScratch(t);
  for (const [variable, args, status] of [
    ["CONMON_TS_STATE", ["run", "--", "true"], 1],
    ["CONMOND_SOCKET", ["daemon", "start"], 1],
    ["HOME", ["setup", "podman", "--apply", "--root-prefix", "/proc/none"], 1],
  ] as const) {
    const result = spawnSync(process.execPath, [conmonctlProgram, ...args], {
      env: { ...privateEnvironment(scratch), [variable]: "/proc/none/below" },
      encoding: "utf8",
      timeout: 30_000,
      killSignal: "SIGKILL",
    });
    assert.deepEqual([args, result.signal, result.status], [args, null, status], result.stderr);
    assert.match(result.stderr, /^conmonctl: [^\n]+\n(hint: [^\n]+\n)?$/);
  }
});
