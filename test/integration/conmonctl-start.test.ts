/** conmonctl start, restarts and exec --detach, with a real runtime. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { findContainer, State, start } from "../../src/containers/mod.ts";
import { Conmonctl } from "../support/conmonctl.ts";
import { makeFifo } from "../support/fifo.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { disappears, textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc");

function prepare(t: TestContext): Conmonctl {
  return new Conmonctl(makeScratch(t));
}

/** A program that a test can change, and the options of a container that has it as /tmp/program. */
function changeable(
  t: TestContext,
  script: string,
): { readonly ctl: Conmonctl; readonly path: string; readonly options: readonly string[] } {
  const scratch = makeScratch(t);
  const path = scratch.path("program");
  writeFileSync(path, `#!/bin/sh\n${script}\n`, { mode: 0o755 });
  const options = ["--name", "job", "--mount", `${path}:/tmp/program`];
  return { ctl: new Conmonctl(scratch), path, options };
}

describe("conmonctl start", { skip }, () => {
  it("starts again what has ended, with its log going on", async (t) => {
    const ctl = prepare(t);
    await ctl.run("run", "--name", "job", "--", "sh", "-c", "echo run; exit 3");
    assert.equal(await ctl.succeed("start", "job"), "job");
    assert.equal(await ctl.succeed("wait", "job"), "3");
    const attached = await ctl.run("start", "--attach", "job");
    assert.deepEqual(attached, { status: 3, stdout: "run\n", stderr: "" });
    assert.equal(await ctl.succeed("logs", "job"), "run\nrun\nrun");
    const { state, restarts } = await ctl.inspect("job");
    assert.deepEqual([state, restarts], ["exited", 2]);
  });

  it("can follow stop at once, and heeds the restart policy again", async (t) => {
    const ctl = prepare(t);
    await ctl.succeed("run", "-d", "--name", "web", "--restart", "always", "--", "sleep", "100");
    await ctl.succeed("stop", "-t", "0", "web");
    await ctl.succeed("start", "web");
    await ctl.succeed("kill", "web");
    await ctl.happened("restart web");
    const running = await ctl.run("start", "web");
    assert.equal(running.status, 1);
    assert.match(running.stderr, /^conmonctl: cannot start container web: it is \w+\n/);
  });

  it("is done by one of several", async (t) => {
    const { ctl, path, options } = changeable(t, "exit 0");
    await ctl.succeed("run", ...options, "--", "/tmp/program");
    writeFileSync(path, "#!/bin/sh\nsleep 100\n");
    const results = await Promise.all([1, 2, 3].map(() => ctl.run("start", "job")));
    assert.deepEqual(results.map(({ status }) => status).sort(), [0, 1, 1]);
    const { state, restarts } = await ctl.inspect("job");
    assert.deepEqual([state, restarts], ["running", 1]);
  });

  it("says why it could not, and the container can be started later", async (t) => {
    const { ctl, path, options } = changeable(t, "echo here");
    await ctl.succeed("run", ...options, "--", "/tmp/program");
    chmodSync(path, 0o644);
    const { status, stderr } = await ctl.run("start", "job");
    assert.equal(status, 126);
    assert.match(stderr, /^conmonctl: cannot make container job: .*permission denied\nhint: /);
    const { state, exitStatus } = await ctl.inspect("job");
    assert.deepEqual([state, exitStatus], ["exited", 126]);
    chmodSync(path, 0o755);
    assert.equal((await ctl.run("start", "-a", "job")).stdout, "here\n");
  });

  it("knows how a container ended that could not be made, and whose run was killed", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const victim = scratch.path("victim");
    const runtime = scratch.path("runtime");
    const create = `if [ -e ${victim} ]; then read pid <${victim}; kill -9 $pid; rm ${victim}; exit 1; fi`;
    const script = `#!/bin/sh\ncase "$*" in *" create "*) ${create};; esac\nexec runc "$@"\n`;
    writeFileSync(runtime, script, { mode: 0o755 });
    const tell = makeFifo(scratch, victim);
    const run = ctl.start(["run", "--name", "job", "--runtime", runtime, "--", "echo", "at last"]);
    tell(String(run.process.pid));
    assert.equal((await run.end).status, -1);
    await ctl.happened("exit job");
    assert.equal(await ctl.succeed("wait", "job"), "125");
    assert.equal((await ctl.run("start", "-a", "job")).stdout, "at last\n");
  });

  it("begins what was made and never begun, since its run was killed", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const victim = scratch.path("victim");
    const runtime = scratch.path("runtime");
    // It makes the container, and whoever wanted it is gone then.
    writeFileSync(
      runtime,
      `#!/bin/sh\nrunc "$@" || exit\ncase "$*" in *" create "*) read pid <${victim}; kill -9 $pid;; esac\n`,
      { mode: 0o755 },
    );
    const tell = makeFifo(scratch, victim);
    const run = ctl.start(["run", "--name", "job", "--runtime", runtime, "--", "echo", "at last"]);
    tell(String(run.process.pid));
    assert.equal((await run.end).status, -1);
    assert.equal((await ctl.inspect("job")).state, "created");
    assert.equal((await ctl.run("start", "-a", "job")).stdout, "at last\n");
  });
});

