/** A shared conmond that is told to end, or has nothing to do. */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import * as sys from "../../src/sys/mod.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonOptions, type ConmonRun, startConmon } from "../support/conmon.ts";
import { newSocketPath, startConmond } from "../support/conmond.ts";
import { Journald, unlessJournald } from "../support/journald.ts";
import { eventually, privateConmond } from "../support/private-conmond.ts";
import { socketsOf } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { makeTracedShim } from "../support/traced-shim.ts";
import { disappears, textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");

/** A container of a stand-in runtime that runs commands of bash. */
async function start(
  scratch: Scratch,
  commands: string,
  options: ConmonOptions,
): Promise<ConmonRun> {
  const run = startConmon(scratch, {
    bundle: makeBundle(scratch, { args: ["true"] }),
    runtime: makeStandInRuntime(scratch, behaviours.runs(commands)).path,
    apiVersion: 1,
    ...options,
  });
  await run.created();
  return run;
}

describe("SIGTERM", { skip }, () => {
  it("ends a shared conmond, and its sessions go on with private ones", async (t) => {
    const scratch = makeScratch(t);
    const go = scratch.path("go");
    const conmond = await startConmond(scratch);
    const run = await start(
      scratch,
      `echo one; while [[ ! -e ${go} ]]; do sleep 0.05; done; echo two; exit 5`,
      { conmond: conmond.socket },
    );
    await textOf(run.paths.log, (text) => text.includes("one"));
    process.kill(conmond.pid, "SIGTERM");
    assert.deepEqual(await conmond.ended, { status: 0, signal: null });
    assert.doesNotMatch(conmond.log(), /not done/, "nothing was in flight");
    assert.ok(!existsSync(conmond.socket));
    await privateConmond(await run.monitorPid());
    writeFileSync(go, "");
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
    assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "one\ntwo\n");
    assert.match(conmond.log(), /Leaving on SIGTERM with 1 sessions/);
    assert.doesNotMatch(conmond.log(), /"level":50/);
  });

  it("a second time ends it at once", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const run = await start(scratch, "exec sleep 100", {
      conmond: conmond.socket,
      arguments: ["--full-attach"],
    });
    // Somebody who has connected and says nothing is waited for.
    const before = socketsOf(conmond.pid);
    const silent = [sys.unixSocket("seqpacket"), sys.unixSocket("seqpacket")];
    for (const fd of silent) sys.connectUnix(fd, conmond.socket);
    await eventually(() => socketsOf(conmond.pid) === before + 2, "them to be accepted");
    // Not for long: so both signals are there, the lower number first, before it goes on. One of a kind would be all.
    process.kill(conmond.pid, "SIGSTOP");
    process.kill(conmond.pid, "SIGINT");
    process.kill(conmond.pid, "SIGTERM");
    process.kill(conmond.pid, "SIGCONT");
    assert.deepEqual(await conmond.ended, { status: 0, signal: null });
    assert.match(conmond.log(), /Leaving on SIG/);
    assert.match(conmond.log(), /Ending at once on another SIG/);
    silent.forEach(sys.close);
    process.kill(await run.monitorPid(), "SIGTERM");
    await run.ended();
  });
});

const journalSkip = unlessJournald(
  unlessRootWith("runc", "busybox", "journalctl", "unshare", "nsenter"),
);

describe("SIGTERM", { skip: journalSkip }, () => {
  it("has an unfinished line sent to the journal, of which the rest follows", async (t) => {
    const scratch = makeScratch(t);
    const [go, written] = [scratch.path("go"), scratch.path("written")];
    const journald = await Journald.prepare(scratch);
    await journald.start();
    const conmond = await startConmond(scratch, { wrapper: journald.enter });
    const run = await start(
      scratch,
      `echo first; printf 'login: '; echo >&2; : >${written}; while [[ ! -e ${go} ]]; do sleep 0.05; done; echo root; exit 5`,
      {
        conmond: conmond.socket,
        conmon: journald.monitor(),
        arguments: ["--log-path=journald"],
      },
    );
    await textOf(run.paths.log, (text) => text.includes("login"));
    process.kill(conmond.pid, "SIGTERM");
    await conmond.ended;
    writeFileSync(go, "");
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
    const entries = (await journald.entries(`CONTAINER_ID_FULL=${run.id}`)).map(
      (fields) => new Map(fields),
    );
    const stdout = entries.filter((fields) => fields.get("PRIORITY") === "6");
    assert.deepEqual(
      stdout.map((fields) => [fields.get("MESSAGE"), fields.get("CONTAINER_PARTIAL_MESSAGE")]),
      [
        ["first\n", undefined],
        ["login: ", "true"],
        ["root\n", undefined],
      ],
    );
  });
});

describe("--idle-exit", { skip }, () => {
  it("ends a conmond that nobody comes to", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch, { arguments: ["--idle-exit=1"] });
    assert.deepEqual(await conmond.ended, { status: 0, signal: null });
    assert.match(conmond.log(), /Idle for 1 s/);
    assert.ok(!existsSync(conmond.socket));
  });

  it("does not end one that has a session, but when that is over", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    // Enough for the session to come before that.
    const conmond = await startConmond(scratch, { arguments: ["--idle-exit=3"] });
    const run = await start(scratch, "sleep 3.5; exit 5", {
      conmond: conmond.socket,
      conmon: shim.path,
    });
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
    assert.deepEqual(shim.starts(), [], "it was there to the end");
    await disappears(conmond.socket);
    await conmond.ended;
  });

  it("loses no session that begins just then", async (t) => {
    const scratch = makeScratch(t);
    const socket = newSocketPath(scratch);
    for (let round = 0; round < 4; round++) {
      const conmond = await startConmond(scratch, { socket, arguments: ["--idle-exit=1"] });
      // Around the moment at which it leaves: before, in the middle of it, after.
      await delay(960 + round * 20);
      const run = await start(scratch, "echo ok; exit 5", { conmond: socket });
      assert.equal(await run.exitStatus(), 5);
      await run.ended();
      assert.equal(run.stderr, "");
      assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "ok\n");
      await conmond.ended;
    }
  });
});
