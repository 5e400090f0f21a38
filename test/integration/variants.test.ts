/** What callers can ask for besides a plain container, with a private and a shared conmond. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import * as sys from "../../src/sys/mod.ts";
import { makeBundle } from "../support/bundle.ts";
import { startConmon } from "../support/conmon.ts";
import { inBothModes } from "../support/modes.ts";
import { eventually } from "../support/private-conmond.ts";
import { isAlive } from "../support/processes.ts";
import { needProgram, unlessRootWith } from "../support/programs.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { appears, inTime, textOf, watchFor } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "crun", "busybox", "unshare");

/** crun refuses a host with both kinds of cgroups. */
const WITHOUT_UNIFIED = [
  ...["unshare", "--mount", "sh", "-c"],
  '! mountpoint -q /sys/fs/cgroup/unified || umount /sys/fs/cgroup/unified; exec "$@"',
  "sh",
];

function commandOf(pid: number): string {
  return readFileSync(`/proc/${pid}/comm`, "utf8").trim();
}

function shellCommand(option: string, script: string): string[] {
  return [`--${option}=/bin/sh`, `--${option}-arg=-c`, `--${option}-arg=${script}`];
}

inBothModes("log drivers", skip, (prepare) => {
  it("passthrough: the container has the caller's own stdio, and nothing is in the bundle", async (t) => {
    const { scratch, shared } = await prepare(t);
    const bundle = makeBundle(scratch, { args: ["sh", "-c", "cat; echo err >&2; exit 3"] });
    const path = scratch.path("output");
    const output = openSync(path, "a");
    const [stdin, typing] = sys.pipe();
    const run = startConmon(scratch, {
      bundle,
      apiVersion: 1,
      omit: ["--log-path"],
      arguments: ["--log-path=passthrough", "--full-attach", "--stdin"],
      stdin,
      output,
      ...shared,
    });
    [output, stdin].forEach(sys.close);
    await run.created();
    assert.deepEqual(readdirSync(bundle.directory), ["config.json"]);
    await run.runtimeStart();
    sys.write(typing, Buffer.from("typed\n"), 0, 6);
    sys.close(typing);
    assert.equal(await run.exitStatus(), 3);
    await run.ended();
    assert.equal(readFileSync(path, "utf8"), "typed\nerr\n");
    assert.deepEqual(readdirSync(run.paths.socketDirectory), []);
  });

  it("none: nothing is kept, whatever its name, and a file besides gets everything", async (t) => {
    const { scratch, shared } = await prepare(t);
    for (const name of ["none", "off", "null", "null:"]) {
      const bundle = makeBundle(scratch, { args: ["echo", "x"] });
      const run = startConmon(scratch, {
        bundle,
        apiVersion: 1,
        omit: name === "off" ? [] : ["--log-path"],
        arguments: [`--log-path=${name}`],
        ...shared,
      });
      await run.created();
      await run.runtimeStart();
      assert.equal(await run.exitStatus(), 0);
      await run.ended();
      assert.equal(existsSync(run.paths.log), name === "off");
      if (name === "off") assert.match(run.log(), / stdout F x\n$/);
    }
  });

  it("several files: each has everything, also when one cannot be written", async (t) => {
    const { scratch, shared } = await prepare(t);
    const second = scratch.path("second.log");
    const bundle = makeBundle(scratch, { args: ["sh", "-c", "echo one; echo two >&2"] });
    const run = startConmon(scratch, {
      bundle,
      apiVersion: 1,
      arguments: ["--log-path=/dev/full", `--log-path=${second}`],
      ...shared,
    });
    await run.created();
    await run.runtimeStart();
    assert.equal(await run.exitStatus(), 0);
    await run.ended();
    for (const path of [run.paths.log, second]) {
      const log = readFileSync(path);
      const both = [readOutput(log, "stdout"), readOutput(log, "stderr")].map(String);
      assert.deepEqual(both, ["one\n", "two\n"], path);
    }
  });
});