describe("conmonctl create", { skip }, () => {
  it("makes a container that start has begin", async (t) => {
    const ctl = prepare(t);
    const script = "echo begun; cat; exit 3";
    const made = await ctl.succeed(
      ...["create", "-i", "--name", "job", "--json", "--", "sh", "-c", script],
    );
    const { id, name, pid } = JSON.parse(made);
    assert.equal(name, "job");
    const before = await ctl.inspect("job");
    assert.deepEqual([before.id, before.pid, before.state], [id, pid, "created"]);
    assert.deepEqual([before.started, before.exitStatus], [null, null]);
    assert.equal(
      await ctl.succeed("ps", "--quiet", "--no-trunc").then((all) => all.includes(id)),
      false,
    );
    assert.match(await ctl.succeed("ps", "--all"), new RegExp(`job +created +${pid} `));
    assert.equal(await ctl.succeed("logs", "job"), "");
    const exec = await ctl.run("exec", "job", "true");
    assert.match(exec.stderr, /is created, not running\nhint: conmonctl start job has it begin\n$/);
    const waiting = ctl.start(["wait", "job"]);
    const begun = await ctl.feed("input\n", "start", "--attach", "job");
    assert.deepEqual(begun, { status: 3, stdout: "begun\ninput\n", stderr: "" });
    assert.equal((await waiting.end).stdout, "3\n");
    const after = await ctl.inspect("job");
    assert.deepEqual([after.state, after.restarts], ["exited", 0]);
  });

  it("makes one that can be removed without force, or stopped and started", async (t) => {
    const ctl = prepare(t);
    const id = await ctl.succeed(
      "create",
      "--name",
      "job",
      "--restart",
      "always",
      "--",
      "sleep",
      "100",
    );
    const { pid } = await ctl.inspect(id);
    await ctl.succeed("prune");
    assert.equal((await ctl.inspect("job")).state, "created");
    await ctl.succeed("rm", "job");
    assert.equal(existsSync(`/proc/${pid}`), false);
    assert.deepEqual(readdirSync(join(ctl.state, "containers")), []);
    await ctl.succeed("create", "--name", "job", "--restart", "always", "--", "sleep", "100");
    await ctl.succeed("stop", "job");
    assert.deepEqual((await ctl.inspect("job")).state, "exited");
    await ctl.succeed("start", "job");
    assert.deepEqual((await ctl.inspect("job")).state, "running");
  });

  it("makes one that is started again when it was stopped, as soon as its exit command is done", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const [runtime, gate, waits] = ["runtime", "gate", "waits"].map((name) => scratch.path(name));
    const wait = `if [ ! -e ${waits} ]; then echo yes > ${waits}; read word < ${gate}; fi`;
    writeFileSync(
      String(runtime),
      `#!/bin/sh\ncase "$*" in *" delete "*) ${wait};; esac\nexec runc "$@"\n`,
      { mode: 0o755 },
    );
    const tell = makeFifo(scratch, String(gate));
    const options = ["--name", "job", "--runtime", String(runtime)];
    await ctl.succeed("create", ...options, "--", "sleep", "100");
    await ctl.succeed("stop", "job");
    await textOf(String(waits));
    const state = new State(ctl.state);
    // It looks whether somebody else makes or starts it before it waits for anything.
    const started = start(state, findContainer(state, "job"));
    tell("go");
    assert.equal((await started).name, "job");
    const events = await ctl.happened("start job");
    assert.deepEqual(events, ["create job", "stop job", "exit job", "create job", "start job"]);
  });

  it("is started or removed by one of several", async (t) => {
    const ctl = prepare(t);
    await ctl.succeed("create", "--name", "job", "--", "sleep", "100");
    const all = ["start", "rm", "start", "rm"].map((command) => ctl.run(command, "job"));
    const results = await Promise.all(all);
    const started = results.filter(({ status }, index) => status === 0 && index % 2 === 0).length;
    // Who comes too late to remove it finds it removed, which is no error.
    const removed = results.some(({ status }, index) => status === 0 && index % 2 === 1);
    assert.equal(started, removed ? 0 : 1, JSON.stringify(results));
  });

  it("says what it needs", async (t) => {
    const ctl = prepare(t);
    assert.deepEqual(await ctl.run("create"), {
      status: 2,
      stdout: "",
      stderr:
        "conmonctl: create: neither a bundle nor a command was given\nhint: conmonctl create -- echo hello\n",
    });
    assert.equal((await ctl.run("create", "--", "no-such-program")).status, 127);
    assert.equal(
      await ctl.succeed("ps", "--all", "--json").then((text) => text.includes("no-such-program")),
      false,
    );
  });
});

