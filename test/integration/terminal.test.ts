/** Containers with a terminal: real runc, with a private and a shared conmond. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  constants,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import * as sys from "../../src/sys/mod.ts";
import { AttachClient } from "../support/attach-client.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonRun, startConmon } from "../support/conmon.ts";
import { inBothModes, type Place } from "../support/modes.ts";
import { eventually, privateConmond } from "../support/private-conmond.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");

interface WithTerminal {
  readonly run: ConmonRun;
  readonly directory: string;
  attach(): AttachClient;
}

/** A container with a terminal in which a shell runs this; not started yet. */
async function create({ scratch, shared }: Place, script: string): Promise<WithTerminal> {
  const bundle = makeBundle(scratch, { args: ["sh", "-c", script], terminal: true });
  const run = startConmon(scratch, {
    bundle,
    apiVersion: 1,
    arguments: ["--terminal", "--stdin", "--full-attach"],
    ...shared,
  });
  await run.created();
  const { directory } = bundle;
  const attach = () => new AttachClient(scratch, join(directory, "attach"));
  return { run, directory, attach };
}

inBothModes("a terminal", skip, (prepare) => {
  it("shows what is written, with carriage returns, and takes what is typed", async (t) => {
    const place = await prepare(t);
    const { run, attach } = await create(place, "read -r line; echo got $line; exit 3");
    const client = attach();
    await run.runtimeStart();
    client.send("some text\r");
    await client.ended();
    const expected = "some text\r\ngot some text\r\n";
    assert.equal(client.output().toString(), expected);
    assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), expected);
    assert.equal(await run.exitStatus(), 3);
    await run.ended();
    assert.deepEqual(readdirSync(place.scratch.temporary), [], "no console socket is left");
  });

  it("has the size that is asked for before the start, and a new one at any time", async (t) => {
    const place = await prepare(t);
    const script = "trap 'stty size; exit 0' WINCH; stty size; while :; do sleep 0.1; done";
    const { run, directory, attach } = await create(place, script);
    writeFileSync(join(directory, "ctl"), "1 24 80 0 0\n1 1001 80\n1 2.5 80\n");
    const client = attach();
    // Who was told by a fifo does not say when it is done; the terminal shows it.
    const pid = readFileSync(run.paths.containerPidFile, "utf8");
    const terminal = openSync(`/proc/${pid}/fd/0`, constants.O_RDWR | constants.O_NOCTTY);
    await eventually(() => sys.getWindowSize(terminal).rows === 24, "the size");
    closeSync(terminal);
    await run.runtimeStart();
    await client.until((text) => text === "24 80\r\n");
    writeFileSync(join(directory, "winsz"), "040 0120\n");
    await client.ended();
    assert.equal(client.output().toString(), "24 80\r\n40 120\r\n");
    await run.ended();
  });

  it("passes on interrupts, and lives on without anybody at it", async (t) => {
    const place = await prepare(t);
    const { run, attach } = await create(
      place,
      "trap 'exit 130' INT; echo ready; while :; do sleep 0.1; done",
    );
    await run.runtimeStart();
    await textOf(run.paths.log, (text) => text.includes("ready"));
    const early = attach();
    // A client that comes and goes again takes nothing with it: there is no end to a terminal's input.
    early.send("x");
    await early.until((text) => text.includes("x"));
    early.end();
    early.close();
    const client = attach();
    client.send("\x03");
    await client.ended();
    assert.equal(await run.exitStatus(), 130);
    await run.ended();
  });

  it("carries many megabytes without loss and in order, in both directions", async (t) => {
    const place = await prepare(t);
    const size = 8 * 1024 * 1024;
    const script = `stty raw -echo; echo ready; head -c ${size} | tee /dev/null`;
    const { run, attach } = await create(place, script);
    const client = attach();
    await run.runtimeStart();
    await client.until((text) => text.includes("ready\n"));
    const sent = randomBytes(size);
    client.send(sent);
    await client.ended();
    const expected = Buffer.concat([Buffer.from("ready\n"), sent]);
    assert.ok(client.output().equals(expected), `the client got ${client.output().length} bytes`);
    assert.ok(readOutput(readFileSync(run.paths.log), "stdout").equals(expected), "the log");
    assert.equal(await run.exitStatus(), 0);
    await run.ended();
  });

  it("may be closed by everybody and opened again", async (t) => {
    const place = await prepare(t);
    const script =
      "echo before; exec </dev/null >/dev/null 2>&1; sleep 0.3; echo after >/dev/console; exit 4";
    const { run, attach } = await create(place, script);
    const client = attach();
    await run.runtimeStart();
    await client.ended();
    assert.equal(client.output().toString(), "before\r\nafter\r\n");
    assert.equal(await run.exitStatus(), 4);
    await run.ended();
  });

  it("must come: a runtime that sends none has failed", async (t) => {
    const { scratch, shared } = await prepare(t);
    const bundle = makeBundle(scratch, { args: ["true"], terminal: true });
    const runtime = makeStandInRuntime(scratch, behaviours.runs("exit 0"));
    const run = startConmon(scratch, {
      bundle,
      runtime: runtime.path,
      apiVersion: 1,
      arguments: ["--terminal"],
      ...shared,
    });
    assert.deepEqual(await run.sync?.next(), {
      data: -1,
      message: "Runtime did not set up terminal",
    });
    await run.ended();
    const [call] = runtime.calls();
    const socket = call?.arguments[call.arguments.indexOf("--console-socket") + 1] ?? "";
    assert.match(socket, /\/conmon-term\.\w+$/);
    assert.equal(dirname(socket), scratch.temporary);
    assert.equal(existsSync(socket), false);
  });

  it("does not hide why the runtime failed", async (t) => {
    const { scratch, shared } = await prepare(t);
    const bundle = makeBundle(scratch, { args: ["no-such-command"], terminal: true });
    const run = startConmon(scratch, {
      bundle,
      apiVersion: 1,
      arguments: ["--terminal"],
      ...shared,
    });
    const message = await run.sync?.next();
    assert.equal(message?.data, -1);
    assert.match(message?.message ?? "", /no-such-command.*not found/s);
    await run.ended();
  });
});

describe("a terminal, when conmond is killed", { skip }, () => {
  it("stays, with its clients and what is shown on it", async (t) => {
    const here: Place = { scratch: makeScratch(t), shared: {} };
    const { run, attach } = await create(here, "echo ready; read -r line; echo got $line; exit 5");
    const client = attach();
    await run.runtimeStart();
    await client.until((text) => text.includes("ready"));
    const monitor = await run.monitorPid();
    const first = await privateConmond(monitor);
    process.kill(first, "SIGKILL");
    await privateConmond(monitor, first);
    client.send("on\r");
    await client.ended();
    assert.equal(client.output().toString(), "ready\r\non\r\ngot on\r\n");
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
  });
});