inBothModes("the end", skip, (prepare) => {
  it("--timeout kills the container and its status is -1", async (t) => {
    const { scratch, shared } = await prepare(t);
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      // It begins by itself: to start one that was made might take longer than it has.
      runtime: makeStandInRuntime(scratch, behaviours.runs("trap '' TERM; exec sleep 1000")).path,
      apiVersion: 1,
      arguments: ["--timeout", "1", "--sync"],
      ...shared,
    });
    await run.created();
    assert.equal(await run.exitStatus(), -1);
    assert.deepEqual(await run.closed, { status: 255, signal: null });
  });

  it("the exit command runs after a delay, with its arguments and the caller's environment", async (t) => {
    const { scratch, shared } = await prepare(t);
    const path = scratch.path("ran");
    const script = `echo "$HELLO $(cat ${scratch.path("runs")}/*/exits/*) $0 $1" >${path}`;
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.runs("exit 7")).path,
      apiVersion: 1,
      environment: { HELLO: "a b" },
      arguments: [
        ...shellCommand("exit-command", script),
        ...["--exit-command-arg=zero", "--exit-command-arg=one two"],
        ...["--exit-delay", "1", "--sync"],
      ],
      ...shared,
    });
    assert.deepEqual(await inTime(run.closed, "the end"), { status: 7, signal: null });
    // By the files' times, which do not depend on when we come to look.
    const delay = statSync(path).mtimeMs - statSync(run.paths.exitFile).mtimeMs;
    assert.ok(delay > 900, `after ${delay} ms, which is before the delay is over`);
    assert.equal(readFileSync(path, "utf8"), "a b 7 zero one two\n");
  });

  it("an exit command that fails or is missing is told by the status", async (t) => {
    const { scratch, shared } = await prepare(t);
    const runtime = makeStandInRuntime(scratch, behaviours.runs("exit 7")).path;
    for (const [exitCommand, status] of [
      [shellCommand("exit-command", "exit 9"), 9],
      [["--exit-command=/no/such/command"], 127],
    ] as const) {
      const run = startConmon(scratch, {
        bundle: makeBundle(scratch, { args: ["true"] }),
        runtime,
        apiVersion: 1,
        arguments: [...exitCommand, "--sync"],
        ...shared,
      });
      assert.deepEqual(await inTime(run.closed, "the end"), { status, signal: null });
      assert.equal(await run.exitStatus(), 7);
    }
  });

  it("an exit command that hangs ends when the monitor is told to end", async (t) => {
    const { scratch, shared } = await prepare(t);
    const path = scratch.path("hangs");
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.runs("exit 7")).path,
      apiVersion: 1,
      arguments: shellCommand("exit-command", `echo >${path}; exec sleep 1000`),
      ...shared,
    });
    await appears(path);
    process.kill(await run.monitorPid(), "SIGTERM");
    await run.ended();
  });

  it("is reported although children of the container live on with its stdout", async (t) => {
    const { scratch, shared } = await prepare(t);
    const path = scratch.path("child");
    // With the file there it has written, so that it is in the pipe when the container ends.
    const child = `sh -c 'echo child; echo $$ >${path}; exec sleep 1000' & while [[ ! -s ${path} ]]; do sleep 0.05; done; exit 6`;
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.runs(child)).path,
      apiVersion: 1,
      ...shared,
    });
    assert.equal(await run.exitStatus(), 6);
    await run.ended();
    const pid = Number(readFileSync(path, "utf8"));
    assert.ok(isAlive(pid), "nobody has ended the child");
    process.kill(pid, "SIGKILL");
    assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "child\n");
  });

  it("is reported for a container process that is not our child, with status -1", async (t) => {
    const { scratch, shared } = await prepare(t);
    const go = scratch.path("go");
    // Its parent, and its reaper, is this shell that is nobody of the monitor's.
    const stranger = `( setsid sh -c 'until [ -e ${go} ]; do sleep 0.05; done' & echo $! ; wait )`;
    const pidFile = scratch.path("stranger");
    const keeper = spawn("sh", ["-c", `${stranger} >${pidFile}`], { stdio: "ignore" });
    scratch.atEnd(() => void keeper.kill());
    const pid = Number(await textOf(pidFile));
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.writesPidFile(String(pid))).path,
      apiVersion: 1,
      ...shared,
    });
    assert.equal(await run.created(), pid);
    writeFileSync(go, "");
    assert.equal(await run.exitStatus(), -1);
    await run.ended();
  });

  for (const signal of ["SIGTERM", "SIGINT", "SIGQUIT"] as const) {
    it(`${signal} goes to the runtime, to the container, and to nobody before both`, async (t) => {
      const { scratch, shared } = await prepare(t);
      const bundle = makeBundle(scratch, { args: ["true"] });
      const hanging = makeStandInRuntime(scratch, behaviours.hangs());
      const options = { bundle, apiVersion: 1, ...shared };
      const during = startConmon(scratch, { ...options, runtime: hanging.path });
      const { pid } = await watchFor(
        hanging.callsDirectory,
        () => hanging.calls()[0],
        "the runtime's start",
      );
      // bash itself ignores some signals.
      await eventually(() => commandOf(pid) === "sleep", "the runtime to hang");
      process.kill(await during.monitorPid(), signal);
      assert.match((await during.sync?.next())?.message ?? "", /was killed by signal/);
      await during.ended();

      // bash runs a trap at once when it waits for a child in the background.
      const trap = `trap 'kill $!; exit 9' ${signal.slice(3)}; sleep 1000 & echo ready; wait`;
      const runtime = makeStandInRuntime(scratch, behaviours.runs(trap)).path;
      const after = startConmon(scratch, { ...options, session: scratch.uniqueName(), runtime });
      await textOf(after.paths.log, (text) => text.includes("ready"));
      process.kill(await after.monitorPid(), signal);
      assert.equal(await after.exitStatus(), 9);
      await after.ended();

      const before = startConmon(scratch, {
        ...options,
        session: scratch.uniqueName(),
        runtime,
        startPipe: true,
      });
      before.process.kill(signal);
      // Nobody has been let go yet: it is this very process, as callers know it.
      assert.deepEqual(await before.left, { status: null, signal });
      await before.ended();
      assert.equal(existsSync(before.paths.exitFile), false);
    });
  }
});

