/** What conmonctl does with containers that are there, with real runtimes. */
import assert from "node:assert/strict";
import {
  existsSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { monitorOf } from "../../src/containers/find.ts";
import {
  type Container,
  findContainer,
  removeContainer,
  State,
  stopContainer,
} from "../../src/containers/mod.ts";
import { Conmonctl } from "../support/conmonctl.ts";
import { inBothModes } from "../support/modes.ts";
import { makePodman } from "../support/podman.ts";
import { privateConmond } from "../support/private-conmond.ts";
import { isAlive } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { runConmonctl } from "../support/run-conmonctl.ts";
import { makeScratch } from "../support/scratch.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "podman", "busybox", "strace");

function prepare(t: TestContext): Conmonctl {
  return new Conmonctl(makeScratch(t));
}

/** Those of a list that are meant: other tests may run at the same time. */
async function listed(ctl: Conmonctl, ...flags: string[]): Promise<Container[]> {
  const all = JSON.parse(await ctl.succeed("ps", "--json", ...flags)) as Container[];
  return all.filter(({ own }) => own);
}

async function start(ctl: Conmonctl, name: string, script = "sleep 100"): Promise<string> {
  return await ctl.succeed("run", "-d", "--name", name, "--", "sh", "-c", script);
}

describe("conmonctl", { skip }, () => {
  it("ps shows what runs, and with --all what has ended", async (t) => {
    const ctl = prepare(t);
    await ctl.run("run", "--name", "past", "--", "false");
    const id = await start(ctl, "present");
    const running = await listed(ctl);
    assert.deepEqual(
      running.map(({ name, state, owner }) => ({ name, state, owner })),
      [{ name: "present", state: "running", owner: "conmonctl" }],
    );
    const all = await listed(ctl, "--all");
    assert.deepEqual(
      all.map(({ name, exitStatus }) => [name, exitStatus]),
      [
        ["present", null],
        ["past", 1],
      ],
    );
    const table = await ctl.succeed("ps", "-a");
    assert.match(table, /^ID +NAME +STATE +PID +CREATED +OWNER +COMMAND\n/);
    assert.match(table, new RegExp(`\n${id.slice(0, 12)} +present +running \\d+ seconds? +\\d+ `));
    assert.match(table, /\n\w{12} +past +exited \(1\) \d+ second/);
    assert.equal(table.includes("\x1b"), false, "no colours where there is no terminal");
  });

  it("finds containers by names and beginnings of IDs, and offers the nearest", async (t) => {
    const ctl = prepare(t);
    const id = await start(ctl, "server");
    for (const word of ["server", id, id.slice(0, 6)]) {
      assert.equal((await ctl.inspect(word)).id, id);
    }
    const { status, stderr, stdout } = await ctl.run("inspect", "sevrer");
    assert.deepEqual(
      { status, stdout, stderr },
      {
        status: 3,
        stdout: "",
        stderr: "conmonctl: there is no container sevrer\nhint: did you mean server?\n",
      },
    );
  });

  it("shows containers of Podman and can look after them", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const podman = await makePodman(scratch);
    const name = `${scratch.id}-theirs`;
    const script = "echo from podman; read -r line; echo got $line; exit 7";
    await podman.run([
      "run",
      "-d",
      "-i",
      "--log-driver",
      "k8s-file",
      "--name",
      name,
      podman.image,
      "sh",
      "-c",
      script,
    ]);
    const theirs = await ctl.inspect(name);
    assert.deepEqual(
      [theirs.owner, theirs.own, theirs.state, theirs.stdin],
      ["podman", false, "running", true],
    );
    assert.match(await ctl.succeed("ps"), new RegExp(`${name} +running .* podman`));
    const words = (await ctl.succeed("internal", "complete", "containers", "--plain")).split("\n");
    assert.ok(words.includes(name) && words.includes(theirs.id.slice(0, 12)), words.join(" "));
    await textOf(logPath(theirs), (text) => text.includes("from podman"));
    assert.equal(await ctl.succeed("logs", name), "from podman");
    assert.equal(await ctl.succeed("exec", name, "echo", "inside"), "inside");
    const refused = await ctl.run("rm", name);
    assert.match(refused.stderr, /was started by podman\nhint: podman rm/);
    const { status, stdout, stderr } = await ctl.feed("hello\n", "attach", name);
    assert.equal(stdout, "got hello\n");
    // Podman 4 removes the exit file as soon as it has read it, which may be before we have.
    const isLate = status === 1 && /nobody knows how\nhint: podman inspect/.test(stderr);
    assert.ok(status === 7 || isLate, `${status} ${stderr}`);
  });

  it("stop is patient, then it kills; wait tells the status", async (t) => {
    const ctl = prepare(t);
    const polite = "trap 'exit 5' TERM; echo ready; while :; do sleep 0.05; done";
    await start(ctl, "polite", polite);
    await start(ctl, "stubborn", "trap '' TERM; echo ready; while :; do sleep 0.05; done");
    for (const name of ["polite", "stubborn"]) {
      await textOf(logPath(await ctl.inspect(name)), (text) => text.includes("ready"));
    }
    const waiting = ctl.start(["wait", "polite", "stubborn"]);
    const results = JSON.parse(
      await ctl.succeed("stop", "-t", "1", "--json", "polite", "stubborn"),
    );
    assert.deepEqual(
      results.map(({ name, exitStatus }: { name: string; exitStatus: number }) => [
        name,
        exitStatus,
      ]),
      [
        ["polite", 5],
        ["stubborn", 137],
      ],
    );
    assert.equal((await waiting.end).stdout, "5\n137\n");
  });

  it("kill sends any signal, and knows which there are", async (t) => {
    const ctl = prepare(t);
    await start(ctl, "target", "trap 'exit 6' HUP; echo ready; while :; do sleep 0.05; done");
    await textOf(logPath(await ctl.inspect("target")), (text) => text.includes("ready"));
    assert.equal((await ctl.run("kill", "-s", "NOPE", "target")).status, 2);
    await ctl.succeed("kill", "-s", "hup", "target");
    assert.equal(await ctl.succeed("wait", "target"), "6");
    assert.match((await ctl.run("kill", "target")).stderr, /it is exited/);
  });

  it("rm removes what has ended, and by force what runs", async (t) => {
    const ctl = prepare(t);
    await start(ctl, "busy");
    const refused = await ctl.run("rm", "busy");
    assert.equal(refused.status, 1);
    assert.match(
      refused.stderr,
      /^conmonctl: container busy is running\nhint: conmonctl stop busy /,
    );
    await ctl.succeed("rm", "-f", "busy");
    assert.deepEqual(readdirSync(join(ctl.state, "containers")), []);
    assert.deepEqual(readdirSync(join(ctl.state, "names")), []);
    // At once after the end, when the exit command is still about to begin.
    await ctl.run("run", "--name", "quick", "--", "true");
    await ctl.succeed("rm", "quick");
    assert.deepEqual(readdirSync(join(ctl.state, "runtimes/runc")), []);
    const events = await ctl.happened("remove quick");
    assert.deepEqual(events.slice(-2), ["exit quick", "remove quick"]);
  });

  it("prune removes all that have ended, and what half-done commands left", async (t) => {
    const ctl = prepare(t);
    await ctl.run("run", "--name", "past", "--", "true");
    await start(ctl, "present");
    await ctl.happened("exit past");
    // The status file is there before the monitor's part is done.
    await ctl.succeed("wait", "past");
    assert.equal(await ctl.succeed("prune"), "past");
    assert.deepEqual(
      (await listed(ctl, "-a")).map(({ name }) => name),
      ["present"],
    );
    assert.deepEqual(readdirSync(join(ctl.state, "sessions")), []);
  });

  it("prune and rm do not mind that others remove the same", async (t) => {
    const ctl = prepare(t);
    const names = ["one", "two", "three", "four"];
    for (const name of names) await ctl.run("run", "--name", name, "--", "true");
    // They have been found before they are removed.
    const state = new State(ctl.state);
    const found = names.map((name) => findContainer(state, name));
    const commands = ["prune", "prune", "prune"].map((command) => ctl.run(command));
    await Promise.all(found.flatMap((each) => [1, 2].map(() => removeContainer(state, each))));
    for (const { status, stderr } of await Promise.all(commands)) {
      assert.deepEqual([status, stderr], [0, ""]);
    }
    const removals = (await ctl.happened("remove one")).filter((event) => /^remove/.test(event));
    assert.deepEqual(removals.sort(), names.map((name) => `remove ${name}`).sort());
    // Whoever has found one that ran before it was removed can still ask for its end.
    await start(ctl, "five");
    const running = findContainer(state, "five");
    await removeContainer(state, running, true);
    assert.equal(await stopContainer(state, running), 137);
    await removeContainer(state, running, true);
  });

  it("gives the name back of a run that was killed before it had its record, and prunes the rest", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const kill = ["-qq", "-o", "/dev/null", "-e", "inject=rename:signal=SIGKILL:when=1"];
    const killed = runConmonctl(scratch, ["run", "-d", "--name", "half", "--", "true"], {
      wrapper: ["strace", ...kill],
    });
    assert.notEqual(killed.status, 0);
    const [id = "", ...others] = readdirSync(join(ctl.state, "containers"));
    assert.deepEqual(others, []);
    assert.equal(existsSync(join(ctl.state, "containers", id, "container.json")), false);
    await ctl.succeed("run", "-d", "--name", "half", "--", "sleep", "100");
    // As if it had been some time ago.
    const past = new Date(Date.now() - 60_000);
    utimesSync(join(ctl.state, "containers", id), past, past);
    await ctl.succeed("prune");
    assert.equal(existsSync(join(ctl.state, "containers", id)), false);
    assert.equal((await ctl.inspect("half")).state, "running");
    // A name whose directory is no more, since its removal was killed.
    symlinkSync(`../containers/${id}`, join(ctl.state, "names/gone"));
    await ctl.succeed("prune");
    assert.deepEqual(readdirSync(join(ctl.state, "names")), ["half"]);
  });

  it("goes on when the monitor was killed: the container is lost, and can be removed", async (t) => {
    const ctl = prepare(t);
    await start(ctl, "orphan");
    const { monitorPid, pid } = await ctl.inspect("orphan");
    assert.ok(monitorPid !== null && pid !== null);
    process.kill(monitorPid, "SIGKILL");
    const { status, stdout } = await ctl.run("wait", "orphan");
    assert.deepEqual([status, stdout], [1, "unknown\n"]);
    assert.equal((await ctl.inspect("orphan")).state, "lost");
    await ctl.succeed("rm", "orphan");
    assert.equal(isAlive(pid), false);
  });

  it("finds a monitor by its pid file that was missed among the processes", async (t) => {
    const ctl = prepare(t);
    const [one, other] = [await start(ctl, "one"), await start(ctl, "other")];
    const state = new State(ctl.state);
    const { monitorPid } = await ctl.inspect("one");
    assert.equal(monitorOf(state, one, new Map())?.pid, monitorPid);
    // A pid that is somebody else's by now.
    writeFileSync(state.container(other).monitorPid, String(monitorPid));
    assert.equal(monitorOf(state, other, new Map()), undefined);
  });

  it("shows and finds the others where one record cannot be read", async (t) => {
    const ctl = prepare(t);
    const broken = await start(ctl, "broken");
    await start(ctl, "fine");
    await ctl.succeed("stop", "-t", "0", "broken");
    const path = join(ctl.state, "containers", broken, "container.json");
    const record = readFileSync(path);
    writeFileSync(path, "{}");
    const { status, stdout, stderr } = await ctl.run("ps", "--quiet", "--no-trunc");
    const { id } = await ctl.inspect("fine");
    // Those of other tests, which run at the same time, are shown as well.
    const ours = (all: string[]): string[] => all.filter((one) => one === id || one === broken);
    assert.deepEqual([status, ours(stdout.split("\n"))], [1, [id]]);
    assert.match(stderr, /container\.json is no record that this version knows\nhint: .* remove /);
    const stats = JSON.parse(await ctl.succeed("stats", "--no-stream", "--json"));
    assert.deepEqual(ours(stats.map((each: { id: string }) => each.id)), [id]);
    for (const name of ["broken", broken.slice(0, 12)]) {
      assert.match((await ctl.run("inspect", name)).stderr, /is no record that this version knows/);
    }
    await ctl.succeed("stop", "-t", "0", id.slice(0, 12));
    const pruned = await ctl.run("prune");
    assert.deepEqual([pruned.status, pruned.stdout], [1, "fine\n"]);
    writeFileSync(path, record);
  });

  it("does not mind that conmond was killed", async (t) => {
    const ctl = prepare(t);
    await start(ctl, "survivor", "read -r x; echo never; sleep 100");
    const { monitorPid } = await ctl.inspect("survivor");
    assert.ok(monitorPid !== null);
    process.kill(await privateConmond(monitorPid), "SIGKILL");
    assert.equal((await ctl.inspect("survivor")).state, "running");
    assert.equal(await ctl.succeed("exec", "survivor", "echo", "alive"), "alive");
    await ctl.succeed("stop", "-t", "0", "survivor");
  });
});

