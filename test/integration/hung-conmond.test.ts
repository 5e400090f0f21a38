/** A conmond that is there and does not work, or cannot be started: every wait ends, with a text. */
import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { readdirSync, readFileSync, rmSync, statSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import * as sys from "../../src/sys/mod.ts";
import { AttachClient } from "../support/attach-client.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonOptions, type ConmonRun, startConmon } from "../support/conmon.ts";
import { newSocketPath, startConmond } from "../support/conmond.ts";
import { stopAtCall } from "../support/kill-at-call.ts";
import { programPath, projectRoot, unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { SHIMS, ShimHost } from "../support/shim-host.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { makeTracedShim } from "../support/traced-shim.ts";
import { inTime, textOf } from "../support/waiting.ts";

const skip = unlessRootWith("unshare", "strace", "setpriv");

function start(scratch: Scratch, commands: string, options: ConmonOptions): ConmonRun {
  return startConmon(scratch, {
    bundle: makeBundle(scratch, { args: ["true"] }),
    runtime: makeStandInRuntime(scratch, behaviours.runs(commands)).path,
    apiVersion: 1,
    ...options,
  });
}

/** conmond is stopped at that call; the session's private one is there when it goes on. */
async function stopInStart(scratch: Scratch, call: string, number: number): Promise<void> {
  const at = `stopped at ${call} ${number}`;
  const go = scratch.path(scratch.uniqueName());
  const bundle = makeBundle(scratch, { args: ["true"] });
  const conmond = await startConmond(scratch);
  await stopAtCall(conmond.pid, call, number);
  const commands = `while [[ ! -e ${go} ]]; do sleep 0.05; done; echo out; exit 5`;
  const run = start(scratch, commands, {
    ...{ bundle, conmond: conmond.socket },
    arguments: ["--full-attach"],
  });
  const pid = await run.created();
  const names = ["attach", "ctl", "winsz"].map((name) => join(bundle.directory, name));
  const inodes = names.map((name) => statSync(name).ino);
  process.kill(conmond.pid, "SIGCONT");
  await conmond.logged("Lost the shim");
  assert.deepEqual(
    names.map((name) => statSync(name, { throwIfNoEntry: false })?.ino),
    inodes,
    at,
  );
  const client = new AttachClient(scratch, join(bundle.directory, "attach"));
  writeFileSync(go, "");
  await client.ended();
  assert.equal(client.output().toString(), "out\n", at);
  await run.ended();
  assert.deepEqual(run.sync?.lines, [JSON.stringify({ data: pid })], at);
  assert.equal(await run.exitStatus(), 5, at);
  assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "out\n", at);
  assert.deepEqual(readdirSync(bundle.directory), ["config.json"], at);
  await conmond.stop();
}

const SHARED_HANGS =
  "[conmon:w]: the shared conmond does not answer\n" +
  "[conmon:w]: starting a private conmond; if the shared one hangs, conmond --replace takes its place\n";

describe("a shared conmond that is stopped", { skip }, () => {
  it("is waited for by a new shim for 5 s, which then goes private and says so", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const conmond = await startConmond(scratch);
    process.kill(conmond.pid, "SIGSTOP");
    const run = start(scratch, "exit 5", { conmond: conmond.socket, conmon: shim.path });
    const began = performance.now();
    await run.created();
    assert.ok(performance.now() - began < 10_000);
    assert.equal(await run.exitStatus(), 5);
    assert.deepEqual(await run.closed, { status: 0, signal: null });
    assert.equal(run.stderr, SHARED_HANGS);
    assert.deepEqual(shim.starts(), ["--private"]);
    // It finds a shim in its queue that is gone, and lets go of the descriptors that came with the hello.
    process.kill(conmond.pid, "SIGCONT");
    await run.ended();
    const next = start(scratch, "exit 5", { conmond: conmond.socket, conmon: shim.path });
    await next.created();
    await next.ended();
    assert.deepEqual(shim.starts(), ["--private"]);
  });

  it("is greeted by more shims than a user without privileges may have descriptors under way", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    process.kill(conmond.pid, "SIGSTOP");
    // Root is counted as others are, if it lacks these two. Each hello has three descriptors.
    const wrapper = [
      ...["setpriv", "--bounding-set=-sys_admin,-sys_resource"],
      ...["/bin/sh", "-c", `ulimit -Sn 24; exec "$@"`, "sh"],
    ];
    const commands = `[[ $(ulimit -Sn) = 24 ]] && exit 5`;
    const options = { conmond: conmond.socket, wrapper, attachPipe: true };
    const runs = Array.from({ length: 10 }, () => start(scratch, commands, options));
    await Promise.all(runs.map((run) => run.created()));
    for (const run of runs) {
      // One that could not have greeted it would not have waited.
      assert.equal(run.stderr, SHARED_HANGS);
      assert.equal(await run.exitStatus(), 5);
    }
    // What they had sent to it has the sync pipes open as long as it lives.
    await conmond.stop("SIGKILL");
    await Promise.all(runs.map((run) => run.ended()));
  });

  it("leaves a session alone that did not wait for it, when it goes on", async (t) => {
    const scratch = makeScratch(t);
    const go = scratch.path("go");
    const bundle = makeBundle(scratch, { args: ["true"] });
    const conmond = await startConmond(scratch);
    process.kill(conmond.pid, "SIGSTOP");
    const run = start(
      scratch,
      `echo one; while [[ ! -e ${go} ]]; do sleep 0.05; done; echo two; exit 5`,
      { bundle, conmond: conmond.socket, arguments: ["--full-attach"] },
    );
    await run.created();
    process.kill(conmond.pid, "SIGCONT");
    await conmond.logged("Lost the shim: it has given up waiting for an answer");
    // The socket in the bundle is still the private conmond's.
    const client = new AttachClient(scratch, join(bundle.directory, "attach"));
    await textOf(run.paths.log, (text) => text.includes("one"));
    writeFileSync(go, "");
    await client.until((text) => text.endsWith("two\n"));
    await client.ended();
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
    assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "one\ntwo\n");
  });

  it("takes nothing away, when it goes on, from a session whose start it was in the midst of", async (t) => {
    const scratch = makeScratch(t);
    // Before the attach socket has its name: after the first word, while options and logs are seen to, and
    // just before that; then between the socket and the fifos, and between these.
    const steps = [
      ["sendmsg", 1],
      ["openat", 2],
      ["fchmod", 1],
      ["bind", 1],
      ["mknodat", 1],
    ] as const;
    await Promise.all(steps.map(([call, number]) => stopInStart(scratch, call, number)));
  });

  it("keeps its sessions, which nothing is lost of, until it is replaced", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const [go, done] = [scratch.path("go"), scratch.path("done")];
    const first = await startConmond(scratch);
    const run = start(
      scratch,
      `echo one; while [[ ! -e ${go} ]]; do sleep 0.05; done; echo two; : >${done}; exit 5`,
      { conmond: first.socket, conmon: shim.path },
    );
    await run.created();
    await textOf(run.paths.log, (text) => text.includes("one"));
    process.kill(first.pid, "SIGSTOP");
    writeFileSync(go, "");
    await textOf(done, () => true);
    assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "one\n");
    const second = await startConmond(scratch, { socket: first.socket, arguments: ["--replace"] });
    assert.deepEqual(await first.ended, { status: null, signal: "SIGKILL" });
    assert.match(
      second.log(),
      new RegExp(`conmond ${first.pid} at .* has not answered for 5000 ms: killing it`),
    );
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
    assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "one\ntwo\n");
    assert.deepEqual(shim.starts(), [], "no shim has gone private");
  });

  it("is replaced by one only, even if several want that", async (t) => {
    const scratch = makeScratch(t);
    const first = await startConmond(scratch);
    process.kill(first.pid, "SIGSTOP");
    const options = { socket: first.socket, arguments: ["--replace"] };
    const others = await Promise.all([1, 2].map(() => startConmond(scratch, options)));
    await first.ended;
    // One has replaced the stopped one by force, and then the other one that one in good order.
    const ends = await inTime(Promise.race(others.map(({ ended }) => ended)), "one of them to end");
    assert.deepEqual(ends, { status: 0, signal: null });
    const run = start(scratch, "exit 5", { conmond: first.socket });
    await run.created();
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
  });
});