describe("conmonctl run --restart", { skip }, () => {
  it("shows every run, however short", async (t) => {
    const ctl = prepare(t);
    const { status, stdout } = await ctl.run(
      ...["run", "--rm", "--restart", "on-failure:4", "--", "sh", "-c", "echo run; exit 4"],
    );
    assert.deepEqual([status, stdout], [4, "run\n".repeat(5)]);
  });

  it("does not wait long for a conmonctl that is stopped, and only once", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const options = ["--name", "job", "--restart", "always"];
    const command = ctl.start(["run", ...options, "--", "sh", "-c", "echo run"]);
    await command.shows("run");
    command.process.kill("SIGSTOP");
    scratch.atEnd(async () => {
      command.process.kill("SIGKILL");
      await command.end;
    });
    const { id } = await ctl.inspect("job");
    const followers = join(ctl.state, "containers", id, "followers");
    await textOf(join(ctl.state, "events.jsonl"), (text) => text.split('"start"').length > 3);
    assert.deepEqual(readdirSync(followers), []);
  });

  it("does not begin a run whose end was wanted while it was being made", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const [runtime, again, gate] = ["runtime", "again", "gate"].map((name) => scratch.path(name));
    // The second time it waits for a word.
    const wait = `if [ -e ${again} ]; then echo > ${again}; read word < ${gate}; fi; echo -n > ${again}`;
    writeFileSync(
      String(runtime),
      `#!/bin/sh\ncase "$*" in *" create "*) ${wait};; esac\nexec runc "$@"\n`,
      { mode: 0o755 },
    );
    const tell = makeFifo(scratch, String(gate));
    const options = ["--name", "job", "--restart", "always", "--runtime", String(runtime)];
    const mount = ["--mount", `${scratch.folder("shared")}:/tmp/shared`];
    const script = "cd /tmp/shared; if [ -e ended ]; then sleep 100; fi; touch ended; exit 3";
    await ctl.succeed("run", "-d", ...options, ...mount, "--", "sh", "-c", script);
    await textOf(String(again));
    const stop = ctl.start(["stop", "job"]);
    await ctl.happened("stop job");
    tell("go");
    assert.equal((await stop.end).status, 0);
    const { state, restarts } = await ctl.inspect("job");
    assert.deepEqual([state, restarts], ["exited", 1]);
  });

  it("counts a run that cannot begin as one that failed, and tries again", async (t) => {
    const { ctl, options } = changeable(t, 'chmod -x "$0"; exit 3');
    const policy = ["--restart", "on-failure:2"];
    assert.equal((await ctl.run("run", ...policy, ...options, "--", "/tmp/program")).status, 126);
    const { state, restarts, exitStatus } = await ctl.inspect("job");
    assert.deepEqual([state, restarts, exitStatus], ["exited", 2, 126]);
    const events = await ctl.happened("exit job");
    assert.deepEqual(
      events.filter((event) => event !== "create job"),
      ["start job", "exit job", "restart job", "exit job", "restart job", "exit job"],
    );
  });
});

describe("conmonctl exec --detach", { skip }, () => {
  it("leaves the command alone and nothing behind", async (t) => {
    const ctl = prepare(t);
    await ctl.succeed("run", "-d", "--name", "web", "--", "sleep", "100");
    const script = "until [ -e /tmp/go ]; do sleep 0.05; done; touch /tmp/done";
    const pid = await ctl.succeed("exec", "--detach", "web", "sh", "-c", script);
    assert.equal(existsSync(`/proc/${pid}`), true);
    const [session = ""] = readdirSync(join(ctl.state, "sessions"));
    await ctl.succeed("exec", "web", "touch", "/tmp/go");
    await disappears(join(ctl.state, "sessions", session));
    await ctl.succeed("exec", "web", "ls", "/tmp/done");
    const json = JSON.parse(await ctl.succeed("exec", "-d", "--json", "web", "true"));
    assert.equal(typeof json.pid, "number");
    assert.equal((await ctl.run("exec", "-d", "web", "no-such-program")).status, 127);
  });
});
