/** What programs import, with a real runtime. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import * as library from "../../src/library/mod.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { inTime } from "../support/waiting.ts";

const skip = unlessRootWith("runc");

/** A state directory, whose containers are removed at the end. */
function prepare(t: TestContext): { scratch: Scratch; state: string } {
  const scratch = makeScratch(t);
  const state = scratch.path("state");
  scratch.atEnd(async () => {
    for (const { id, own } of library.list({ state })) {
      if (own) await library.remove(id, { state, force: true });
    }
  });
  return { scratch, state };
}

describe("the library", { skip }, () => {
  it("runs a container, with its output from the first byte", async (t) => {
    const { state } = prepare(t);
    const command = ["sh", "-c", "read -r x; echo got $x; exit 3"];
    const container = await library.run({ state, command, attach: true, stdin: true, name: "job" });
    // Nobody has to wait for the one before the other.
    void container.connection.write("hel");
    void container.connection.write(Buffer.from("lo\n"));
    await container.connection.endInput();
    assert.equal(await textFrom(container.connection), "got hello\n");
    assert.equal(await container.wait(), 3);
    const lines: string[] = [];
    for await (const line of library.readLogs("job", { state })) lines.push(String(line.text));
    assert.deepEqual(lines, ["got hello"]);
  });

  it("follows logs and events until it is told to stop", async (t) => {
    const { state } = prepare(t);
    const stop = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      const options = { state, follow: true, since: new Date(0), signal: stop.signal };
      for await (const { type } of library.events(options)) {
        seen.push(type);
        if (type === "start") stop.abort();
      }
    })();
    const command = ["sh", "-c", "echo ready; sleep 100"];
    await library.run({ state, command, name: "service" });
    await inTime(watching, () => `a start among ${seen}`);
    assert.deepEqual(seen, ["create", "start"]);
    const enough = new AbortController();
    for await (const line of library.followLogs("service", { state, signal: enough.signal })) {
      assert.equal(String(line.text), "ready");
      enough.abort();
    }
  });

  it("gives up waiting, and starting, when the signal is aborted", async (t) => {
    const { state } = prepare(t);
    await library.run({ state, command: ["sleep", "100"], name: "long" });
    const signal = AbortSignal.timeout(50);
    await assert.rejects(library.wait("long", { state, signal }), { name: "TimeoutError" });
    await assert.rejects(library.stop("long", { state, signal }), { name: "TimeoutError" });
    assert.equal(library.inspect("long", { state }).state, "running");
    assert.throws(() => library.attach("long", { state, signal }), { name: "TimeoutError" });
    const command = ["true"];
    const late = library.exec("long", { state, command, signal });
    await assert.rejects(late, { name: "TimeoutError" });
    const removal = library.remove("long", { state, force: true, signal });
    await assert.rejects(removal, { name: "TimeoutError" });
    const aborted = AbortSignal.abort();
    const never = library.run({ state, command: ["sleep", "100"], name: "never", signal: aborted });
    await assert.rejects(never, { name: "AbortError" });
    assert.throws(() => library.inspect("never", { state }), { code: "not-found" });
  });

  it("starts processes, stops and removes", async (t) => {
    const { state } = prepare(t);
    await library.run({ state, command: ["sleep", "100"], name: "base" });
    const session = await library.exec("base", { state, command: ["sh", "-c", "echo in; exit 4"] });
    const output = await textFrom(session.connection);
    assert.deepEqual([output, await session.wait(), await session.wait()], ["in\n", 4, 4]);
    const other = await library.exec("base", { state, command: ["sleep", "100"] });
    const signal = AbortSignal.timeout(50);
    await assert.rejects(other.wait({ signal }), { name: "TimeoutError" });
    other.kill("TERM");
    assert.equal(await other.wait(), 143);
    await assert.rejects(library.remove("base", { state }), { code: "conflict" });
    assert.equal(await library.stop("base", { state, seconds: 0 }), 137);
    await library.remove("base", { state });
    assert.deepEqual(
      library.list({ state }).filter(({ own }) => own),
      [],
    );
  });
});

