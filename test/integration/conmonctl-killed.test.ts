/** conmonctl is killed (SIGKILL) at any moment: containers are as they are shown, and what was begun is brought to its end. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { type Container, listContainers, State } from "../../src/containers/mod.ts";
import { watchFor } from "../../src/containers/watch.ts";
import { Conmonctl } from "../support/conmonctl.ts";
import { makeFifo } from "../support/fifo.ts";
import { killAtCall } from "../support/kill-at-call.ts";
import { unlessRootWith } from "../support/programs.ts";
import { runConmonctl } from "../support/run-conmonctl.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { appears, PATIENCE, textOf } from "../support/waiting.ts";

/** More than there are of one kind. */
const MOST_CALLS = 60;

const skip = unlessRootWith("runc", "strace");

/** Each run of it leaves a line; the first one ends, the second one stays. */
const SECOND_STAYS =
  "cd /tmp/shared; echo run >> runs; [ $(wc -l < runs) -gt 1 ] && exec sleep 100; exit 3";

interface Restarting {
  readonly ctl: Conmonctl;
  /** Of its exit command, which waits for {@link proceed} before it decides anything. */
  readonly exitCommand: number;
  proceed(): void;
  /** What the runs have left, once there are two. */
  twoRuns(): Promise<string>;
}

/** A container whose first run is over. */
async function startRestarting(scratch: Scratch): Promise<Restarting> {
  const ctl = new Conmonctl(scratch);
  const [runtime, shared, caller, gate] = ["runtime", "shared", "caller", "gate"].map((name) =>
    scratch.path(name),
  ) as [string, string, string, string];
  mkdirSync(shared);
  const wait = `if [ ! -e ${caller} ]; then echo $PPID > ${caller}; read word < ${gate}; fi`;
  writeFileSync(runtime, `#!/bin/sh\ncase "$*" in *" delete "*) ${wait};; esac\nexec runc "$@"\n`, {
    mode: 0o755,
  });
  const tell = makeFifo(scratch, gate);
  await ctl.succeed(
    ...["run", "-d", "--name", "job", "--restart", "always", "--runtime", runtime],
    ...["--mount", `${shared}:/tmp/shared`, "--", "sh", "-c", SECOND_STAYS],
  );
  return {
    ctl,
    exitCommand: Number(await textOf(caller, (text) => text.endsWith("\n"))),
    proceed: () => tell("go"),
    twoRuns: () => textOf(join(shared, "runs"), (text) => text.split("\n").length > 2),
  };
}

describe("a killed exit command", { skip }, () => {
  it("is run again, and starts the container once, whatever it had done by then", async (t) => {
    // What changes anything outside of it: runs.json and marks are written, marks are taken away, programs started.
    await forEachCall(t, ["rename", "unlink", "clone"], async (t, call, number) => {
      const { ctl, exitCommand, proceed, twoRuns } = await startRestarting(makeScratch(t));
      const { killed } = await killAtCall(exitCommand, call, number);
      proceed();
      assert.equal(await twoRuns(), "run\nrun\n");
      assert.equal((await ctl.inspect("job")).state, "running");
      await ctl.succeed("stop", "-t", "0", "job");
      const { state, exitStatus } = await ctl.inspect("job");
      assert.deepEqual([state, exitStatus], ["exited", 137]);
      return await killed;
    });
  });

  it("waits on for the rest of the back-off", async (t) => {
    const { ctl, exitCommand, proceed, twoRuns } = await startRestarting(makeScratch(t));
    proceed();
    await ctl.happened("restart job");
    process.kill(exitCommand, "SIGKILL");
    assert.equal(await twoRuns(), "run\nrun\n");
    const { state, restarts } = await ctl.inspect("job");
    assert.deepEqual([state, restarts], ["running", 1]);
  });

  it("ends it all if the end is wanted", async (t) => {
    const { ctl, exitCommand, proceed } = await startRestarting(makeScratch(t));
    const stop = ctl.start(["stop", "job"]);
    await ctl.happened("stop job");
    process.kill(exitCommand, "SIGKILL");
    proceed();
    assert.equal((await stop.end).status, 0);
    const { state, restarts, exitStatus } = await ctl.inspect("job");
    assert.deepEqual([state, restarts, exitStatus], ["exited", 0, 3]);
  });
});

