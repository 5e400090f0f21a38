/** The demo on a machine without an OCI runtime, which is this one in a mount namespace that hides them. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { programPath, projectRoot, unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { inTime } from "../support/waiting.ts";

const skip = unlessRootWith("unshare", "setpriv");

/** What is no regular file is no program to them. */
const HIDE = `
  for runtime in runc crun; do
    for folder in $(echo "$PATH" | tr : ' '); do
      [ ! -f "$folder/$runtime" ] || mount --bind /dev/null "$folder/$runtime"
    done
  done
  exec "$@"`;

interface Result {
  readonly status: number | null;
  readonly output: string;
}

async function without(scratch: Scratch, command: string[], env: object = {}): Promise<Result> {
  const child = spawn("unshare", ["--mount", "sh", "-c", HIDE, "sh", ...command], {
    cwd: projectRoot,
    env: {
      PATH: programPath,
      TMPDIR: scratch.temporary,
      CONMON_TS_TEST: scratch.id,
      CONMOND_SOCKET: "",
      ...env,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let output = "";
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      output += text;
    });
  }
  const end = new Promise<number | null>((resolve) => child.on("close", resolve));
  return { status: await inTime(end, () => `the end of ${command.join(" ")}: ${output}`), output };
}

const setup = (...args: string[]) => [process.execPath, "scripts/setup.mjs", ...args];
const demo = [process.execPath, "scripts/demo.mjs"];

describe("without an OCI runtime", { skip }, () => {
  it("the demo's setup goes on and says what that means; that of the tests does not", async (t) => {
    const scratch = makeScratch(t);
    const optional = await without(scratch, setup("--runtime-if-possible"));
    assert.equal(optional.status, 0, optional.output);
    assert.match(optional.output, /apt-get install runc/);
    assert.match(optional.output, /NOT isolated/);
    const needed = await without(scratch, setup("--runtime"));
    assert.equal(needed.status, 1);
    assert.match(needed.output, /runc or crun is needed/);
  });

  it("the demo's setup goes on when the one that it installs cannot be", async (t) => {
    const scratch = makeScratch(t);
    const folder = scratch.path("bin");
    mkdirSync(folder);
    const installer = join(folder, "apt-get");
    writeFileSync(installer, "#!/bin/sh\nexit 100\n");
    chmodSync(installer, 0o755);
    const env = { PATH: `${folder}:${programPath}`, CI: "true" };
    const optional = await without(scratch, setup("--runtime-if-possible"), env);
    assert.equal(optional.status, 0, optional.output);
    assert.match(optional.output, /apt-get update -q` ended with 100.*NOT isolated/s);
    assert.equal((await without(scratch, setup("--runtime"), env)).status, 1);
  });

  for (const [who, wrapper] of [
    ["root", []],
    ["an ordinary user", ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups"]],
  ] as const) {
    it(`the demo runs a plain process as ${who}, and says so`, async (t) => {
      const scratch = makeScratch(t);
      chmodSync(scratch.directory, 0o755);
      chmodSync(scratch.temporary, 0o1777);
      const { status, output } = await without(scratch, [...wrapper, ...demo]);
      assert.equal(status, 0, output);
      assert.match(output, /Neither runc nor crun is installed/);
      assert.match(output, /not isolated/);
      assert.match(output, /stdout \| hello from /);
      assert.match(output, /The exit status: 3/);
      assert.doesNotMatch(output, /level=warning/);
    });
  }
});