describe("the library, in detail", { skip }, () => {
  it("makes a container that is started later", async (t) => {
    const { state } = prepare(t);
    const command = ["sh", "-c", "echo begun"];
    const made = await library.create({ state, command, attach: true, name: "later" });
    assert.equal(library.inspect("later", { state }).state, "created");
    await library.start("later", { state });
    assert.equal(await textFrom(made.connection), "begun\n");
    assert.equal(await made.wait(), 0);
    const again = await library.start("later", { state, attach: true });
    assert.equal(await textFrom(again.connection), "begun\n");
    const idle = await library.create({ state, command: ["sleep", "100"], name: "never" });
    assert.equal(await library.stop(idle.id, { state, seconds: 0 }), 137);
    const nothing = library.create({ state, command: ["/nowhere"], name: "nothing" });
    // runc finds out at the start, crun before.
    const failure = nothing.then(async ({ id }) => await library.start(id, { state }));
    await assert.rejects(failure, { code: "command-not-found" });
  });

  it("leaves a container that was made as it is when its start is aborted", async (t) => {
    const { state } = prepare(t);
    const command = ["sleep", "100"];
    await library.create({ state, command, name: "job", restart: { when: "always" } });
    const signal = AbortSignal.abort();
    await assert.rejects(library.start("job", { state, signal }), { name: "AbortError" });
    assert.equal(library.inspect("job", { state }).state, "created");
    const { pid } = await library.start("job", { state });
    assert.equal(library.inspect("job", { state }).pid, pid);
    await assert.rejects(library.start("job", { state }), { code: "conflict" });
  });

  it("tells of the end of a container that never began, does not restart it, and removes it", async (t) => {
    const { state } = prepare(t);
    const command = ["sleep", "100"];
    const kept = await library.create({ state, command, restart: { when: "always" } });
    await library.kill(kept.id, { state });
    assert.equal(await kept.wait(), 137);
    const removed = await library.create({ state, command, remove: true });
    await library.kill(removed.id, { state });
    assert.equal(await removed.wait(), 137);
    assert.deepEqual(
      library
        .list({ state })
        .filter(isOwn)
        .map(({ id }) => id),
      [kept.id],
    );
    const types: string[] = [];
    for await (const { id, type } of library.events({ state, since: new Date(0) })) {
      if (id === kept.id) types.push(type);
    }
    assert.deepEqual(types, ["create", "kill", "exit"]);
  });

  it("leaves processes alone that nobody is attached to", async (t) => {
    const { state } = prepare(t);
    await library.run({ state, command: ["sleep", "100"], name: "base" });
    const command = ["sleep", "100"];
    const pid = await library.execDetached("base", { state, command });
    assert.equal(readFileSync(`/proc/${pid}/comm`, "utf8"), "sleep\n");
    const signal = AbortSignal.abort();
    const aborted = library.execDetached("base", { state, command, signal });
    await assert.rejects(aborted, { name: "AbortError" });
    const wrong = library.execDetached("base", { state, command: ["/nowhere"] });
    await assert.rejects(wrong, { code: "command-not-found" });
  });

  it("ends what is iterated over, without an error, when the signal is aborted", async (t) => {
    const { state } = prepare(t);
    const command = ["sh", "-c", "while :; do echo x; sleep 0.01; done"];
    await library.run({ state, command, name: "ticker", restart: { when: "always" } });
    const enough = (): { controller: AbortController; options: { state: string } } => {
      const controller = new AbortController();
      const options = { state, signal: controller.signal };
      return { controller, options };
    };
    const loops = {
      attach: (options: object) => library.attach("ticker", options),
      attachToRuns: (options: object) => library.attachToRuns("ticker", options),
      followLogs: (options: object) => library.followLogs("ticker", options),
      stats: (options: object) => library.stats({ ...options, interval: 10 }),
    };
    for (const [name, begin] of Object.entries(loops)) {
      const { controller, options } = enough();
      let count = 0;
      const loop = (async () => {
        for await (const _ of begin(options)) {
          count++;
          controller.abort();
        }
      })();
      await inTime(loop, () => `the end of ${name}`);
      assert.ok(count > 0, name);
    }
  });

  it("connects to each run of a container that is restarted", async (t) => {
    const { state } = prepare(t);
    const restart = { when: "on-failure", most: 2 } as const;
    const command = ["sh", "-c", "read -r line; echo got $line; exit 1"];
    const options = { state, command, stdin: true, name: "again", restart };
    await library.run(options);
    const outputs: string[] = [];
    for await (const connection of library.attachToRuns("again", { state })) {
      await connection.write(`${outputs.length}\n`);
      outputs.push(await textFrom(connection));
    }
    assert.deepEqual(outputs, ["got 0\n", "got 1\n", "got 2\n"]);
    const followers = join(
      state,
      "containers",
      library.inspect("again", { state }).id,
      "followers",
    );
    assert.deepEqual(readdirSync(followers), [], "nobody waits for us any more");
  });

  it("sets sizes, sends signals, begins logs anew, and removes all that have ended", async (t) => {
    const { state } = prepare(t);
    const script = "trap 'stty size; exit 5' USR1; echo ready; while :; do sleep 0.01; done";
    const command = ["sh", "-c", script];
    const shown = await library.run({ state, command, terminal: true, attach: true, name: "tty" });
    const ready = shown.connection[Symbol.asyncIterator]();
    assert.match(String((await ready.next()).value?.data), /ready/);
    library.reopenLogs("tty", { state });
    library.resize("tty", { rows: 33, columns: 77 }, { state });
    // The size is the monitor's to set: its own process knows when that is done.
    const size = ["sh", "-c", 'until [ "$(stty size < /proc/1/fd/0)" = "33 77" ]; do :; done'];
    const asking = await library.exec("tty", { state, command: size });
    assert.equal(await inTime(asking.wait(), () => "the new size"), 0);
    await library.kill("tty", { state, signal: "USR1" });
    assert.equal(await textFrom(shown.connection), "33 77\r\n");
    assert.equal(await library.wait("tty", { state }), 5);
    await library.run({ state, command: ["sleep", "100"], name: "plain" });
    const wrong = { code: "conflict", message: "container plain has no terminal" };
    assert.throws(() => library.resize("plain", { rows: 1, columns: 1 }, { state }), wrong);
    const { configuration, attachSocket } = library.inspect("plain", { state });
    assert.deepEqual(configuration?.process.args, ["sleep", "100"]);
    assert.match(attachSocket, /\/bundle\/attach$/);
    const told: string[] = [];
    const onRemoved = ({ name }: library.Container): void => void told.push(name);
    const removed = await library.prune({ state, onRemoved });
    assert.deepEqual([removed.map(({ name }) => name), told], [["tty"], ["tty"]]);
  });

  it("tells everything that fails by errors of one kind", async (t) => {
    const { state, scratch } = prepare(t);
    const path = scratch.path("log");
    const job = { state, command: ["sh", "-c", "echo one; echo two"], name: "job" };
    const { wait } = await library.run({ ...job, logOptions: [`path=${path}`] });
    await wait();
    const read = async (options: library.LogOptions = {}): Promise<string[]> => {
      const lines: string[] = [];
      const all = library.readLogs("job", { state, ...options });
      for await (const { text } of all) lines.push(String(text));
      return lines;
    };
    assert.deepEqual(await read({ since: new Date(0), until: new Date() }), ["one", "two"]);
    assert.deepEqual(await read({ since: new Date(Date.now() + 1000) }), []);
    await assert.rejects(read({ tail: -1 }), { name: "ContainerError", code: "invalid" });
    writeFileSync(path, "no record\n");
    await assert.rejects(read(), { name: "ContainerError", code: "damaged" });
    rmSync(path);
    await assert.rejects(read(), (error: unknown) => {
      assert.ok(error instanceof library.ContainerError);
      const { code, message, cause } = error;
      assert.equal(code, "failed");
      assert.equal(message, `Failed to open the log ${path}: No such file or directory`);
      assert.equal((cause as NodeJS.ErrnoException).code, "ENOENT");
      return true;
    });
    await assert.rejects(library.kill("job", { state, signal: "NO" }), { code: "invalid" });
    writeFileSync(scratch.path("file"), "");
    const inFile = { state: scratch.path("file", "state") };
    assert.deepEqual(library.list({ state: scratch.path("nowhere") }).filter(isOwn), []);
    await assert.rejects(library.run({ ...job, ...inFile }), { code: "failed" });
  });
});