inBothModes("runtimes", skip, (prepare) => {
  it("crun does as runc does", async (t) => {
    const { scratch, shared } = await prepare(t);
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["sh", "-c", "echo hi; echo err >&2; exit 3"] }),
      runtime: needProgram("crun"),
      wrapper: WITHOUT_UNIFIED,
      apiVersion: 1,
      ...shared,
    });
    await run.created();
    await run.runtimeStart();
    assert.equal(await run.exitStatus(), 3);
    await run.ended();
    const log = readFileSync(run.paths.log);
    assert.deepEqual([readOutput(log, "stdout"), readOutput(log, "stderr")].map(String), [
      "hi\n",
      "err\n",
    ]);
  });

  it("are given every option that is for them, in the order that they expect", async (t) => {
    const { scratch, shared } = await prepare(t);
    const bundle = makeBundle(scratch, { args: ["true"] });
    const runtime = makeStandInRuntime(scratch, behaviours.runs("exit 0"));
    const run = startConmon(scratch, {
      bundle,
      runtime: runtime.path,
      apiVersion: 1,
      arguments: [
        ...["--systemd-cgroup", "--no-pivot", "--no-new-keyring"],
        ...["--runtime-arg=--log-format=json", "--runtime-opt", "--pass=this"],
        ...["--restore", scratch.path("checkpoint"), "--restore-arg=--tcp"],
      ],
      ...shared,
    });
    assert.equal(await run.exitStatus(), 0);
    await run.ended();
    assert.deepEqual(runtime.calls()[0]?.arguments, [
      ...["--systemd-cgroup", `--root=${scratch.path("state")}`, "--log-format=json", "restore"],
      ...["--bundle", bundle.directory, "--pid-file", run.paths.containerPidFile],
      ...["--no-pivot", "--no-new-keyring", "--detach"],
      ...["--image-path", scratch.path("checkpoint"), "--work-path", bundle.directory],
      ...["--pass=this", "--tcp", run.id],
    ]);
  });

  it("get descriptors of the caller's that the container then uses", async (t) => {
    const { scratch, shared } = await prepare(t);
    const path = scratch.path("activated");
    writeFileSync(path, "activated\n");
    const descriptor = openSync(path, "r");
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, {
        args: ["sh", "-c", 'cat <&3; echo "$LISTEN_FDS $LISTEN_PID $$"'],
      }),
      apiVersion: 1,
      descriptors: [descriptor],
      // The caller's own pid is not known before it runs: the option is for that.
      environment: { LISTEN_FDS: "1", LISTEN_PID: "1234" },
      arguments: ["--replace-listen-pid"],
      ...shared,
    });
    closeSync(descriptor);
    await run.created();
    await run.runtimeStart();
    assert.equal(await run.exitStatus(), 0);
    await run.ended();
    assert.equal(
      readOutput(readFileSync(run.paths.log), "stdout").toString(),
      "activated\n1 1 1\n",
    );
  });
});

inBothModes("without privileges", skip, (prepare) => {
  it("an ordinary user in a user namespace has all of it", async (t) => {
    const { scratch, shared } = await prepare(t);
    const bundle = makeBundle(scratch, {
      args: ["sh", "-c", "echo hi; exit 3"],
      change: (config) => {
        config.linux.namespaces = ["pid", "ipc", "uts", "mount", "user"].map((type) => ({ type }));
        config.linux.uidMappings = [{ containerID: 0, hostID: 0, size: 1 }];
        config.linux.gidMappings = [{ containerID: 0, hostID: 0, size: 1 }];
        config.mounts = [{ destination: "/proc", type: "proc", source: "proc" }];
      },
    });
    const nobody = 65534;
    const run = startConmon(scratch, {
      bundle,
      apiVersion: 1,
      arguments: ["--runtime-arg=--rootless=true", "--full-attach"],
      owner: nobody,
      wrapper: [
        ...["setpriv", `--reuid=${nobody}`, `--regid=${nobody}`, "--clear-groups"],
        ...["unshare", "--user", "--map-root-user", "--mount"],
      ],
      ...shared,
    });
    await run.created();
    await run.runtimeStart();
    assert.equal(await run.exitStatus(), 3);
    await run.ended();
    assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "hi\n");
    assert.equal(existsSync(join(bundle.directory, "attach")), false);
  });
});