inBothModes("conmonctl exec", skip, (attempt) => {
  it("has all output and the status, every time", async (t) => {
    const { scratch, shared } = await attempt(t);
    const ctl = new Conmonctl(scratch, shared);
    await start(ctl, "base");
    for (let turn = 0; turn < 10; turn++) {
      const result = await ctl.run("exec", "base", "sh", "-c", "echo out; echo err >&2; exit 5");
      assert.deepEqual(result, { status: 5, stdout: "out\n", stderr: "err\n" });
    }
    assert.deepEqual(readdirSync(join(ctl.state, "sessions")), []);
  });
});

describe("conmonctl exec", { skip }, () => {
  it("hands on input, environment, user and directory, and says what cannot be run", async (t) => {
    const ctl = prepare(t);
    await start(ctl, "base");
    const { stdout } = await ctl.feed(
      "line\n",
      "exec",
      "-i",
      "-e",
      "A=b",
      "-u",
      "7:8",
      "-w",
      "/tmp",
      "base",
      "sh",
      "-c",
      "cat; echo $A; id -u; id -g; pwd",
    );
    assert.equal(stdout, "line\nb\n7\n8\n/tmp\n");
    assert.equal((await ctl.run("exec", "base", "no-such-program")).status, 127);
    assert.equal((await ctl.run("exec", "base", "/etc/passwd")).status, 126);
    const nowhere = await ctl.run("exec", "-w", "/nowhere", "base", "ls");
    assert.equal(nowhere.status, 125);
    assert.match(nowhere.stderr, /\nhint: is the working directory there/);
    assert.equal(await ctl.succeed("exec", "base", "--", "echo", "hi"), "hi");
    const misplaced = await ctl.run("exec", "base", "-it", "sh");
    assert.equal(misplaced.status, 2);
    assert.match(misplaced.stderr, /options come before the container/);
    await ctl.succeed("stop", "-t", "0", "base");
    assert.match((await ctl.run("exec", "base", "true")).stderr, /is exited, not running/);
  });
});

