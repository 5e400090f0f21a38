/** `conmonctl daemon`: a shared conmond is started, looked at, replaced and ended. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { cpSync, readFileSync, utimesSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { type TestContext, test } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { AttachClient } from "../support/attach-client.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonRun, startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { eventually } from "../support/private-conmond.ts";
import { isAlive } from "../support/processes.ts";
import { conmondProgram, projectRoot, unlessRootWith } from "../support/programs.ts";
import {
  conmonctlProgram,
  jsonOf,
  privateEnvironment,
  runConmonctl,
} from "../support/run-conmonctl.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");

type Json = Record<string, unknown>;

/** A place for a conmond that is started by conmonctl, which ends with the test. */
function makePlace(t: TestContext) {
  const scratch = makeScratch(t);
  const socket = scratch.path("d/conmond.sock");
  const daemon = (...args: string[]) =>
    runConmonctl(scratch, ["daemon", ...args, "--socket", socket]);
  scratch.atEnd(() => {
    daemon("stop");
  });
  return { scratch, socket, daemon };
}

/** A container that says "ready", and "done" with status 7 once it has been sent SIGTERM. */
async function startWaiting(scratch: Scratch, conmond: string): Promise<ConmonRun> {
  const bundle = makeBundle(scratch, {
    args: ["sh", "-c", "trap 'echo done; exit 7' TERM; echo ready; while :; do sleep 0.1; done"],
  });
  const run = startConmon(scratch, { bundle, apiVersion: 1, conmond });
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
}

