/** conmond is killed at random moments, again and again: nothing may be lost, doubled or torn. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonRun, startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { startExec } from "../support/exec.ts";
import { findPrivateConmond } from "../support/private-conmond.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";

const skip = unlessRootWith("runc", "busybox");

/**
 * How often conmond is killed in each test; more by `CRASHES=100 npm test crash`. Beyond that the shim, whose
 * conmonds end one after the other, tries only every thirty seconds.
 */
const CRASHES = Number(process.env.CRASHES ?? 40);

/** Kills the private conmond of a monitor at random moments until the monitor has ended. */
async function killAtRandom(run: ConmonRun, crashes: number): Promise<number> {
  const monitor = await run.monitorPid();
  let ended = false;
  void run.sync?.ended.then(() => {
    ended = true;
  });
  let killed = 0;
  for (let last = 0; killed < crashes && !ended; ) {
    const conmond = findPrivateConmond(monitor, last);
    if (conmond === undefined) {
      // It is being started: when it is there nobody tells.
      await delay(1);
      continue;
    }
    // From before it has said a word to well in the middle of its work.
    await delay(Math.random() * 60);
    try {
      process.kill(conmond, "SIGKILL");
      killed++;
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
    }
    last = conmond;
  }
  return killed;
}

/** All log files of a run, oldest first. */
function readLogs(path: string): Buffer {
  const number = (name: string): number => Number(name.slice(basename(path).length + 1) || 0);
  const names = readdirSync(dirname(path)).filter((name) =>
    new RegExp(`^${basename(path)}(\\.\\d+)?$`).test(name),
  );
  const oldestFirst = names.sort((a, b) => number(b) - number(a));
  return Buffer.concat(oldestFirst.map((name) => readFileSync(join(dirname(path), name))));
}

/** Numbered lines of different lengths, as awk below writes them. */
function checkLines(output: string, count: number): void {
  const lines = output.split("\n");
  assert.equal(lines.pop(), "", "the last line is whole");
  lines.forEach((line, index) => {
    const number = index + 1;
    if (line !== `${number} ${"x".repeat(number % 200)}`) {
      assert.fail(`line ${number} of ${lines.length} is ${JSON.stringify(line.slice(0, 80))}`);
    }
  });
  assert.equal(lines.length, count);
}

/** Writes lines to stdout (and every tenth to stderr) until the file `stop` is there, then how many. */
function numberedLines(stop: string): string {
  return `
i=0 pad=$(printf '%0200d' 0 | tr 0 x)
while [ ! -e ${stop} ]; do
  n=0
  while [ $n -lt 500 ]; do
    i=$((i + 1)) n=$((n + 1)) k=$((i % 200))
    printf '%s %.*s\\n' $i $k $pad
    [ $((i % 10)) != 0 ] || printf '%s\\n' $((i / 10)) >&2
  done
done
echo $i >/state/count
exit 7`;
}

