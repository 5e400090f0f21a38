/** What a shared conmond refuses, because it would be too much. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { describe, it } from "node:test";
import * as sys from "../../src/sys/mod.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonRun, startConmon } from "../support/conmon.ts";
import { startConmond, tryConmond } from "../support/conmond.ts";
import { eventually } from "../support/private-conmond.ts";
import { openFilesOf } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { makeTracedShim, type TracedShim } from "../support/traced-shim.ts";

const skip = unlessRootWith();

async function startWaiting(
  scratch: Scratch,
  conmond: string,
  shim: TracedShim,
): Promise<ConmonRun> {
  const run = startConmon(scratch, {
    bundle: makeBundle(scratch, { args: ["true"] }),
    runtime: makeStandInRuntime(scratch, behaviours.runs("exec sleep 100")).path,
    ...{ apiVersion: 1, conmond, conmon: shim.path, arguments: ["--full-attach"] },
  });
  await run.created();
  assert.equal(run.stderr, "");
  return run;
}

/** How many have connected to a socket and not been accepted: the kernel lists them beside the one that listens. */
function waitingAt(socket: string): number {
  return readFileSync("/proc/net/unix", "utf8").split(` ${socket}\n`).length - 2;
}

async function finish(run: ConmonRun): Promise<void> {
  process.kill(await run.monitorPid(), "SIGTERM");
  assert.equal(await run.exitStatus(), 143);
  await run.ended();
}

describe("--max-sessions", { skip }, () => {
  it("is how many sessions there can be: the next shim goes private", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const conmond = await startConmond(scratch, { arguments: ["--max-sessions=2"] });
    const runs = [];
    for (let i = 0; i < 3; i++) runs.push(await startWaiting(scratch, conmond.socket, shim));
    await conmond.logged(
      "Refused a shim: conmond has 2 sessions, as many as --max-sessions allows",
    );
    assert.deepEqual(shim.starts(), ["--private"]);
    const [first, ...others] = runs;
    assert.ok(first !== undefined);
    await finish(first);
    const later = await startWaiting(scratch, conmond.socket, shim);
    assert.deepEqual(shim.starts(), ["--private"], "there is room again");
    for (const run of [later, ...others]) await finish(run);
  });

  it("does not keep another conmond from taking the place", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const conmond = await startConmond(scratch, { arguments: ["--max-sessions=1"] });
    const run = await startWaiting(scratch, conmond.socket, shim);
    await startConmond(scratch, { socket: conmond.socket, arguments: ["--replace"] });
    await conmond.ended;
    await finish(run);
    assert.deepEqual(shim.starts(), []);
  });

  it("and other numbers are checked", (t) => {
    const scratch = makeScratch(t);
    for (const args of [
      ["--max-sessions=0"],
      ["--max-sessions=x"],
      ["--idle-exit=0"],
      ["--idle-exit=1.5"],
      ["--idle-exit=9999999999"],
    ]) {
      const { status, stderr } = tryConmond(scratch, args);
      assert.equal(status, 1, args[0]);
      assert.match(stderr, /It has to be a whole number from 1 to \d+\./);
    }
  });
});

describe("a shared conmond whose descriptors run out", { skip }, () => {
  it("refuses shims in time, keeps its sessions, and serves again when there are some", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const conmond = await startConmond(scratch, { openFiles: 100 });
    const first = await startWaiting(scratch, conmond.socket, shim);
    // They say nothing; so they are not refused before there is not a single descriptor left.
    const clients = Array.from({ length: 120 }, () => {
      const fd = sys.unixSocket("seqpacket");
      sys.connectUnix(fd, conmond.socket);
      return fd;
    });
    await conmond.logged("nearly all descriptors that it may have (limit 100)");
    const second = await startWaiting(scratch, conmond.socket, shim);
    assert.deepEqual(shim.starts(), ["--private"]);
    clients.forEach(sys.close);
    await eventually(() => openFilesOf(conmond.pid).length < 60, "conmond to see them leave");
    const third = await startWaiting(scratch, conmond.socket, shim);
    assert.deepEqual(shim.starts(), ["--private"], `the third one is served: ${conmond.log()}`);
    assert.equal(conmond.log().match(/nearly all descriptors/g)?.length, 1, "it is told once");
    for (const run of [first, second, third]) await finish(run);
  });

  it("turns away those that it had accepted when others took the last ones, and they start all the same", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const conmond = await startConmond(scratch, { openFiles: 64 });
    // All of them wait when it looks.
    process.kill(conmond.pid, "SIGSTOP");
    const count = 12;
    const starts = Array.from({ length: count }, () => startWaiting(scratch, conmond.socket, shim));
    await eventually(() => waitingAt(conmond.socket) >= count, "shims that wait");
    process.kill(conmond.pid, "SIGCONT");
    const runs = await Promise.all(starts);
    const privates = shim.starts().length;
    assert.ok(privates > 0 && privates < count, `${privates} have gone private`);
    for (const run of runs) await finish(run);
  });
});