describe("a killed run", { skip }, () => {
  it("leaves a container that is shown as it is, and can be begun and removed", async (t) => {
    await forEachCall(t, ["rename", "unlink", "clone"], async (t, call, number) => {
      const scratch = makeScratch(t);
      const ctl = new Conmonctl(scratch);
      const mark = join(scratch.folder("shared"), "mark");
      const options = ["-d", "--name", "job", "--mount", `${scratch.path("shared")}:/tmp/shared`];
      const run = runConmonctl(
        scratch,
        ["run", ...options, "--", "sh", "-c", "touch /tmp/shared/mark; exec sleep 100"],
        { wrapper: strace(call, number) },
      );
      if (run.status === 0) return false;
      const left = await containerLeft(ctl);
      if (left === undefined) {
        // The name is free, whatever was made.
        await ctl.succeed("run", "--rm", "--name", "job", "--", "true");
        return true;
      }
      if (left.state === "running") await appears(mark);
      else assert.equal(existsSync(mark), false);
      if (left.state === "created" && number % 2 === 1) {
        await ctl.succeed("start", "job");
        await appears(mark);
        assert.equal((await ctl.inspect("job")).state, "running");
      }
      await ctl.succeed("rm", ...(existsSync(mark) ? ["--force"] : []), "job");
      assert.deepEqual(readdirSync(join(ctl.state, "names")), []);
      return true;
    });
  });
});

describe("a killed prune", { skip }, () => {
  it("is completed by the next one", async (t) => {
    await forEachCall(t, ["rename", "unlink"], async (t, call, number) => {
      const scratch = makeScratch(t);
      const ctl = new Conmonctl(scratch);
      await ctl.succeed("run", "--name", "job", "--", "true");
      const pruned = runConmonctl(scratch, ["prune"], { wrapper: strace(call, number) });
      const own = listContainers(new State(ctl.state)).filter(({ own }) => own);
      const left = own.map(({ name }) => name);
      if (pruned.status === 0) assert.deepEqual(left, []);
      for (const name of left) assert.equal((await ctl.inspect(name)).state, "exited");
      await ctl.succeed("prune");
      for (const folder of ["containers", "names", "runtimes/runc"]) {
        assert.deepEqual(readdirSync(join(ctl.state, folder)), [], folder);
      }
      return pruned.status !== 0;
    });
  });
});

/** Runs a program and kills it just when its main thread is about to do a system call for the `number`th time. */
function strace(call: string, number: number): string[] {
  return ["strace", "-qq", "-o", "/dev/null", "-e", `inject=${call}:signal=SIGKILL:when=${number}`];
}

/** What there is once nobody is making it any more. */
async function containerLeft(ctl: Conmonctl): Promise<Container | undefined> {
  const state = new State(ctl.state);
  const look = () => {
    const container = listContainers(state).find(({ name, own }) => own && name === "job");
    return container?.state === "created" && container.pid === null ? undefined : { container };
  };
  const found = await watchFor([state.containers], look, AbortSignal.timeout(PATIENCE));
  assert.ok(found !== undefined, "it remains in the making");
  return found.container;
}

/** Has `attempt` made for each call until the program does not come to that call any more, when it returns false. */
async function forEachCall(
  t: TestContext,
  calls: readonly string[],
  attempt: (t: TestContext, call: string, number: number) => Promise<boolean>,
): Promise<void> {
  for (const call of calls) {
    let number = 1;
    for (let wasKilled = true; wasKilled; number++) {
      assert.ok(number < MOST_CALLS, `no end of ${call}`);
      wasKilled = false;
      await t.test(`before ${call} ${number}`, async (t) => {
        wasKilled = await attempt(t, call, number);
      });
    }
    assert.ok(number > 2, `it has no ${call}`);
  }
}
