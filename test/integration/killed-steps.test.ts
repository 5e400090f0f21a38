/** conmond is killed between any two steps of a session: each is done once all the same. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { AttachClient } from "../support/attach-client.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonRun, startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { type ExecRun, startExec } from "../support/exec.ts";
import { killAtCall } from "../support/kill-at-call.ts";
import { findPrivateConmond, privateConmond } from "../support/private-conmond.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { type Behaviour, behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { appears } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox", "strace");

/** What changes anything outside of the process: between two of these nothing can have happened. */
const CALLS = ["sendmsg", "write", "pwrite64", "rename", "unlink", "splice", "ftruncate"];
/** More than there are of one kind. */
const MOST_CALLS = 100;

/** Lets `attempt` happen for each call until conmond does not come to it any more. */
async function forEachCall(
  attempt: (call: string, number: number) => Promise<boolean>,
  calls = CALLS,
): Promise<void> {
  let kills = 0;
  for (const call of calls) {
    let number = 1;
    while (await attempt(call, number)) assert.ok(++number < MOST_CALLS, `no end of ${call}`);
    kills += number - 1;
  }
  assert.ok(kills > 10, `conmond was killed only ${kills} times`);
}

/** An exec session that is about to do something, and does it when `go()` is called. */
interface Waiting extends ExecRun {
  /** A file in which the exit command leaves a line. */
  readonly mark: string;
  go(): void;
}

/** @param behaviour of the runtime; it has `wait_for_go` */
async function startWaiting(scratch: Scratch, behaviour: Behaviour): Promise<Waiting> {
  const name = scratch.uniqueName();
  const [path, mark] = [scratch.path(`go-${name}`), scratch.path(`mark-${name}`)];
  const wait = `wait_for_go() { while [[ ! -e ${path} ]]; do sleep 0.02; done; }`;
  const container = makeBundle(scratch, { args: ["true"] });
  const exec = startExec(scratch, container, {
    args: ["true"],
    runtime: makeStandInRuntime(scratch, `${wait}\n${behaviour}`).path,
    withBundle: true,
    apiVersion: 1,
    arguments: [
      ...["--exit-command=/bin/sh", "--exit-command-arg=-c"],
      `--exit-command-arg=echo ran >>${mark}`,
    ],
  });
  await exec.run.left;
  return { ...exec, mark, go: () => writeFileSync(path, "") };
}

/** Lets it go on, and has its conmond killed at that call. False: it has not come to that. */
async function endWithKill({ run, go }: Waiting, call: string, number: number): Promise<boolean> {
  const conmond = await privateConmond(await run.monitorPid());
  const { killed } = await killAtCall(conmond, call, number);
  go();
  await run.ended();
  return await killed;
}

/** What `seq -s ' '` prints: one long line, in which no part is like another. */
function countTo(last: number): string {
  return `${Array.from({ length: last }, (_, index) => String(index + 1)).join(" ")}\n`;
}

/** How many characters two texts have in common at their beginning. */
function commonLength(one: string, other: string): number {
  let length = 0;
  while (length < one.length && one[length] === other[length]) length++;
  return length;
}

function messagesOf(run: ConmonRun): unknown[] {
  return (run.sync?.lines ?? []).map((line) => JSON.parse(line));
}

