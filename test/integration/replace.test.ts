/** `conmond --replace`: another conmond takes the socket and the sessions over, and nobody notices. */
import assert from "node:assert/strict";
import { readFileSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { encodeAsk } from "../../src/conmond/hand-over/messages.ts";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { REQUEST } from "../../src/shim/messages.ts";
import * as sys from "../../src/sys/mod.ts";
import { AttachClient } from "../support/attach-client.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonRun, startConmon } from "../support/conmon.ts";
import { type Conmond, newSocketPath, startConmond } from "../support/conmond.ts";
import { startExec } from "../support/exec.ts";
import { eventually } from "../support/private-conmond.ts";
import { isAlive, waitUntilGone } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { makeTracedShim } from "../support/traced-shim.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");

/** How often conmond is replaced in a test; more by `REPLACEMENTS=100 npm test replace`. */
const REPLACEMENTS = Number(process.env.REPLACEMENTS ?? 4);

/** Starts the next conmond; resolves when the one before has ended. */
async function replace(scratch: Scratch, before: Conmond): Promise<Conmond> {
  const next = await startConmond(scratch, { socket: before.socket, arguments: ["--replace"] });
  assert.deepEqual(await before.ended, { status: 0, signal: null }, before.log());
  return next;
}

/** Numbered lines, as fast as it can, until /state/stop is there; then how many there were. */
const flood = (rest: string) => `
BEGIN {
  pad = sprintf("%200s", ""); gsub(/ /, "x", pad)
  for (i = 1; ; i++) {
    print i, ${rest}
    if (i % 1000 == 0 && (getline line < "/state/stop") >= 0) break
  }
  print i > "/state/count"
  exit 7
}`;

/** Lines of different lengths. */
const LINES = flood("substr(pad, 1, i % 200)");

function checkLines(output: string, count: number): void {
  const lines = output.split("\n");
  assert.equal(lines.pop(), "", "the last line is whole");
  lines.forEach((line, index) => {
    const number = index + 1;
    if (line === `${number} ${"x".repeat(number % 200)}`) return;
    assert.fail(`line ${number} of ${lines.length} is ${JSON.stringify(line.slice(0, 80))}`);
  });
  assert.equal(lines.length, count);
}

interface Flood {
  readonly run: ConmonRun;
  readonly client: AttachClient;
  readonly state: string;
}

async function startFlood(scratch: Scratch, conmond: Conmond, conmon: string): Promise<Flood> {
  const state = scratch.folder(scratch.uniqueName());
  const bundle = makeBundle(scratch, {
    args: ["awk", LINES],
    mounts: [{ destination: "/state", type: "bind", source: state, options: ["bind", "rw"] }],
  });
  const run = startConmon(scratch, {
    ...{ bundle, conmon, apiVersion: 1, conmond: conmond.socket },
    arguments: ["--no-sync-log", "--full-attach"],
  });
  await run.created();
  const client = new AttachClient(scratch, join(bundle.directory, "attach"));
  await run.runtimeStart();
  return { run, client, state };
}

/** Resolves when a file has grown by a megabyte. */
async function growsOn(path: string): Promise<void> {
  const before = statSync(path).size;
  await eventually(() => statSync(path).size > before + 1_000_000, `${path} to grow`);
}

async function finishFlood({ run, client, state }: Flood): Promise<void> {
  writeFileSync(join(state, "stop"), "");
  assert.equal(await run.exitStatus(60_000), 7);
  await run.ended();
  await client.ended();
  const count = Number(readFileSync(join(state, "count"), "utf8"));
  checkLines(readOutput(readFileSync(run.paths.log), "stdout").toString("latin1"), count);
  checkLines(client.output().toString("latin1"), count);
  assert.equal(run.sync?.lines.length, 1, "the pid is told once");
}