/** Something in a conmond's place that refuses everybody, as one of another version does. */
function startRefuser(scratch: Scratch, name: string, socket: string): Promise<ChildProcess> {
  const path = join(scratch.folder(scratch.uniqueName()), name);
  writeFileSync(
    path,
    `const sys = require(${JSON.stringify(join(projectRoot, "dist/sys.node"))});
const listener = sys.unixSocket("seqpacket");
sys.bindUnix(listener, ${JSON.stringify(socket)});
sys.listen(listener, 8);
new sys.Readiness(listener, () => {
  const fd = sys.accept(listener);
  const refusal = Buffer.alloc(4);
  refusal.writeUInt32LE(25);
  sys.send(fd, Buffer.concat([refusal, Buffer.from("this is another version")]));
  sys.close(fd);
}).watch(1);
console.log("listening");
`,
  );
  const child = spawn(process.execPath, [path], {
    env: { PATH: programPath, CONMON_TS_TEST: scratch.id },
    stdio: ["ignore", "pipe", "inherit"],
  });
  const ended = once(child, "exit");
  scratch.atEnd(async () => {
    if (child.exitCode !== null || child.signalCode !== null) return;
    child.kill("SIGKILL");
    await ended;
  });
  return inTime(once(child.stdout, "data"), "a listener").then(() => child);
}