describe(
  "a conmond that is killed at any step is followed by one that does what is left",
  { skip },
  () => {
    it("from the hello on", async (t) => {
      const scratch = makeScratch(t);
      const { path: runtime } = makeStandInRuntime(scratch, behaviours.runs("echo out; exit 5"));
      await forEachCall(async (call, number) => {
        const conmond = await startConmond(scratch);
        // One that is killed leaves it.
        scratch.atEnd(() => rmSync(conmond.socket, { force: true }));
        const { killed } = await killAtCall(conmond.pid, call, number);
        const bundle = makeBundle(scratch, { args: ["true"] });
        const run = startConmon(scratch, {
          ...{ bundle, runtime, apiVersion: 1, conmond: conmond.socket },
        });
        const pid = await run.created();
        await run.ended();
        const at = `killed at ${call} ${number}`;
        assert.equal(run.stderr, "", at);
        assert.deepEqual(messagesOf(run), [{ data: pid }], at);
        assert.equal(await run.exitStatus(), 5, at);
        assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "out\n", at);
        const left = [bundle.directory, run.paths.socketDirectory, dirname(run.paths.log)];
        assert.deepEqual(
          left.map((directory) => readdirSync(directory)),
          [
            ["config.json"],
            [],
            ["conmon.pid", "container.log", "container.pid", "exits", "persist"],
          ],
          at,
        );
        await conmond.stop();
        return await killed;
      });
    });

    it("from the end of a process on", async (t) => {
      const scratch = makeScratch(t);
      await forEachCall(async (call, number) => {
        const waiting = await startWaiting(
          scratch,
          behaviours.runs("wait_for_go; echo out; exit 5"),
        );
        const { run, directory, mark } = waiting;
        const pid = await run.created();
        const persisted = join(run.paths.persistDirectory, "exit");
        const attach = join(directory, "attach");
        // As a caller does it who then starts a container of that name again.
        const told = appears(run.paths.exitFile).then(() => {
          assert.equal(readFileSync(run.paths.exitFile, "utf8"), "5");
          rmSync(run.paths.exitFile);
          rmSync(persisted);
          writeFileSync(attach, "another session's");
        });
        const killed = await endWithKill(waiting, call, number);
        await told;
        const at = `killed at ${call} ${number}`;
        assert.deepEqual(messagesOf(run), [{ data: pid }, { data: 5 }], at);
        assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "out\n", at);
        assert.equal(readFileSync(mark, "utf8"), "ran\n", at);
        assert.deepEqual(readdirSync(run.paths.exitDirectory), [], at);
        assert.deepEqual(readdirSync(run.paths.persistDirectory), [], at);
        assert.equal(readFileSync(attach, "utf8"), "another session's", at);
        return killed;
      });
    });

    it("while a line is logged that is longer than what is read at a time", async (t) => {
      const scratch = makeScratch(t);
      // Pieces of 128 KiB are written one by one: more than ten of them, however much is read at a time.
      const line = countTo(250_000);
      const behaviour = behaviours.runs("wait_for_go; seq -s ' ' 250000; exit 5");
      await forEachCall(
        async (call, number) => {
          const waiting = await startWaiting(scratch, behaviour);
          const { run } = waiting;
          const killed = await endWithKill(waiting, call, number);
          const output = readOutput(readFileSync(run.paths.log), "stdout").toString();
          assert.equal(await run.exitStatus(), 5);
          // Too long to be printed.
          assert.ok(output === line, `killed at ${call} ${number}: ${output.length} bytes`);
          return killed;
        },
        ["splice", "tee", "writev"],
      );
    });

    it("while much is logged and sent to a client, which gets nothing twice", async (t) => {
      const scratch = makeScratch(t);
      const written = countTo(400_000);
      const behaviour = behaviours.runs("wait_for_go; seq -s ' ' 400000");
      await forEachCall(
        async (call, number) => {
          const waiting = await startWaiting(scratch, behaviour);
          const client = new AttachClient(scratch, join(waiting.directory, "attach"));
          const killed = await endWithKill(waiting, call, number);
          await client.ended();
          const at = `killed at ${call} ${number}`;
          const output = readOutput(readFileSync(waiting.run.paths.log), "stdout");
          assert.ok(output.toString() === written, `log, ${at}: ${output.length} bytes`);
          // What it had not taken by then may be missing, in one place, but nothing comes twice.
          const got = client.output().toString();
          const before = commonLength(got, written);
          assert.ok(written.endsWith(got.slice(before)), `client, ${at}: ${got.length} bytes`);
          assert.ok(got.length <= written.length, `client, ${at}: ${got.length} bytes`);
          return killed;
        },
        ["writev"],
      );
    });

    it("from the end of a runtime on that has failed", async (t) => {
      const scratch = makeScratch(t);
      await forEachCall(async (call, number) => {
        const behaviour = `wait_for_go\n${behaviours.fails("the reason", 3)}`;
        const waiting = await startWaiting(scratch, behaviour);
        const { run, directory, mark } = waiting;
        const killed = await endWithKill(waiting, call, number);
        const at = `killed at ${call} ${number}`;
        assert.deepEqual(messagesOf(run), [{ data: -1, message: "the reason" }], at);
        assert.equal(readFileSync(mark, "utf8"), "ran\n", at);
        assert.deepEqual(readdirSync(run.paths.exitDirectory), [], at);
        assert.deepEqual(readdirSync(directory), ["process.json"], at);
        return killed;
      });
    });

    it("from the end of a runtime on that has made a process", async (t) => {
      const scratch = makeScratch(t);
      await forEachCall(async (call, number) => {
        const behaviour = `echo early >&2; wait_for_go\n${behaviours.runs("echo out; exit 5")}`;
        const waiting = await startWaiting(scratch, behaviour);
        const { run } = waiting;
        const killed = await endWithKill(waiting, call, number);
        const at = `killed at ${call} ${number}`;
        const pid = Number(readFileSync(run.paths.containerPidFile, "utf8"));
        assert.deepEqual(messagesOf(run), [{ data: pid }, { data: 5 }], at);
        const log = readFileSync(run.paths.log);
        const output = (["stdout", "stderr"] as const).map((name) =>
          readOutput(log, name).toString(),
        );
        assert.deepEqual(output, ["out\n", "early\n"], at);
        return killed;
      });
    });
  },
);

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

