/** The fixtures of the other integration tests, tried on the monitor that Debian ships. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { symlinkSync } from "node:fs";
import { describe, test } from "node:test";
import { makeBundle } from "../support/bundle.ts";
import { startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { makePodman } from "../support/podman.ts";
import { isAlive, zombiesOf } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { appears, textOf } from "../support/waiting.ts";

const debian = { conmon: "debian" } as const;

describe("A monitor", { skip: unlessRootWith("runc", "conmon", "busybox") }, () => {
  test("creates a container, logs what it writes and reports its exit status", async (t) => {
    const scratch = makeScratch(t);
    const bundle = makeBundle(scratch, {
      args: ["sh", "-c", 'echo hi; echo "$GREETING" >&2; exit 3'],
      env: ["GREETING=hello"],
    });
    const run = startConmon(scratch, { ...debian, bundle });
    assert.deepEqual(await run.left, { status: 0, signal: null });
    const pid = await run.created();
    assert.ok(isAlive(pid));
    assert.ok(isAlive(await run.monitorPid()));
    await run.runtimeStart();
    assert.equal(await run.exitStatus(), 3);
    assert.match(run.log(), /^\S+ stdout F hi$/m);
    assert.match(run.log(), /^\S+ stderr F hello$/m);
    await run.ended();
    assert.ok(!isAlive(pid));
  });

  test("gets a terminal, mounts and a changed configuration as the bundle asks", async (t) => {
    const scratch = makeScratch(t);
    const bundle = makeBundle(scratch, {
      args: ["sh", "-c", 'tty; pwd; touch "$PWD/made"'],
      terminal: true,
      mounts: [
        { destination: "/mnt/there", source: scratch.folder("shared"), options: ["bind", "rw"] },
      ],
      change: (config) => {
        config.process.cwd = "/mnt/there";
      },
    });
    const run = startConmon(scratch, { ...debian, bundle, arguments: ["--terminal"] });
    await run.created();
    await run.runtimeStart();
    assert.equal(await run.exitStatus(), 0);
    assert.match(run.log(), /stdout F \/dev\/pts\/0\r?\n\S+ stdout F \/mnt\/there/);
    await appears(scratch.path("shared", "made"));
  });

  test("waits for the start pipe, and the runtime's calls tell that it did", async (t) => {
    const scratch = makeScratch(t);
    const runtime = makeStandInRuntime(scratch, behaviours.runs("sh -c 'read line; exit 7'"));
    const run = startConmon(scratch, { ...debian, runtime: runtime.path, startPipe: true });
    assert.deepEqual(runtime.calls(), []);
    run.start?.allow();
    run.start?.close();
    const pid = await run.created();
    const [call] = runtime.calls();
    assert.ok(call);
    assert.equal(call.arguments.at(-1), run.id);
    assert.ok(call.arguments.includes("create"));
    assert.ok(call.environment.includes(`CONMON_TS_TEST=${scratch.id}`));
    assert.equal(call.descriptors.get(0), "/dev/null");
    assert.equal(await run.exitStatus(), 7);
    assert.ok(!isAlive(pid));
  });

  test("inherits descriptors and hands them to the runtime", async (t) => {
    const scratch = makeScratch(t);
    const runtime = makeStandInRuntime(scratch, behaviours.runsAndWaits("true"));
    const run = startConmon(scratch, { ...debian, runtime: runtime.path, descriptors: [0] });
    await run.created();
    assert.equal(await run.exitStatus(), 0);
    assert.ok(runtime.calls()[0]?.descriptors.has(3));
    assert.ok(run.process.spawnargs.some((arg) => arg.includes(run.id)));
  });
});

describe("A runtime that goes wrong", { skip: unlessRootWith("conmon") }, () => {
  const cases: { title: string; behaviour: string; message: RegExp }[] = [
    { title: "fails", behaviour: behaviours.fails("no such luck", 4), message: /^no such luck$/ },
    { title: "writes no pid file", behaviour: behaviours.writesNoPidFile("?"), message: /./ },
    { title: "is killed", behaviour: behaviours.isKilled(), message: /^$/ },
    {
      title: "writes 1 MiB of garbage",
      behaviour: behaviours.babbles(2 ** 20, "the reason"),
      message: /./,
    },
  ];
  for (const { title, behaviour, message } of cases) {
    test(`${title}: the caller is told on the sync pipe`, async (t) => {
      const scratch = makeScratch(t);
      const runtime = makeStandInRuntime(scratch, behaviour);
      const run = startConmon(scratch, { ...debian, runtime: runtime.path, apiVersion: 1 });
      await run.sync?.ended;
      assert.equal(runtime.calls().length, 1);
      const [line = ""] = run.sync?.lines ?? [];
      assert.match(line, /^\{"data": ?-1/);
      assert.match(line.match(/"message": ?"(.*)/)?.[1]?.replace(/"\}$/, "") ?? "", message);
    });
  }

  test("hangs: a signal to the monitor ends it", async (t) => {
    const scratch = makeScratch(t);
    const runtime = makeStandInRuntime(scratch, behaviours.hangs());
    const run = startConmon(scratch, { ...debian, runtime: runtime.path });
    const monitor = await run.monitorPid();
    await run.left;
    const calls = () => runtime.calls().length;
    if (calls() === 0) await appears(runtime.callsDirectory);
    process.kill(monitor, "SIGTERM");
    await run.sync?.ended;
  });
});

describe("What a test leaves behind", () => {
  test("is found, ended and deleted", async () => {
    const scratch = new Scratch();
    const child = spawn("sleep", ["1000"], { env: { MARK: scratch.id } });
    const ended = once(child, "exit");
    execFileSync("mkfifo", [scratch.path("fifo")]);
    symlinkSync("nowhere", scratch.path("link"));
    const left = await scratch.leftBehind(0);
    assert.deepEqual(left.sort(), [
      `fifo: ${scratch.path("fifo")}`,
      `link: ${scratch.path("link")}`,
      `process ${child.pid}: sleep 1000`,
    ]);
    await assert.rejects(scratch.close(0), /left behind/);
    assert.deepEqual(await ended, [null, "SIGKILL"]);
  });

  test("includes zombies, which can be told by their parent", async (t) => {
    const scratch = makeScratch(t);
    // The shell becomes a program that reaps nobody.
    const child = spawn("sh", ["-c", `true ${scratch.id} & exec sleep 1000`]);
    t.after(() => child.kill());
    await textOf(`/proc/${child.pid}/cmdline`, (text) => text.startsWith("sleep"));
    assert.equal(zombiesOf(child.pid ?? 0).length, 1);
  });
});

describe("podman", { skip: unlessRootWith("podman", "runc", "conmon", "busybox") }, () => {
  test("runs a container, prints its output and ends with its status", async (t) => {
    const scratch = makeScratch(t);
    const podman = await makePodman(scratch);
    const script = "echo hi; echo err >&2; cat; exit 3";
    const args = ["run", "--rm", "-i", podman.image, "sh", "-c", script];
    const result = await podman.run(args, { ...debian, input: "from stdin\n" });
    assert.deepEqual(result, { status: 3, stdout: "hi\nfrom stdin\n", stderr: "err\n" });
  });

  test("has containers of its own, which are removed at the end of the test", async (t) => {
    const scratch = makeScratch(t);
    const podman = await makePodman(scratch);
    const id = await podman.ok(["run", "-d", podman.image, "sleep", "1000"], debian);
    assert.match(id, /^[0-9a-f]{64}$/);
    assert.equal(await podman.ok(["ps", "--quiet", "--no-trunc"], debian), id);
    const other = await makePodman(makeScratch(t));
    assert.equal(await other.ok(["ps", "--quiet"], debian), "");
  });
});

describe("A shared conmond", () => {
  test("listens at its socket and can be stopped", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    assert.ok(isAlive(conmond.pid));
    await conmond.stop();
    assert.ok(!isAlive(conmond.pid));
  });
});