describe("the library, of the machine", { skip }, () => {
  it("starts, replaces and ends the shared conmond", async (t) => {
    const { scratch } = prepare(t);
    // Others must not be able to put a socket there.
    mkdirSync(scratch.path("run"), { mode: 0o700 });
    const options = { socket: scratch.path("run/sock"), log: scratch.path("log") };
    // Whatever happens, it does not outlive the test.
    scratch.atEnd(async () => void (await library.stopDaemon(options)));
    assert.equal((await library.daemonStatus(options)).state, "stopped");
    const first = await library.startDaemon({ ...options, idleExit: 100, logLevel: "debug" });
    assert.equal(first.started, true);
    assert.deepEqual((await library.startDaemon(options)).started, false);
    const second = await library.restartDaemon(options);
    assert.deepEqual([second.replaced, second.replacedPid], [true, first.pid]);
    const { state, pid, commandLine } = await library.daemonStatus(options);
    assert.deepEqual([state, pid], ["running", second.pid]);
    assert.match(commandLine?.join(" ") ?? "", /--log-level debug --idle-exit 100/);
    assert.equal((await library.stopDaemon(options)).stopped, true);
    assert.equal((await library.stopDaemon(options)).stopped, false);
    const wrong = library.startDaemon({ ...options, logLevel: "loud" });
    await assert.rejects(wrong, { code: "failed", hint: `its log is ${options.log}` });
  });

  it("looks at what is there, and shows what it would set up", async (t) => {
    const { scratch } = prepare(t);
    const { status, checks } = await library.doctor({ checks: ["node"] });
    assert.deepEqual([...new Set(checks.map(({ check }) => check))], ["node"]);
    assert.notEqual(status, "fail");
    await assert.rejects(library.doctor({ checks: ["luck"] }), { code: "invalid" });
    const rootPrefix = scratch.folder("system");
    const shown = await library.setupCrio({ rootPrefix, monitorCgroup: "pod" });
    assert.deepEqual([shown.action, shown.applied], ["write", false]);
    const written = await library.setupCrio({ rootPrefix, action: "write" });
    assert.equal(readFileSync(written.path, "utf8"), written.content);
    assert.equal((await library.setupCrio({ rootPrefix, action: "remove" })).applied, true);
    await assert.rejects(library.setupPodman({ conmond: "sometimes" }), { code: "invalid" });
  });
});

const isOwn = ({ own }: library.Container): boolean => own;

/** All that comes by a connection. */
async function textFrom(connection: library.Connection): Promise<string> {
  let text = "";
  for await (const { data } of connection) text += data;
  return text;
}
