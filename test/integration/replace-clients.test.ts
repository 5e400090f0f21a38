/** `conmond --replace` with attach clients that read slowly, and containers that do: nothing is lost, nobody waits. */
import assert from "node:assert/strict";
import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { AttachClient } from "../support/attach-client.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonRun, startConmon } from "../support/conmon.ts";
import { type Conmond, startConmond } from "../support/conmond.ts";
import { eventually } from "../support/private-conmond.ts";
import { hasOpen, isAlive } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { makeTracedShim, type TracedShim } from "../support/traced-shim.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");

/** Lines of 100 bytes, `$1` to `$2`. */
const LINES = `lines() { awk -v from=$1 -v to=$2 'BEGIN {
  for (i = from; i <= to; i++) printf "%-99d\\n", i
}'; }`;

interface Place {
  readonly scratch: Scratch;
  readonly shim: TracedShim;
  readonly run: ConmonRun;
  /** The bundle's. */
  readonly directory: string;
  /** Is `/state` in the container. */
  readonly state: string;
  /** A client that has not read anything yet, nor does until it is told to. */
  readonly client: AttachClient;
  /** One after the other. */
  readonly conmonds: Conmond[];
}

/** The conmond that serves. */
function latest({ conmonds }: Place): Conmond {
  const conmond = conmonds.at(-1);
  assert.ok(conmond !== undefined);
  return conmond;
}

/** Starts a container with an attached client that does not read. */
async function start(
  t: TestContext,
  script: string,
  options: readonly string[] = [],
): Promise<Place> {
  const scratch = makeScratch(t);
  const shim = makeTracedShim(scratch);
  const state = scratch.folder("state-of-test");
  const conmond = await startConmond(scratch);
  const bundle = makeBundle(scratch, {
    args: [
      "sh",
      "-c",
      `${LINES}; await() { until [ -e /state/$1 ]; do sleep 0.02; done; }; ${script}`,
    ],
    terminal: options.includes("--terminal"),
    mounts: [{ destination: "/state", type: "bind", source: state, options: ["bind", "rw"] }],
  });
  const run = startConmon(scratch, {
    ...{ bundle, conmon: shim.path, apiVersion: 1, conmond: conmond.socket },
    arguments: ["--full-attach", ...options],
  });
  await run.created();
  const client = new AttachClient(scratch, join(bundle.directory, "attach"));
  client.pause();
  await run.runtimeStart();
  return { scratch, shim, run, directory: bundle.directory, state, client, conmonds: [conmond] };
}

/** Starts the next conmond, to which the one before hands the session on. */
async function replace(place: Place): Promise<void> {
  const before = latest(place);
  await startNext(place);
  assert.deepEqual(await before.ended, { status: 0, signal: null }, before.log());
  assert.ok(before.log().includes("Handing the session on"), before.log());
}

async function startNext({ conmonds, scratch }: Place): Promise<void> {
  const socket = conmonds[0]?.socket ?? "";
  conmonds.push(await startConmond(scratch, { socket, arguments: ["--replace"] }));
}

/** The same with a container that runs; resolves when the next conmond has the session. */
async function replaceRunning(place: Place): Promise<void> {
  await replace(place);
  const { pid } = latest(place);
  await eventually(
    () => hasOpen(pid, place.run.paths.log),
    "the next conmond to have the log open",
  );
}

/** How long a conmond that was replaced took to hand its session on, in milliseconds. */
function handOnTime(conmond: Conmond): number {
  const timeOf = (text: string): number => {
    const lines = conmond.log().split("\n");
    return JSON.parse(lines.find((line) => line.includes(text)) ?? "").time;
  };
  return timeOf("Handing the session on") - timeOf("Replaced by another conmond");
}

function lines(from: number, to: number, newline = "\n"): string {
  const all: string[] = [];
  for (let number = from; number <= to; number++) all.push(`${number}`.padEnd(99) + newline);
  return all.join("");
}

function logged({ run }: Place): string {
  return readOutput(readFileSync(run.paths.log), "stdout").toString("latin1");
}

/** Resolves when so many lines have been logged. */
async function haveBeenLogged({ run }: Place, count: number): Promise<void> {
  await textOf(run.paths.log, (text) => text.includes(` ${count} `));
}