describe("a conmond of another version", { skip }, () => {
  it("is no obstacle for a shim, which goes private", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const socket = newSocketPath(scratch);
    await startRefuser(scratch, "conmond.cjs", socket);
    const run = start(scratch, "exit 5", { conmond: socket, conmon: shim.path });
    await run.created();
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
    assert.equal(run.stderr, "");
    assert.deepEqual(shim.starts(), ["--private"]);
    rmSync(socket);
  });

  it("is told to end by the one that is to replace it", async (t) => {
    const scratch = makeScratch(t);
    const socket = newSocketPath(scratch);
    const other = await startRefuser(scratch, "conmond.cjs", socket);
    const ended = once(other, "exit");
    const next = await startConmond(scratch, { socket, arguments: ["--replace"] });
    assert.deepEqual(await ended, [null, "SIGTERM"]);
    assert.match(next.log(), /is of another version: this is another version: telling it to end/);
    const run = start(scratch, "exit 5", { conmond: socket });
    await run.created();
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
  });
});

describe("a shared conmond that hangs in the middle of a session's start", { skip }, () => {
  it("is waited for 15 s; then the container is started with a private one", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    const host = new ShimHost(SHIMS.static);
    t.after(() => host.close());
    const run = start(scratch, "exit 5", { conmond: host.socketPath, conmon: shim.path });
    const session = await host.session();
    const { descriptors } = await session.next("hello");
    assert.ok(descriptors.size > 0);
    session.connection.tell("stderr", "working\n");
    const began = performance.now();
    await run.created();
    const waited = performance.now() - began;
    assert.ok(waited > 10_000 && waited < 19_000, `${waited} ms`);
    assert.equal(await run.exitStatus(), 5);
    await session.next("lost");
    for (const fd of descriptors.values()) sys.close(fd);
    await run.ended();
    await run.closed;
    assert.match(
      run.stderr,
      /^working\n\[conmon:w\]: the shared conmond does not get ready for the container\n/,
    );
    assert.deepEqual(shim.starts(), ["--private"]);
  });
});

describe("a private conmond that cannot be started", { skip }, () => {
  it("because there is no bundle: the caller is told where it was looked for", async (t) => {
    const scratch = makeScratch(t);
    const shim = makeTracedShim(scratch);
    rmSync(join(shim.path, "../../dist/conmond.cjs"));
    for (const environment of [{}, { CONMOND: "auto" }]) {
      const conmond = newSocketPath(scratch);
      const run = start(scratch, "exit 5", { conmon: shim.path, conmond, environment });
      assert.deepEqual(await run.closed, { status: 1, signal: null });
      assert.match(
        run.stderr,
        /^\[conmon:e\]: cannot find conmond\.cjs beside .*\n\[conmon:e\]: run `npm run build`/,
      );
    }
  });

  it("because Node.js is missing: the caller is told which", async (t) => {
    const scratch = makeScratch(t);
    const hidden = `mount --bind /dev/null ${process.execPath}; exec "$@"`;
    const run = start(scratch, "exit 5", {
      wrapper: ["unshare", "--mount", "/bin/sh", "-c", hidden, "sh"],
    });
    assert.deepEqual(await run.closed, { status: 1, signal: null });
    assert.match(
      run.stderr,
      /^\[conmon:e\]: cannot start conmond: cannot execute \/.*: Permission denied\n(.*\n)*\[conmon:e\]: the container was not started: no conmond to supervise it\n$/,
    );
  });
});