test("root's is found where the shim finds it, whatever XDG_RUNTIME_DIR is", { skip }, (t) => {
  const scratch = makeScratch(t);
  const conmonctl = `"${process.execPath}" "${conmonctlProgram}"`;
  const script = [
    "mount -t tmpfs tmpfs /run",
    `${conmonctl} daemon status`,
    `${conmonctl} daemon start --socket /run/conmond/conmond.sock`,
    `${conmonctl} daemon start`,
    `${conmonctl} daemon status --json`,
    `${conmonctl} daemon stop`,
  ].join("\n");
  const { stdout, stderr } = spawnSync("unshare", ["--mount", "sh", "-c", script], {
    env: privateEnvironment(scratch),
    encoding: "utf8",
  });
  const [none, , already = "", ...rest] = stdout.split("\n");
  const own = scratch.path("run/conmond/conmond.sock");
  assert.equal(none, `There is no conmond at ${own}, nor at /run/conmond/conmond.sock.`, stderr);
  assert.match(already, /^conmond runs already, process \d+, at \/run\/conmond\/conmond\.sock$/);
  assert.match(rest.join(""), /"socket": "\/run\/.*has ended$/);
});

test("there is none", (t) => {
  const { daemon, socket } = makePlace(t);
  const text = daemon("status");
  assert.deepEqual([text.status, text.stdout], [3, `There is no conmond at ${socket}.\n`]);
  assert.deepEqual(jsonOf(daemon("status", "--json"), 3), { socket, state: "stopped" });
  assert.deepEqual(jsonOf(daemon("stop", "--json")), { socket, stopped: false });
});

test("started, looked at, ended", (t) => {
  const { scratch, daemon, socket } = makePlace(t);
  const { pid, started } = jsonOf(daemon("start", "--log-level", "debug", "--json")) as Json;
  assert.equal(started, true);
  assert.ok(typeof pid === "number" && isAlive(pid));

  const status = jsonOf(daemon("status", "--json")) as Json;
  assert.deepEqual(
    [status.socket, status.state, status.pid, status.uid, status.sessions, status.outdated],
    [socket, "running", pid, process.geteuid?.(), 0, false],
  );
  assert.deepEqual((status.commandLine as string[]).slice(-2), ["--log-level", "debug"]);
  assert.match(String(status.version), /^\d+\.\d+\.\d+$/);
  assert.ok(Number(status.uptimeSeconds) < 60 && Number(status.answerMilliseconds) < 3000);
  assert.ok(Number(status.residentBytes) > Number(status.privateBytes));
  assert.ok(Number(status.privateBytes) > 1024 * 1024);
  const text = daemon("status").stdout;
  assert.match(text, new RegExp(`^state +running\nsocket +${socket}\npid +${pid}\nversion `));
  assert.ok(!text.includes("\x1b"), "no colours but on a terminal");

  const again = jsonOf(daemon("start", "--json")) as Json;
  assert.deepEqual([again.started, again.pid], [false, pid]);
  assert.match(readFileSync(scratch.path("state/conmond.log"), "utf8"), /Listening on/);

  assert.deepEqual(jsonOf(daemon("stop", "--json")), { socket, pid, stopped: true, sessions: 0 });
  assert.ok(!isAlive(pid));
  assert.equal(daemon("status").status, 3);
});

test("it does not get NODE_OPTIONS", (t) => {
  const { scratch, socket } = makePlace(t);
  const preload = scratch.path("preload.cjs");
  writeFileSync(preload, "");
  const result = runConmonctl(scratch, ["daemon", "start", "--socket", socket, "--json"], {
    environment: { NODE_OPTIONS: `--require ${preload}` },
  });
  const { pid } = jsonOf(result) as { pid: number };
  assert.ok(!readFileSync(`/proc/${pid}/environ`, "latin1").includes("NODE_OPTIONS"));
});

test("files that are newer than the process are told", (t) => {
  const { scratch, socket } = makePlace(t);
  // A copy, since other tests run conmond at the same time.
  const root = scratch.folder("package");
  for (const part of ["bin", "dist"]) {
    cpSync(join(projectRoot, part), join(root, part), { recursive: true });
  }
  const daemon = (...args: string[]) =>
    spawnSync(process.execPath, [join(root, "bin/conmonctl"), "daemon", ...args], {
      encoding: "utf8",
      env: privateEnvironment(scratch),
    });
  assert.equal(daemon("start", "--socket", socket).status, 0);
  const status = (...args: string[]) => daemon("status", "--socket", socket, ...args);
  assert.equal((jsonOf(status("--json")) as Json).outdated, false);
  const later = new Date(Date.now() + 3_600_000);
  utimesSync(join(root, "dist/conmond.cjs"), later, later);
  assert.equal((jsonOf(status("--json")) as Json).outdated, true);
  assert.match(status().stdout, /its files are newer than the process/);
});

test("why it could not be started is told", (t) => {
  const { scratch, daemon } = makePlace(t);
  const bad = daemon("start", "--max-sessions", "many");
  assert.equal(bad.status, 1);
  assert.match(
    bad.stderr,
    /^conmonctl: conmond could not be started: .*max-sessions.*\nhint: its log is .*\n$/,
  );

  writeFileSync(scratch.path("file"), "");
  const log = daemon("start", "--log", scratch.path("file/log"));
  assert.equal(log.status, 1);
  assert.match(
    log.stderr,
    /^conmonctl: cannot write conmond's log .*file\/log: .*\nhint: name another with --log\n$/,
  );

  const timeout = daemon("stop", "--timeout", "soon");
  assert.equal(timeout.status, 2);
  assert.match(
    timeout.stderr,
    /^conmonctl: .*'--timeout <SECONDS>'.*'soon' is invalid\. .*\nhint: conmonctl daemon stop --help says what there is\n$/,
  );
});

test("a log that has grown is put aside", (t) => {
  const { scratch, daemon } = makePlace(t);
  const log = scratch.path("log");
  writeFileSync(log, "x".repeat(1024 * 1024 + 1));
  assert.equal(daemon("start", "--log", log).status, 0);
  assert.ok(readFileSync(log).length < 1000);
  assert.equal(readFileSync(`${log}.1`).length, 1024 * 1024 + 1);
});

test("sessions are counted, and go on when it is stopped", { skip }, async (t) => {
  const { scratch, daemon, socket } = makePlace(t);
  daemon("start");
  const runs = [await startWaiting(scratch, socket), await startWaiting(scratch, socket)];
  assert.equal((jsonOf(daemon("status", "--json")) as Json).sessions, 2);
  const stopped = daemon("stop");
  assert.match(stopped.stdout, /; 2 sessions go on, each with a conmond of its own\n$/);
  for (const run of runs) await finish(run);
});

test("attached clients are no sessions", { skip }, async (t) => {
  const { scratch, daemon, socket } = makePlace(t);
  daemon("start");
  const bundle = makeBundle(scratch, { args: ["sh", "-c", "echo ready; read line"] });
  const run = startConmon(scratch, {
    bundle,
    conmond: socket,
    arguments: ["--full-attach", "--stdin"],
  });
  await run.created();
  const client = new AttachClient(scratch, join(bundle.directory, "attach"));
  await run.runtimeStart();
  await textOf(run.paths.log, (text) => text.includes("ready"));
  assert.equal((jsonOf(daemon("status", "--json")) as Json).sessions, 1);
  client.send("line\n");
  await run.exitStatus();
  await run.ended();
  client.close();
});

test("one that is stopped by a signal is told from one that answers", async (t) => {
  const scratch = makeScratch(t);
  const { socket, pid } = await startConmond(scratch);
  const status = (...args: string[]) =>
    runConmonctl(scratch, ["daemon", "status", "--socket", socket, ...args]);
  process.kill(pid, "SIGSTOP");
  try {
    assert.match(status().stdout, /^state +does not answer\n/);
    const { state } = jsonOf(status("--json"), 1) as Json;
    assert.equal(state, "hangs");
    const start = runConmonctl(scratch, ["daemon", "start", "--socket", socket]);
    assert.deepEqual(
      [start.status, start.stderr.split("\n")[1]],
      [1, "hint: conmonctl daemon restart takes its place"],
    );
    const stop = runConmonctl(scratch, ["daemon", "stop", "--socket", socket, "--timeout", "0.2"]);
    assert.equal(stop.status, 1);
    assert.match(stop.stderr, /has not ended within 0\.2 s\nhint: kill -9 \d+ ends it: /);
  } finally {
    process.kill(pid, "SIGCONT");
  }
});

const unlessReplace = (): string | false => {
  const { stdout } = spawnSync(process.execPath, [conmondProgram, "--help"], { encoding: "utf8" });
  return skip || (!stdout.includes("--replace") && "needs conmond --replace");
};

test(
  "restart: another one has its options and its sessions",
  { skip: unlessReplace() },
  async (t) => {
    const { scratch, daemon, socket } = makePlace(t);
    const first = jsonOf(daemon("start", "--idle-exit", "1000", "--json")) as { pid: number };
    const run = await startWaiting(scratch, socket);
    const second = jsonOf(daemon("restart", "--log-level", "debug", "--json")) as Json;
    assert.deepEqual([second.replacedPid, second.sessions], [first.pid, 1]);
    await eventually(() => !isAlive(first.pid), "the end of the first conmond");
    await eventually(
      () => (jsonOf(daemon("status", "--json")) as Json).sessions === 1,
      "the session at the second conmond",
    );
    const { pid, commandLine } = jsonOf(daemon("status", "--json")) as Json;
    assert.equal(pid, second.pid);
    const rest = ["--idle-exit", "1000", "--log-level", "debug", "--replace"];
    assert.deepEqual((commandLine as string[]).slice(4), rest);
    await finish(run);
  },
);

test("restart where there was none starts one", { skip: unlessReplace() }, (t) => {
  const { daemon } = makePlace(t);
  assert.match(daemon("restart").stdout, /^no conmond was there: one runs now, process \d+\n$/);
  assert.equal(daemon("status").status, 0);
});

test("restart takes the place of one that hangs", { skip: unlessReplace() }, (t) => {
  const { daemon } = makePlace(t);
  const { pid } = jsonOf(daemon("start", "--json")) as { pid: number };
  process.kill(pid, "SIGSTOP");
  const second = jsonOf(daemon("restart", "--json")) as Json;
  assert.equal(second.replacedPid, pid);
  assert.ok(!isAlive(pid));
  assert.equal((jsonOf(daemon("status", "--json")) as Json).pid, second.pid);
});