/** Compares what is too long to be printed. All that could tell why they differ is said. */
function assertSame(actual: string, expected: string, what: string, { conmonds }: Place): void {
  if (actual === expected) return;
  let at = 0;
  while (at < actual.length && actual[at] === expected[at]) at++;
  const near = (text: string): string =>
    JSON.stringify(text.slice(Math.max(0, at - 100), at + 200));
  assert.fail(
    [
      `${what}: ${actual.length} bytes instead of ${expected.length}, different from ${at} on:`,
      `${near(actual)} instead of ${near(expected)}`,
      ...conmonds.map((conmond, n) => `conmond ${n + 1}:\n${conmond.log()}`),
    ].join("\n"),
  );
}

/** A client takes so many bytes, and stops again. */
async function takeSome(client: AttachClient, bytes: number): Promise<void> {
  const enough = client.output().length + bytes;
  client.resume();
  await client.until((text) => text.length >= enough);
  client.pause();
}

function textOfClient(client: AttachClient): string {
  return client.output().toString("latin1");
}

/** When a client came is not known, but what it got from then on is. */
function assertEnd(client: AttachClient, least: number, whole: string, place: Place): void {
  const got = textOfClient(client);
  assert.ok(got.length >= least, `only ${got.length} bytes`);
  assertSame(got, whole.slice(-got.length), "a later client", place);
}

async function ended(place: Place): Promise<void> {
  assert.equal(await place.run.exitStatus(), 7);
  await place.run.ended();
  assert.deepEqual(place.shim.starts(), [], "no shim has gone private");
}

/** What is held in memory, and more than that: see `bufferLimit` of AttachServer. */
const SIZES = { "in memory": 6000, "in a file": 40_000 };

for (const [kind, options, newline] of [
  ["pipe", [], "\n"],
  ["terminal", ["--terminal"], "\r\n"],
] as const) {
  for (const [where, count] of Object.entries(SIZES)) {
    describe(
      `conmond --replace with a slow client's output of a ${kind} ${where}`,
      { skip },
      () => {
        it("gives it all of it, once, whatever it has taken in between", async (t) => {
          const script = `lines 1 ${count}; await go; lines ${count + 1} ${2 * count}; exit 7`;
          const place = await start(t, script, options);
          const { client, state } = place;
          await haveBeenLogged(place, count);
          // Three in a row, with and without anything read in between.
          for (const bytes of [0, 150_000, 0]) {
            if (bytes > 0) await takeSome(client, bytes);
            await replaceRunning(place);
          }
          writeFileSync(join(state, "go"), "");
          await haveBeenLogged(place, 2 * count);
          // The container may have ended by now, or not.
          await replace(place);
          client.resume();
          await client.ended();
          await ended(place);
          const expected = lines(1, 2 * count, newline);
          assertSame(textOfClient(client), expected, "the client", place);
          assertSame(logged(place), expected, "the log", place);
        });
      },
    );
  }
}