describe("conmond --replace", { skip }, () => {
  it("just starts where there is nothing to replace", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch, { arguments: ["--replace"] });
    await conmond.logged("Listening on");
    await conmond.stop();
  });

  it("starts as well where a conmond that was killed has left its socket", async (t) => {
    const scratch = makeScratch(t);
    const socket = newSocketPath(scratch);
    const first = await startConmond(scratch, { socket });
    process.kill(first.pid, "SIGKILL");
    await first.ended;
    await startConmond(scratch, { socket, arguments: ["--replace"] });
  });

  it("takes over sessions that write as fast as they can, with attached clients", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    let conmond = await startConmond(scratch);
    const floods = [
      await startFlood(scratch, conmond, shim.path),
      await startFlood(scratch, conmond, shim.path),
    ];
    for (let i = 0; i < REPLACEMENTS; i++) {
      conmond = await replace(scratch, conmond);
      // Both go on with this one before the next comes.
      await Promise.all(floods.map(({ run }) => growsOn(run.paths.log)));
    }
    await Promise.all(floods.map(finishFlood));
    assert.deepEqual(shim.starts(), [], "no shim has gone private");
  });

  it("leaves no character cut in a log of JSON records", async (t) => {
    const scratch = makeScratch(t);
    const [state, log] = [scratch.folder("state-of-test"), scratch.path("log.json")];
    // Three bytes each, and written by the thousand, so that reads mostly end within one.
    const text = "€".repeat(60);
    const bundle = makeBundle(scratch, {
      args: ["sh", "-c", `awk '${flood(`"${text}"`)}' | dd bs=1000 2>/dev/null; exit 7`],
      mounts: [{ destination: "/state", type: "bind", source: state, options: ["bind", "rw"] }],
    });
    let conmond = await startConmond(scratch);
    const run = startConmon(scratch, {
      ...{ bundle, apiVersion: 1, conmond: conmond.socket, omit: ["--log-path"] },
      arguments: ["--no-sync-log", "--full-attach", `--log-path=json-file:${log}`],
    });
    await run.created();
    await run.runtimeStart();
    for (let i = 0; i < REPLACEMENTS; i++) {
      conmond = await replace(scratch, conmond);
      await growsOn(log);
    }
    writeFileSync(join(state, "stop"), "");
    assert.equal(await run.exitStatus(60_000), 7);
    await run.ended();
    const records = readFileSync(log, "utf8").split("\n").slice(0, -1);
    const lines = records
      .map((record): string => JSON.parse(record).log)
      .join("")
      .split("\n");
    const wrong = lines.findIndex((line, index) => line !== `${index + 1} ${text}`);
    assert.equal(wrong, lines.length - 1, `line ${wrong + 1} is ${lines[wrong]}`);
    assert.equal(wrong, Number(readFileSync(join(state, "count"), "utf8")));
  });

  it("misses no session that starts or ends meanwhile", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const script = "echo one; echo two >&2; exit 5";
    const runtime = makeStandInRuntime(scratch, behaviours.runs(script)).path;
    let conmond = await startConmond(scratch);
    let over = false;
    const { socket } = conmond;
    const runMany = async (): Promise<number> => {
      // One for each: what is made in it is removed at the end of a session.
      const bundle = makeBundle(scratch, { args: ["true"] });
      let count = 0;
      for (; !over; count++) {
        const id = scratch.uniqueName();
        const options = { bundle, id, runtime, apiVersion: 1, conmond: socket, conmon: shim.path };
        const run = startConmon(scratch, options);
        assert.ok((await run.created()) > 0);
        assert.equal(await run.exitStatus(), 5);
        await run.ended();
        const log = readFileSync(run.paths.log);
        assert.equal(readOutput(log, "stdout").toString(), "one\n");
        assert.equal(readOutput(log, "stderr").toString(), "two\n");
        assert.deepEqual(run.stderr, "");
      }
      return count;
    };
    const runners = [runMany(), runMany(), runMany()];
    for (let i = 0; i < 2 * REPLACEMENTS; i++) conmond = await replace(scratch, conmond);
    over = true;
    const counts = await Promise.all(runners);
    assert.ok(counts.every((count) => count > 0));
    assert.deepEqual(shim.starts(), [], "no shim has gone private");
  });

  it("hands on a session that waits for its exit command", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const go = scratch.path("go");
    const first = await startConmond(scratch);
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.runs("exit 5")).path,
      ...{ apiVersion: 1, conmond: first.socket, conmon: shim.path },
      arguments: [
        ...["--exit-command=/bin/sh", "--exit-command-arg=-c"],
        `--exit-command-arg=echo ran >>${go}.ran; while [ ! -e ${go} ]; do sleep 0.05; done; exit 3`,
      ],
    });
    await run.created();
    await textOf(`${go}.ran`);
    await replace(scratch, first);
    // So long the shim waits for a word of the next one, which has nothing to do just now.
    await delay(5500);
    assert.deepEqual(shim.starts(), [], "it has not gone private");
    writeFileSync(go, "");
    await run.ended();
    assert.equal(readFileSync(`${go}.ran`, "utf8"), "ran\n");
    assert.equal(await run.exitStatus(), 5);
  });

  it("hands on an exec session whose caller attaches before it starts, and its client", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const first = await startConmond(scratch);
    const { run, directory } = startExec(scratch, makeBundle(scratch, { args: ["true"] }), {
      args: ["true"],
      runtime: makeStandInRuntime(scratch, behaviours.runs("cat; exit 5")).path,
      ...{ withBundle: true, apiVersion: 1, startPipe: true, attachPipe: true },
      ...{ conmond: first.socket, conmon: shim.path },
      arguments: ["--exec-attach", "--stdin"],
    });
    run.start?.allow();
    await run.attach?.next();
    const client = new AttachClient(scratch, join(directory, "attach"));
    client.send("sent before\n");
    const second = await replace(scratch, first);
    client.send("sent after\n");
    run.start?.allow();
    await run.created();
    await client.until((text) => text.includes("after\n"));
    await replace(scratch, second);
    client.end();
    await client.ended();
    assert.equal(client.output().toString(), "sent before\nsent after\n");
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
    assert.deepEqual(shim.starts(), []);
  });

  it("can be asked for several times at once: the last one serves", async (t) => {
    const scratch = makeScratch(t);
    const first = await startConmond(scratch);
    const { socket } = first;
    const others = await Promise.all(
      [1, 2, 3].map(() => startConmond(scratch, { socket, arguments: ["--replace"] })),
    );
    await first.ended;
    const all = others.map(({ pid }) => pid);
    const alive = () => all.filter(isAlive);
    await waitUntilGone(() => alive().slice(1));
    assert.equal(alive().length, 1);
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.runs("exit 5")).path,
      apiVersion: 1,
      conmond: socket,
    });
    await run.created();
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
  });

  it("changes nothing if the one that asked ends before it accepts, or is of another version", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const conmond = await startConmond(scratch);
    const runtime = makeStandInRuntime(scratch, behaviours.runs("exit 5")).path;
    const bundle = makeBundle(scratch, { args: ["true"] });
    const answerTo = async (ask: Buffer): Promise<sys.ReceivedMessage> => {
      const fd = sys.unixSocket("seqpacket");
      sys.connectUnix(fd, conmond.socket);
      sys.send(fd, ask);
      const answer = Buffer.alloc(4096);
      const received = await eventually(
        () => sys.receiveWithDescriptors(fd, answer, 2),
        "an answer",
      );
      assert.equal(answer.readUInt32LE(), ask === strange ? REQUEST.refuse : 65);
      // Somebody who comes now waits until it is known who serves.
      const run = startConmon(scratch, {
        ...{ bundle, id: scratch.uniqueName(), runtime, apiVersion: 1 },
        ...{ conmond: conmond.socket, conmon: shim.path },
      });
      sys.close(fd);
      received.descriptors.forEach(sys.close);
      await run.created();
      assert.equal(await run.exitStatus(), 5);
      await run.ended();
      return received;
    };
    const strange = encodeAsk(99);
    assert.equal((await answerTo(strange)).descriptors.length, 0);
    assert.equal((await answerTo(encodeAsk())).descriptors.length, 2);
    await conmond.logged("Not replaced, going on");
    assert.deepEqual(shim.starts(), []);
    await replace(scratch, conmond);
  });
});
