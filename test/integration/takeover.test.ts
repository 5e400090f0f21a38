/** conmond goes, the container stays: what the next conmond makes of it. */
import assert from "node:assert/strict";
import {
  existsSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import * as sys from "../../src/sys/mod.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonOptions, type ConmonRun, startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { startExec } from "../support/exec.ts";
import { eventually, privateConmond } from "../support/private-conmond.ts";
import { hasOpen, socketsOf } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { appears, disappears, textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");

/** A container that says "ready", and "done" with status 7 once it has been sent SIGTERM. */
async function startWaiting(
  scratch: Scratch,
  conmond?: string,
  options: ConmonOptions = {},
): Promise<ConmonRun> {
  const bundle = makeBundle(scratch, {
    args: ["sh", "-c", "trap 'echo done; exit 7' TERM; echo ready; while :; do sleep 0.1; done"],
  });
  const settings = {
    ...{ bundle, apiVersion: 1 },
    ...options,
    arguments: ["--full-attach", ...(options.arguments ?? [])],
  };
  const run = startConmon(scratch, conmond === undefined ? settings : { ...settings, conmond });
  await run.created();
  await run.runtimeStart();
  await textOf(run.paths.log, (text) => text.includes("ready"));
  return run;
}

async function finish(run: ConmonRun): Promise<void> {
  process.kill(await run.monitorPid(), "SIGTERM");
  assert.equal(await run.exitStatus(), 7);
  await run.ended();
  assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "ready\ndone\n");
  assert.deepEqual(run.sync?.lines.length, 1, "the pid is reported once");
}

/** Whether a process waits for something to happen to what `/proc/PID/fd` calls `target`. */
function watches(pid: number, target: string): boolean {
  const numbers = readdirSync(`/proc/${pid}/fd`).filter((fd) => linkOf(pid, fd) === target);
  const tables = readdirSync(`/proc/${pid}/fdinfo`)
    .filter((fd) => linkOf(pid, fd) === "anon_inode:[eventpoll]")
    .map((fd) => readFileSync(`/proc/${pid}/fdinfo/${fd}`, "latin1"));
  return numbers.some((fd) => tables.some((table) => new RegExp(`^tfd: +${fd} `, "m").test(table)));
}

function linkOf(pid: number, fd: string): string | undefined {
  try {
    return readlinkSync(`/proc/${pid}/fd/${fd}`);
  } catch {
    return undefined; // It has been closed since it was listed.
  }
}

describe("when conmond is killed", { skip }, () => {
  it("a private one is replaced, and the container goes on to its end", async (t) => {
    const scratch = makeScratch(t);
    const run = await startWaiting(scratch);
    let conmond = 0;
    for (let i = 0; i < 3; i++) {
      conmond = await privateConmond(await run.monitorPid(), conmond);
      process.kill(conmond, "SIGKILL");
    }
    await finish(run);
  });

  it("a shared one is replaced by private ones", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const runs = await Promise.all([
      startWaiting(scratch, conmond.socket),
      startWaiting(scratch, conmond.socket),
    ]);
    await conmond.stop("SIGKILL");
    await Promise.all(runs.map(finish));
  });

  it("an attached client stays connected and gets what comes later", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const run = await startWaiting(scratch, conmond.socket);
    const bundle = run.arguments.find((text) => text.startsWith("--bundle="))?.slice(9) ?? "";
    const monitor = await run.monitorPid();
    const before = socketsOf(monitor);
    const client = sys.unixSocket("seqpacket");
    sys.connectUnix(client, join(bundle, "attach"));
    // It is safe from then on: the shim has the client's descriptor as well.
    await eventually(() => socketsOf(monitor) > before, "the client's descriptor with the shim");
    await conmond.stop("SIGKILL");
    await finish(run);
    const buffer = Buffer.alloc(100);
    assert.equal(buffer.toString("latin1", 1, sys.receive(client, buffer)), "done\n");
    assert.equal(sys.receive(client, buffer), 0);
    sys.close(client);
  });

  it("logs that cannot be opened any more are gone on without", async (t) => {
    const scratch = makeScratch(t);
    const [logs, here] = [scratch.folder("logs"), scratch.folder("here")];
    const plugin = scratch.path("plugin.mjs");
    writeFileSync(plugin, "export default () => ({ write() {} });");
    const run = await startWaiting(scratch, undefined, {
      workingDirectory: here,
      arguments: [
        ...[`--log-path=json-file:${logs}/json`, `--log-path=k8s-file:${logs}/k8s`],
        ...[`--log-path=plugin:${plugin}`, `--log-allowlist-dir=${logs}`],
        `--log-allowlist-dir=${dirname(dirname(dirname(logs)))}`,
      ],
    });
    await textOf(join(logs, "json"), (text) => text.includes("ready"));
    renameSync(logs, `${logs}.away`);
    rmSync(plugin);
    rmSync(here, { recursive: true });
    const monitor = await run.monitorPid();
    process.kill(await privateConmond(monitor), "SIGKILL");
    await finish(run);
    const log = (name: string) => readFileSync(join(`${logs}.away`, name));
    // This one was still open.
    assert.equal(readOutput(log("k8s"), "stdout").toString(), "ready\ndone\n");
    assert.ok(!log("json").includes("done"));
  });

  it("a log that is outside of what is allowed by now is not opened", async (t) => {
    const scratch = makeScratch(t);
    const [logs, secret] = [scratch.folder("logs"), scratch.folder("secret")];
    const run = await startWaiting(scratch, undefined, {
      arguments: [
        `--log-path=json-file:${logs}/json`,
        ...[`--log-allowlist-dir=${logs}`, `--log-allowlist-dir=${scratch.folder("runs")}`],
      ],
    });
    await textOf(join(logs, "json"), (text) => text.includes("ready"));
    rmSync(join(logs, "json"));
    symlinkSync(join(secret, "json"), join(logs, "json"));
    writeFileSync(join(secret, "json"), "");
    process.kill(await privateConmond(await run.monitorPid()), "SIGKILL");
    await finish(run);
    assert.equal(readFileSync(join(secret, "json"), "utf8"), "");
    rmSync(join(logs, "json"));
  });

  it("a start that was given up is not begun after all", async (t) => {
    const scratch = makeScratch(t);
    const bundle = makeBundle(scratch, { args: ["true"] });
    const runtime = makeStandInRuntime(scratch, behaviours.runs("exit 5"));
    const { run } = startExec(scratch, bundle, {
      args: ["true"],
      runtime: runtime.path,
      ...{ withBundle: true, apiVersion: 1, startPipe: true, attachPipe: true },
      // The session is there as long as this takes, for conmond to be killed meanwhile.
      arguments: ["--exec-attach", "--exit-command=/bin/true", "--exit-delay=3"],
    });
    run.start?.allow();
    await run.attach?.next();
    const monitor = await run.monitorPid();
    const conmond = await privateConmond(monitor);
    process.kill(monitor, "SIGTERM");
    assert.equal((await run.sync?.next())?.data, -1);
    process.kill(conmond, "SIGKILL");
    run.start?.close();
    await run.ended();
    assert.deepEqual([runtime.calls(), run.sync?.lines.length], [[], 1]);
  });

  it("the runtime's file and the exit directory may be away just then", async (t) => {
    const scratch = makeScratch(t);
    const go = scratch.path("go");
    const runtime = makeStandInRuntime(
      scratch,
      behaviours.runs(
        `wait_for() { while [[ ! -e ${go} ]]; do sleep 0.05; done; exit 5; }; wait_for`,
      ),
    );
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: runtime.path,
      apiVersion: 1,
    });
    await run.created();
    const monitor = await run.monitorPid();
    const exits = run.paths.exitDirectory;
    renameSync(runtime.path, `${runtime.path}.away`);
    renameSync(exits, `${exits}.away`);
    const first = await privateConmond(monitor);
    process.kill(first, "SIGKILL");
    const next = await privateConmond(monitor, first);
    // Once it has opened the log again it has read the options and will not look at them any more.
    await eventually(() => hasOpen(next, run.paths.log), "the next conmond to open the log");
    renameSync(`${exits}.away`, exits);
    renameSync(`${runtime.path}.away`, runtime.path);
    writeFileSync(go, "");
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
  });

  it("an exit command that has been started is not started again", async (t) => {
    const scratch = makeScratch(t);
    const [log, go] = [scratch.path("exit-command.log"), scratch.path("exit-command.go")];
    const script = `echo run >>${log}; while [ ! -e ${go} ]; do sleep 0.05; done`;
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.fails("no")).path,
      apiVersion: 1,
      arguments: [
        "--exit-command=/bin/sh",
        "--exit-command-arg=-c",
        `--exit-command-arg=${script}`,
      ],
    });
    assert.equal((await run.sync?.next())?.message, "no");
    await appears(log);
    const monitor = await run.monitorPid();
    const first = await privateConmond(monitor);
    process.kill(first, "SIGKILL");
    await privateConmond(monitor, first);
    writeFileSync(go, "");
    await run.ended();
    assert.equal(readFileSync(log, "utf8"), "run\n");
    assert.equal(run.sync?.lines.length, 1, "the failure is reported once");
    assert.equal(existsSync(run.paths.exitFile), false);
  });

  /** A container that has ended, whose exit command `while` waits; resolves when it does. */
  async function inExitCommand(scratch: Scratch, conmond: string) {
    const [waits, go] = [scratch.path("waits"), scratch.path("go")];
    const bundle = makeBundle(scratch, { args: ["true"] });
    const script = `: >${waits}; while [ ! -e ${go} ]; do sleep 0.05; done; exit 3`;
    const command = ["/bin/sh", "-c", script];
    const run = startConmon(scratch, {
      bundle,
      session: scratch.uniqueName(),
      runtime: makeStandInRuntime(scratch, behaviours.runs("exit 5")).path,
      apiVersion: 1,
      conmond,
      arguments: [
        "--full-attach",
        `--exit-command=${command[0]}`,
        ...command.slice(1).map((argument) => `--exit-command-arg=${argument}`),
      ],
    });
    await run.created();
    await appears(waits);
    return { run, bundle, letGo: () => writeFileSync(go, "") };
  }

  it("leaves alone what a container that was started again has in the bundle", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const { run, bundle, letGo } = await inExitCommand(scratch, conmond.socket);
    // As podman does it for a restart policy: from within the exit command.
    const again = startConmon(scratch, {
      bundle,
      session: scratch.uniqueName(),
      runtime: makeStandInRuntime(scratch, behaviours.runs("exec sleep 100")).path,
      apiVersion: 1,
      arguments: ["--full-attach"],
    });
    await again.created();
    const monitor = await run.monitorPid();
    await conmond.stop("SIGKILL");
    const next = await privateConmond(monitor);
    letGo();
    await run.ended();
    assert.ok(next > 0);
    for (const name of ["attach", "ctl", "winsz"]) {
      assert.ok(existsSync(join(bundle.directory, name)), `${name} is there`);
    }
    process.kill(await again.monitorPid(), "SIGTERM");
    await again.ended();
  });

  it("leaves alone what is in the bundle when a shim is killed in its exit command", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const { run, bundle, letGo } = await inExitCommand(scratch, conmond.socket);
    const attach = join(bundle.directory, "attach");
    writeFileSync(attach, "another session's");
    process.kill(await run.monitorPid(), "SIGKILL");
    await conmond.logged("Lost the shim");
    letGo();
    assert.ok(existsSync(attach));
  });

  it("ends although the exit command has removed the container's files", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const { run, letGo } = await inExitCommand(scratch, conmond.socket);
    const directory = dirname(run.paths.log);
    renameSync(directory, `${directory}.away`);
    await conmond.stop("SIGKILL");
    letGo();
    await run.ended();
    renameSync(`${directory}.away`, directory);
  });
});