describe("conmond --replace", { skip }, () => {
  it("does not wait for a client that never reads, nor for a container that does not", async (t) => {
    const place = await start(t, "lines 1 20000; await go; exit 7", ["--stdin"]);
    await haveBeenLogged(place, 20_000);
    place.client.send("x".repeat(200_000));
    for (const _ of [1, 2]) {
      const conmond = latest(place);
      await replaceRunning(place);
      // As long as others may take the processor, but not until some time limit is over.
      assert.ok(handOnTime(conmond) < 800, conmond.log());
    }
    place.client.close();
    writeFileSync(join(place.state, "go"), "");
    await ended(place);
  });

  it("is not needed for that: a conmond that is told to end leaves as much to private ones", async (t) => {
    const place = await start(t, "lines 1 30000; await go; exit 7");
    const { client, shim, state } = place;
    await haveBeenLogged(place, 30_000);
    await latest(place).stop("SIGTERM");
    client.resume();
    const expected = lines(1, 30_000);
    await client.until((text) => text.length >= expected.length);
    writeFileSync(join(state, "go"), "");
    await client.ended();
    assert.equal(await place.run.exitStatus(), 7);
    await place.run.ended();
    assertSame(textOfClient(client), expected, "the client", place);
    assert.deepEqual(shim.starts(), ["--private"]);
  });

  it("gives several clients each what it has not read", async (t) => {
    const place = await start(t, "lines 1 30000; await go; lines 30001 40000; exit 7");
    const { scratch, directory, client } = place;
    const path = join(directory, "attach");
    const others = [1, 2, 3, 4, 5].map(() => new AttachClient(scratch, path));
    await haveBeenLogged(place, 30_000);
    await takeSome(client, 500_000);
    others[0]?.pause();
    await replaceRunning(place);
    writeFileSync(join(place.state, "go"), "");
    await haveBeenLogged(place, 40_000);
    await replace(place);
    for (const other of [client, ...others]) other.resume();
    await Promise.all([client, ...others].map((one) => one.ended()));
    const whole = lines(1, 40_000);
    assertSame(textOfClient(client), whole, "the client", place);
    for (const other of others) assertEnd(other, 1_000_000, whole, place);
    await ended(place);
  });

  it("gives a client the rest that is behind when the container has ended", async (t) => {
    const place = await start(t, "lines 1 40000; exit 7");
    const { client, run } = place;
    assert.equal(await run.exitStatus(), 7);
    await takeSome(client, 300_000);
    await replace(place);
    await takeSome(client, 300_000);
    await replace(place);
    assert.ok(isAlive(await run.monitorPid()), "it waits for the client");
    client.resume();
    await client.ended();
    await ended(place);
    assertSame(textOfClient(client), lines(1, 40_000), "the client", place);
  });

  it("waits for a shim that takes nothing just now, and leaves it all clients and what they have yet to get", async (t) => {
    const script =
      "until [ -e /state/go ]; do echo here; sleep 0.02; done; lines 1 20000; await end; lines 20001 20100; exit 7";
    const place = await start(t, script);
    const { scratch, directory, state, run, client } = place;
    const shim = await run.monitorPid();
    process.kill(shim, "SIGSTOP");
    scratch.atEnd(() => {
      if (isAlive(shim)) process.kill(shim, "SIGCONT");
    });
    const connect = async (count: number): Promise<AttachClient[]> => {
      const clients: AttachClient[] = [];
      while (clients.length < count) {
        clients.push(new AttachClient(scratch, join(directory, "attach")));
      }
      for (const one of clients) await one.until((text) => text.includes("here"));
      return clients;
    };
    // Two messages for each: a socket has room for less than 300 of them.
    for (let round = 0; round < 8; round++) for (const one of await connect(25)) one.close();
    const others = await connect(3);
    for (const other of others) other.pause();
    // It has yet to get nothing.
    const [prompt] = await connect(1);
    assert.ok(prompt !== undefined);
    writeFileSync(join(state, "go"), "");
    await haveBeenLogged(place, 20_000);
    await prompt.until((text) => text.endsWith(lines(20_000, 20_000)));
    const before = latest(place);
    await startNext(place);
    await before.logged("Handing the session on");
    process.kill(shim, "SIGCONT");
    assert.deepEqual(await before.ended, { status: 0, signal: null }, before.log());
    assert.ok(!before.log().includes("not done"), before.log());
    writeFileSync(join(state, "end"), "");
    for (const one of [client, ...others]) one.resume();
    await Promise.all([client, prompt, ...others].map((one) => one.ended()));
    await ended(place);
    const whole = logged(place);
    assert.ok(whole.endsWith(lines(1, 20_100)));
    assertSame(textOfClient(client), whole, "the first client", place);
    for (const other of [prompt, ...others]) assertEnd(other, 2_000_000, whole, place);
  });

  for (const options of [["--stdin"], ["--stdin", "--terminal"]]) {
    it(`gives the container what it has not read of its ${options.at(-1)?.slice(2)}`, async (t) => {
      // A terminal takes 4 KiB while nobody reads, a pipe 64.
      const script =
        "stty raw -echo 2>/dev/null; echo ready; await go; head -c 600000 >/state/in; exit 7";
      const place = await start(t, script, options);
      const { client, state, run } = place;
      await textOf(run.paths.log, (text) => text.includes("ready"));
      const input = Buffer.from(lines(1, 6000));
      client.resume();
      client.send(input);
      for (const _ of [1, 2, 3]) await replaceRunning(place);
      writeFileSync(join(state, "go"), "");
      await ended(place);
      assert.ok(readFileSync(join(state, "in")).equals(input));
    });
  }
});
