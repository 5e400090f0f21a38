/** Whatever a caller's paths lead to, a conmond that serves others as well does not wait for it. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { rmSync } from "node:fs";
import { describe, it } from "node:test";
import { makeBundle } from "../support/bundle.ts";
import { startConmon } from "../support/conmon.ts";
import { type Conmond, startConmond } from "../support/conmond.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { inTime } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");

function makeFifo(scratch: Scratch, name: string): string {
  const path = scratch.path(name);
  execFileSync("mkfifo", [path]);
  scratch.atEnd(() => rmSync(path, { force: true }));
  return path;
}

/** Another session of the same conmond comes and goes. */
async function serves(scratch: Scratch, conmond: Conmond): Promise<void> {
  const run = startConmon(scratch, {
    bundle: makeBundle(scratch, { args: ["true"] }),
    runtime: makeStandInRuntime(scratch, behaviours.runs("exit 5")).path,
    apiVersion: 1,
    conmond: conmond.socket,
  });
  await run.created();
  assert.equal(await run.exitStatus(), 5);
  await run.ended();
}

describe("a shared conmond does not wait", { skip }, () => {
  it("for a fifo in place of the container's pidfile", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const path = makeFifo(scratch, "pidfile");
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.writesNoPidFile()).path,
      omit: ["--container-pidfile"],
      arguments: [`--container-pidfile=${path}`],
      apiVersion: 1,
      conmond: conmond.socket,
    });
    assert.deepEqual(await run.sync?.next(), { data: -1, message: `${path} is no regular file` });
    await run.ended();
    await serves(scratch, conmond);
  });

  it("for a fifo in place of the log that nobody reads", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const path = makeFifo(scratch, "log");
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      omit: ["--log-path"],
      arguments: [`--log-path=${path}`],
      conmond: conmond.socket,
    });
    assert.deepEqual(await inTime(run.closed, "the end"), { status: 1, signal: null });
    assert.match(run.stderr, /Failed to open log file .*: no such device or address\n$/);
    await serves(scratch, conmond);
  });

  it("for a fifo in place of the pidfile of its own monitor", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const path = makeFifo(scratch, "conmon-pidfile");
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.runs("exit 5")).path,
      omit: ["--conmon-pidfile"],
      arguments: [`--conmon-pidfile=${path}`],
      apiVersion: 1,
      conmond: conmond.socket,
    });
    await run.created();
    await run.ended();
    await serves(scratch, conmond);
  });
});