describe("a private conmond that is killed again and again", { skip }, () => {
  for (const [what, options] of [
    ["a log file", []],
    [
      "a log file that is rotated all the time",
      ["--log-size-max=50000", "--log-rotate", "--log-max-files=100000"],
    ],
  ] as const) {
    it(`loses nothing of ${what}`, async (t) => {
      const scratch = makeScratch(t);
      const state = scratch.folder("state-of-test");
      const bundle = makeBundle(scratch, {
        args: ["sh", "-c", numberedLines("/state/stop")],
        mounts: [{ destination: "/state", type: "bind", source: state, options: ["bind", "rw"] }],
      });
      const run = startConmon(scratch, {
        bundle,
        apiVersion: 1,
        arguments: ["--no-sync-log", "--full-attach", ...options],
      });
      await run.created();
      await run.runtimeStart();
      assert.equal(await killAtRandom(run, CRASHES), CRASHES);
      writeFileSync(join(state, "stop"), "");
      // Some more while it ends.
      await killAtRandom(run, 3);
      assert.equal(await run.exitStatus(), 7);
      await run.ended();
      const count = Number(readFileSync(join(state, "count"), "utf8"));
      const log = readLogs(run.paths.log);
      checkLines(readOutput(log, "stdout").toString("latin1"), count);
      const errors = readOutput(log, "stderr").toString("latin1").split("\n").slice(0, -1);
      assert.deepEqual(
        errors,
        Array.from({ length: Math.floor(count / 10) }, (_, index) => String(index + 1)),
      );
      assert.equal(run.sync?.lines.length, 1, "the pid is told once");
    });
  }

  it("reports every end once: exec sessions whose conmond is killed at any time", async (t) => {
    const scratch = makeScratch(t);
    const bundle = makeBundle(scratch, { args: ["sleep", "1000"] });
    const container = startConmon(scratch, { bundle, apiVersion: 1 });
    await container.created();
    await container.runtimeStart();
    for (let round = 0; round < CRASHES; round++) {
      const mark = scratch.path(`exit-command-${round}`);
      const { run } = startExec(scratch, bundle, {
        args: ["sh", "-c", "echo out; echo err >&2; exit 5"],
        apiVersion: 1,
        arguments: [
          ...["--exit-command=/bin/sh", "--exit-command-arg=-c"],
          `--exit-command-arg=echo ran >>${mark}`,
        ],
      });
      await run.left;
      await killAtRandom(run, 1);
      await run.ended();
      const messages = (run.sync?.lines ?? []).map((line) => JSON.parse(line));
      const pid = Number(readFileSync(run.paths.containerPidFile, "utf8"));
      assert.deepEqual(messages, [{ data: pid }, { data: 5 }]);
      assert.equal(await run.exitStatus(), 5);
      const log = readFileSync(run.paths.log);
      assert.deepEqual([readOutput(log, "stdout"), readOutput(log, "stderr")].map(String), [
        "out\n",
        "err\n",
      ]);
      assert.equal(readFileSync(mark, "utf8"), "ran\n");
    }
  });

  it("tells once why a runtime failed, whatever it had said when conmond was killed", async (t) => {
    const scratch = makeScratch(t);
    const runtime = makeStandInRuntime(scratch, behaviours.fails("the reason", 3));
    for (let round = 0; round < CRASHES; round++) {
      const bundle = makeBundle(scratch, { args: ["true"] });
      const run = startConmon(scratch, { bundle, runtime: runtime.path, apiVersion: 1 });
      await run.left;
      await killAtRandom(run, 1);
      await run.ended();
      assert.deepEqual(
        run.sync?.lines.map((line) => JSON.parse(line)),
        [{ data: -1, message: "the reason" }],
      );
      assert.equal(existsSync(run.paths.exitFile), false);
    }
  });
});

describe("a shared conmond that is killed", { skip }, () => {
  it("leaves all its sessions to others, and they lose nothing", async (t) => {
    const scratch = makeScratch(t);
    const state = scratch.folder("state-of-test");
    const conmond = await startConmond(scratch);
    const runs: ConmonRun[] = [];
    for (let index = 0; index < 8; index++) {
      const script = numberedLines("/state/stop").replace("/state/count", `/state/count${index}`);
      const bundle = makeBundle(scratch, {
        args: ["sh", "-c", script],
        mounts: [{ destination: "/state", type: "bind", source: state, options: ["bind", "rw"] }],
      });
      const run = startConmon(scratch, {
        bundle,
        apiVersion: 1,
        conmond: conmond.socket,
        arguments: ["--no-sync-log", "--full-attach"],
      });
      await run.created();
      await run.runtimeStart();
      runs.push(run);
    }
    await conmond.stop("SIGKILL");
    await Promise.all(runs.map((run) => killAtRandom(run, 3)));
    writeFileSync(join(state, "stop"), "");
    for (const [index, run] of runs.entries()) {
      assert.equal(await run.exitStatus(), 7);
      await run.ended();
      const count = Number(readFileSync(join(state, `count${index}`), "utf8"));
      checkLines(readOutput(readFileSync(run.paths.log), "stdout").toString("latin1"), count);
    }
  });
});