describe("when a shim is killed", { skip }, () => {
  it("its shared conmond removes what it had made, and logs what the container wrote", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const bundle = makeBundle(scratch, { args: ["true"] });
    const run = startConmon(scratch, {
      bundle,
      runtime: makeStandInRuntime(scratch, behaviours.runs("echo ready; exec sleep 100")).path,
      apiVersion: 1,
      conmond: conmond.socket,
    });
    const pid = await run.created();
    await textOf(run.paths.log, (text) => text.includes("ready"));
    process.kill(await run.monitorPid(), "SIGKILL");
    // One after the other, in an order that is nobody's business.
    await disappears(join(run.paths.socketDirectory, run.id));
    for (const name of ["attach", "ctl", "winsz"]) await disappears(join(bundle.directory, name));
    process.kill(pid, "SIGKILL");
  });

  it("while its caller did not read, that is no other session's harm", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const [readEnd, writeEnd] = sys.pipe();
    // Making it one that can be polled also makes it non-blocking.
    new sys.Readiness(writeEnd, () => {}).close();
    while (sys.write(writeEnd, Buffer.alloc(4096), 0, 4096) >= 0);
    const start = (commands: string, callersPipe: Partial<ConmonOptions>) =>
      startConmon(scratch, {
        bundle: makeBundle(scratch, { args: ["true"] }),
        runtime: makeStandInRuntime(scratch, behaviours.runs(commands)).path,
        syncPipe: false,
        conmond: conmond.socket,
        ...callersPipe,
      });
    const run = start("exec sleep 100", {
      descriptors: [writeEnd],
      environment: { _OCI_SYNCPIPE: "3" },
    });
    const pipe = readlinkSync(`/proc/self/fd/${writeEnd}`);
    await eventually(() => watches(conmond.pid, pipe), "conmond to wait for room in the sync pipe");
    process.kill(await run.monitorPid(), "SIGKILL");
    await disappears(join(run.paths.socketDirectory, run.id));
    // Without a sync pipe of its own it uses the descriptors' numbers for something else.
    const other = start("exit 5", {});
    assert.deepEqual(await other.closed, { status: 0, signal: null }, other.stderr);
    assert.equal(await other.exitStatus(), 5);
    process.kill(Number(await textOf(run.paths.containerPidFile)), "SIGKILL");
    sys.close(readEnd);
    sys.close(writeEnd);
  });
});