describe("conmonctl logs", { skip }, () => {
  const WRITER = "echo one; echo two >&2; echo three; printf four";

  it("selects lines", async (t) => {
    const ctl = prepare(t);
    await ctl.run("run", "--name", "writer", "--", "sh", "-c", WRITER);
    const outcomes: Record<string, string> = {};
    for (const flags of [
      "",
      "--stream stdout --tail 1",
      "--stream stderr",
      "--grep ^t",
      "--since 1h",
      "--until 1h",
    ]) {
      const { stdout, stderr } = await ctl.run(
        "logs",
        ...flags.split(" ").filter(Boolean),
        "writer",
      );
      outcomes[flags] = `${stdout}|${stderr}`;
    }
    assert.deepEqual(outcomes, {
      "": "one\nthree\nfour|two\n",
      "--stream stdout --tail 1": "four|",
      "--stream stderr": "|two\n",
      "--grep ^t": "three\n|two\n",
      "--since 1h": "one\nthree\nfour|two\n",
      "--until 1h": "|",
    });
    assert.match(
      await ctl.succeed("logs", "-t", "--tail", "1", "--stream", "stdout", "writer"),
      /^\d{4}-\d\d-\d\dT\S+ four$/,
    );
    const [first] = (await ctl.succeed("logs", "--json", "writer")).split("\n");
    const { time, ...rest } = JSON.parse(first ?? "");
    assert.ok(Date.parse(time) > 0);
    assert.deepEqual(rest, { stream: "stdout", text: "one", complete: true });
  });

  it("follows until the container has ended", async (t) => {
    const ctl = prepare(t);
    const script = "echo ready; trap 'echo bye; exit' TERM; while :; do sleep 0.05; done";
    await start(ctl, "writer", script);
    const following = ctl.start(["logs", "-f", "writer"]);
    await following.shows("ready\n");
    await ctl.succeed("stop", "writer");
    const { status, stdout } = await following.end;
    assert.deepEqual([status, stdout], [0, "ready\nbye\n"]);
  });

  it("reads rotated files and json-file, and says where journald's are", async (t) => {
    const ctl = prepare(t);
    const numbers = "i=0; while [ $i -lt 100 ]; do echo line $i; i=$((i+1)); done";
    const options = [
      "--log-driver",
      "json-file",
      "--log-opt",
      "max-size=2k",
      "--log-opt",
      "rotate",
      "--log-opt",
      "max-files=50",
    ];
    await ctl.run("run", "--name", "writer", ...options, "--", "sh", "-c", numbers);
    const lines = (await ctl.succeed("logs", "writer")).split("\n");
    assert.deepEqual(
      lines,
      Array.from({ length: 100 }, (_, index) => `line ${index}`),
    );
    await ctl.run("run", "--name", "silent", "--log-driver", "none", "--", "true");
    assert.match((await ctl.run("logs", "silent")).stderr, /is in no file/);
  });

  it("begin anew with reopen-logs", async (t) => {
    const ctl = prepare(t);
    await start(ctl, "writer", "echo before; trap 'echo after' USR1; while :; do sleep 0.05; done");
    const path = logPath(await ctl.inspect("writer"));
    await textOf(path, (text) => text.includes("before"));
    renameSync(path, `${path}.moved`);
    await ctl.succeed("reopen-logs", "writer");
    await textOf(path, (text) => text === "");
    await ctl.succeed("kill", "-s", "USR1", "writer");
    await textOf(path, (text) => text.includes("after"));
    assert.match(readFileSync(`${path}.moved`, "utf8"), /before\n$/);
  });
});

/** The container's log file. */
function logPath({ logs }: Container): string {
  return logs[0]?.replace(/^[\w-]+:/, "") ?? "";
}