describe("a conmond that is killed while a terminal is set up", { skip }, () => {
  it("is followed by one that finds it", async (t) => {
    const scratch = makeScratch(t);
    let lost = 0;
    await forEachCall(
      async (call, number) => {
        const conmond = await startConmond(scratch);
        // One that is killed leaves it.
        scratch.atEnd(() => rmSync(conmond.socket, { force: true }));
        const { killed } = await killAtCall(conmond.pid, call, number);
        const args = ["sh", "-c", "echo out; exit 5"];
        const run = startConmon(scratch, {
          bundle: makeBundle(scratch, { args, terminal: true }),
          apiVersion: 1,
          conmond: conmond.socket,
          arguments: ["--terminal", "--full-attach"],
        });
        const at = `killed at ${call} ${number}`;
        const created = await run.created().catch((error: Error) => error);
        if (created instanceof Error) {
          // Between accepting the runtime's connection and depositing it: see docs/architecture.md.
          assert.match(
            created.message,
            /broken pipe|connection reset|did not set up terminal/i,
            at,
          );
          lost++;
          await run.ended();
          await conmond.stop();
          return await killed;
        }
        await run.runtimeStart();
        await run.ended();
        assert.equal(await run.exitStatus(), 5, at);
        assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "out\r\n", at);
        assert.deepEqual(readdirSync(scratch.temporary), [], `${at}: no console socket is left`);
        await conmond.stop();
        return await killed;
      },
      ["sendmsg", "bind", "listen", "recvmsg"],
    );
    assert.ok(lost <= 1, `the terminal was lost ${lost} times`);
  });
});

describe("the delay before the exit command", { skip }, () => {
  it("is waited for once, however often conmond is killed in it", async (t) => {
    const scratch = makeScratch(t);
    const mark = scratch.path("mark");
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.runs("exit 5")).path,
      apiVersion: 1,
      arguments: [
        ...["--exit-delay=3", "--exit-command=/bin/sh", "--exit-command-arg=-c"],
        `--exit-command-arg=echo ran >>${mark}`,
      ],
    });
    const monitor = await run.monitorPid();
    assert.equal(await run.exitStatus(), 5);
    // None lives for a third of the delay: if it began anew with each, it would never be over.
    for (let last = 0, left = 30; !existsSync(mark); left--) {
      assert.ok(left > 0, "the exit command has not been started");
      const conmond = findPrivateConmond(monitor, last);
      if (conmond !== undefined) last = conmond;
      await delay(800);
      if (conmond !== undefined && !existsSync(mark)) kill(conmond);
    }
    await run.ended();
    assert.equal(readFileSync(mark, "utf8"), "ran\n");
  });
});
