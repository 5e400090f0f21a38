/** Executing commands in containers that run: real runc, with a private and a shared conmond. */
import assert from "node:assert/strict";
import { existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { AttachClient } from "../support/attach-client.ts";
import { type Bundle, makeBundle } from "../support/bundle.ts";
import { startConmon } from "../support/conmon.ts";
import { type ExecOptions, type ExecRun, startExec } from "../support/exec.ts";
import { inBothModes, type Place } from "../support/modes.ts";
import { eventually, privateConmond } from "../support/private-conmond.ts";
import { socketsOf } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { inTime } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");
const MEBIBYTE = 1024 * 1024;

async function runContainer({ scratch, shared }: Place): Promise<Bundle> {
  const bundle = makeBundle(scratch, { args: ["sleep", "1000"] });
  const run = startConmon(scratch, { bundle, apiVersion: 1, ...shared });
  await run.created();
  await run.runtimeStart();
  return bundle;
}

/** Begins to execute a command that a client is attached to; it waits for a second word on the start pipe. */
async function startAttached(
  { scratch, shared }: Place,
  container: Bundle,
  options: ExecOptions,
): Promise<ExecRun & { client: AttachClient }> {
  const exec = startExec(scratch, container, {
    ...{ withBundle: true, apiVersion: 1, startPipe: true, attachPipe: true },
    arguments: ["--exec-attach", "--stdin"],
    ...shared,
    ...options,
  });
  exec.run.start?.allow();
  assert.deepEqual(await exec.run.attach?.next(), { data: 0 });
  return { ...exec, client: new AttachClient(scratch, join(exec.directory, "attach")) };
}

function outputOf({ run }: ExecRun, stream: "stdout" | "stderr" = "stdout"): string {
  return readOutput(readFileSync(run.paths.log), stream).toString("latin1");
}

inBothModes("exec", skip, (prepare) => {
  it("tells pid and status to callers of API 1, and the status alone to older ones", async (t) => {
    const place = await prepare(t);
    const bundle = await runContainer(place);
    const args = ["sh", "-c", "echo out; echo err >&2; exit 42"];
    const modern = startExec(place.scratch, bundle, { args, apiVersion: 1, ...place.shared });
    const pid = await modern.run.created();
    assert.ok(pid > 1);
    await modern.run.ended();
    const messages = modern.run.sync?.lines.map((line) => JSON.parse(line));
    assert.deepEqual(messages, [{ data: pid }, { data: 42 }]);
    assert.equal(await modern.run.exitStatus(), 42);
    assert.deepEqual([outputOf(modern), outputOf(modern, "stderr")], ["out\n", "err\n"]);

    const legacy = startExec(place.scratch, bundle, { args, ...place.shared });
    await legacy.run.ended();
    assert.deepEqual(legacy.run.sync?.lines, ['{"exit_code":42}']);
    assert.equal(outputOf(legacy), "out\n");
  });

  it("makes no socket and no fifo without a bundle, wherever it is started", async (t) => {
    const place = await prepare(t);
    const bundle = await runContainer(place);
    const workingDirectory = place.scratch.folder("here");
    const args = ["true"];
    const { run } = startExec(place.scratch, bundle, { args, workingDirectory, ...place.shared });
    await run.ended();
    assert.deepEqual(readdirSync(workingDirectory), []);
    assert.deepEqual(readdirSync(run.paths.socketDirectory), [bundle.id], "the container's own");
  });

  it("tells why a command cannot be executed, with status 1", async (t) => {
    const place = await prepare(t);
    const bundle = await runContainer(place);
    for (const [apiVersion, key] of [
      [1, "data"],
      [0, "exit_code"],
    ] as const) {
      const { run } = startExec(place.scratch, bundle, {
        args: ["no-such-command"],
        apiVersion,
        arguments: ["--sync"],
        ...place.shared,
      });
      const message = await run.sync?.next();
      assert.equal(message?.[key], -1);
      assert.match(message?.message ?? "", /no-such-command.*not found/s);
      assert.deepEqual(await inTime(run.closed, "the end"), { status: 1, signal: null });
      assert.equal(run.sync?.lines.length, 1);
      assert.equal(existsSync(run.paths.exitFile), false);
    }
  });

  it("waits for the caller to attach before the runtime is started", async (t) => {
    const place = await prepare(t);
    const bundle = makeBundle(place.scratch, { args: ["true"] });
    const runtime = makeStandInRuntime(place.scratch, behaviours.runs("cat; exit 5"));
    const options = { args: ["cat"], runtime: runtime.path };
    const { run, client } = await startAttached(place, bundle, options);
    assert.deepEqual(await run.left, { status: 0, signal: null });
    // Early input, and early end of input, are not lost.
    client.send("early\n");
    client.end();
    assert.deepEqual(runtime.calls(), []);
    run.start?.allow();
    await client.ended();
    assert.equal(client.output().toString(), "early\n");
    assert.equal(runtime.calls().length, 1);
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
  });

  it("gives an attached client all output and takes its input", async (t) => {
    const place = await prepare(t);
    const bundle = await runContainer(place);
    const args = ["sh", "-c", "cat; echo end >&2; exit 6"];
    const { run, client } = await startAttached(place, bundle, { args });
    run.start?.allow();
    await run.created();
    const sent = "0123456789abcdef\n".repeat(MEBIBYTE / 17);
    client.send(sent);
    client.end();
    await client.ended();
    assert.equal(client.output().toString(), sent);
    assert.equal(client.output("stderr").toString(), "end\n");
    assert.equal(await run.exitStatus(), 6);
    await run.ended();
  });

  it("starts nothing any more once it was given up before the caller attached", async (t) => {
    const { scratch, shared } = await prepare(t);
    const bundle = makeBundle(scratch, { args: ["true"] });
    const runtime = makeStandInRuntime(scratch, behaviours.runs("exit 5"));
    const { run } = startExec(scratch, bundle, {
      args: ["true"],
      runtime: runtime.path,
      withBundle: true,
      apiVersion: 1,
      startPipe: true,
      attachPipe: true,
      // The delay keeps the session there, as podman's does, while the caller lets go.
      arguments: ["--exec-attach", "--exit-command=/bin/true", "--exit-delay=1"],
      ...shared,
    });
    run.start?.allow();
    await run.attach?.next();
    process.kill(await run.monitorPid(), "SIGTERM");
    assert.equal((await run.sync?.next())?.data, -1);
    run.start?.close();
    await run.ended();
    assert.deepEqual(runtime.calls(), []);
    assert.equal(run.sync?.lines.length, 1);
  });
  it("refuses to attach without an attach pipe", async (t) => {
    const place = await prepare(t);
    const bundle = makeBundle(place.scratch, { args: ["true"] });
    const { run } = startExec(place.scratch, bundle, {
      args: ["true"],
      apiVersion: 1,
      arguments: ["--exec-attach"],
      ...place.shared,
    });
    assert.deepEqual(await run.closed, { status: 1, signal: null });
    assert.equal(run.stderr, "[conmon:e]: --attach specified but _OCI_ATTACHPIPE was not\n");
  });

  it("gives a command a terminal, of the size that was asked for", async (t) => {
    const place = await prepare(t);
    const bundle = await runContainer(place);
    const { run, directory, client } = await startAttached(place, bundle, {
      args: ["sh", "-c", "read -r line; stty size; echo got $line; exit 3"],
      terminal: true,
    });
    // Before there is a terminal.
    writeFileSync(join(directory, "ctl"), "1 33 77\n");
    run.start?.allow();
    client.send("typed\r");
    await client.ended();
    assert.equal(client.output().toString(), "typed\r\n33 77\r\ngot typed\r\n");
    assert.equal(await run.exitStatus(), 3);
    await run.ended();
  });

  it("serves a caller that stays for the status, with all output within its limit", async (t) => {
    const place = await prepare(t);
    const bundle = await runContainer(place);
    const { run } = startExec(place.scratch, bundle, {
      args: ["sh", "-c", `head -c ${MEBIBYTE} /dev/zero | tr '\\0' '\\n'; exit 9`],
      arguments: ["--sync", "--log-global-size-max=100000"],
      ...place.shared,
    });
    assert.deepEqual(await inTime(run.closed, "the end"), { status: 9, signal: null });
    assert.equal((await run.sync?.next())?.exit_code, 9);
    const { length } = readFileSync(run.paths.log);
    assert.ok(length > 99_900 && length <= 100_000, `${length} bytes`);
  });

  it("kills a command whose time is up, and keeps what it has written", async (t) => {
    const place = await prepare(t);
    const bundle = await runContainer(place);
    const runtime = place.scratch.path("runtime");
    // The time begins when the runtime has ended, which is when the command has written.
    const pidFile = place.scratch.path("runs", bundle.id, "container.pid");
    const written = `/proc/$(cat ${pidFile})/root/tmp/written`;
    writeFileSync(
      runtime,
      `#!/bin/sh\nrunc "$@" || exit\ncase "$*" in *" exec "*) until [ -e ${written} ]; do sleep 0.02; done;; esac\n`,
      { mode: 0o755 },
    );
    const exec = startExec(place.scratch, bundle, {
      args: ["sh", "-c", "echo before; : >/tmp/written; sleep 1000 & sleep 1000"],
      runtime,
      arguments: ["--sync", "-T", "1"],
      ...place.shared,
    });
    assert.deepEqual(await inTime(exec.run.closed, "the end"), { status: 255, signal: null });
    assert.deepEqual(await exec.run.sync?.next(), { exit_code: -1, message: "command timed out" });
    assert.equal(outputOf(exec), "before\n");
    assert.equal(await exec.run.exitStatus(), -1);
  });

  const commands: { args: string[]; status: number; output: string }[] = [
    { args: ["true"], status: 0, output: "" },
    { args: ["echo", "x"], status: 0, output: "x\n" },
    { args: ["sh", "-c", "exit 42"], status: 42, output: "" },
    {
      args: ["sh", "-c", `head -c ${MEBIBYTE} /dev/zero | tr '\\0' y; kill -9 $$`],
      status: 137,
      output: "y".repeat(MEBIBYTE),
    },
  ];

  async function execute(place: Place, bundle: Bundle, index: number): Promise<void> {
    const { args, status, output } = commands[index % commands.length] as (typeof commands)[number];
    const exec = startExec(place.scratch, bundle, { args, apiVersion: 1, ...place.shared });
    await exec.run.created();
    const ended = await exec.run.sync?.next();
    assert.equal(ended?.data, status, args.join(" "));
    assert.ok(outputOf(exec) === output, `the output of ${args.join(" ")}`);
    await exec.run.ended();
  }

  it("has every byte and every status of 200 short commands in a row", async (t) => {
    const place = await prepare(t);
    const bundle = await runContainer(place);
    for (let i = 0; i < 200; i++) await execute(place, bundle, i);
  });

  it("has every byte and every status of 20 commands at once", async (t) => {
    const place = await prepare(t);
    const bundle = await runContainer(place);
    await Promise.all(Array.from({ length: 20 }, (_, i) => execute(place, bundle, i)));
  });
});

describe("exec, when conmond is killed", { skip }, () => {
  it("goes on with another conmond while it waits for the caller to attach", async (t) => {
    const place: Place = { scratch: makeScratch(t), shared: {} };
    const bundle = await runContainer(place);
    const { run, directory } = startExec(place.scratch, bundle, {
      args: ["echo", "here"],
      withBundle: true,
      apiVersion: 1,
      startPipe: true,
      attachPipe: true,
      arguments: ["--exec-attach"],
      ...place.shared,
    });
    run.start?.allow();
    await run.attach?.next();
    const monitor = await run.monitorPid();
    const before = socketsOf(monitor);
    const client = new AttachClient(place.scratch, join(directory, "attach"));
    // It is safe from then on: the shim has the client's descriptor as well.
    await eventually(() => socketsOf(monitor) > before, "the client's descriptor with the shim");
    const first = await privateConmond(monitor);
    process.kill(first, "SIGKILL");
    await privateConmond(monitor, first);
    run.start?.allow();
    await run.created();
    assert.equal((await run.sync?.next())?.data, 0);
    await client.ended();
    assert.equal(client.output().toString(), "here\n");
    await run.ended();
    assert.equal(run.attach?.lines.length, 1, "the attach socket is announced once");
  });
});
