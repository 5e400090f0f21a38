import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync } from "node:fs";
import { test } from "node:test";
import { readShim } from "../../src/containers/shims.ts";
import { needProgram, unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";

/** Has busybox's shell look like a monitor of ours, under a root directory: its last words are conmon's options. */
const PRETEND = `
import os, sys
os.set_inheritable(os.memfd_create("conmon-journal"), True)
os.chroot(sys.argv[1])
words = ["-c", "echo; read word", "--cid", "fake", "--runtime", "/evil"]
os.execv(sys.argv[2], ["sh", *words])
`;

async function pretend(scratch: Scratch, root: string, program: string): Promise<string> {
  const child = spawn("python3", ["-c", PRETEND, root, program], {
    stdio: ["pipe", "pipe", "inherit"],
  });
  const end = once(child, "close");
  scratch.atEnd(async () => {
    child.stdin.end();
    await end;
  });
  await once(child.stdout, "data");
  return String(child.pid);
}

test(
  "a process under another root directory, as a container's, is no monitor whatever it says",
  { skip: unlessRootWith("busybox", "python3") },
  async (t) => {
    const scratch = makeScratch(t);
    copyFileSync(needProgram("busybox"), scratch.path("conmon"));
    const outside = await pretend(scratch, "/", scratch.path("conmon"));
    const inside = await pretend(scratch, scratch.directory, "/conmon");
    assert.equal(readShim("/proc", outside)?.id, "fake");
    assert.equal(readShim("/proc", inside), undefined);
  },
);
