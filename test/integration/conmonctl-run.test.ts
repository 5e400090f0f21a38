/** conmonctl run, with a real runtime. */
import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { existsSync, readdirSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeBundle } from "../support/bundle.ts";
import { Conmonctl } from "../support/conmonctl.ts";
import { inBothModes } from "../support/modes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { appears, textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");

inBothModes("conmonctl run", skip, (prepare) => {
  it("shows both streams and ends with the container's status", async (t) => {
    const { scratch, shared } = await prepare(t);
    const ctl = new Conmonctl(scratch, shared);
    const result = await ctl.run(
      "run",
      "--name",
      "job",
      "--",
      "sh",
      "-c",
      "echo 1; echo 2 >&2; exit 3",
    );
    assert.deepEqual(result, { status: 3, stdout: "1\n", stderr: "2\n" });
    const { state, exitStatus } = await ctl.inspect("job");
    assert.deepEqual([state, exitStatus], ["exited", 3]);
    const events = await ctl.happened("exit job");
    assert.deepEqual(events, ["create job", "start job", "exit job"]);
  });

  it("hands its input on, to the last byte", async (t) => {
    const { scratch, shared } = await prepare(t);
    const ctl = new Conmonctl(scratch, shared);
    const data = randomBytes(3_000_000);
    const { stdout, status } = await ctl.feed(data, "run", "-i", "--rm", "--", "sha256sum");
    assert.equal(stdout, `${createHash("sha256").update(data).digest("hex")}  -\n`);
    assert.equal(status, 0);
  });
});

describe("conmonctl run", { skip }, () => {
  it("starts a bundle, which it leaves alone, and lets options have their way", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const bundle = makeBundle(scratch, { args: ["sh", "-c", "hostname; pwd; echo $X; id -u"] });
    const before = readdirSync(bundle.directory);
    const options = ["-e", "X=y", "--hostname", "here", "-w", "/tmp", "-u", "7:8"];
    const { stdout, stderr } = await ctl.run("run", "--rm", ...options, bundle.directory);
    assert.equal(stdout, "here\n/tmp\ny\n7\n", stderr);
    assert.deepEqual(readdirSync(bundle.directory), before);
    const other = await ctl.run("run", "--rm", bundle.directory, "--", "echo", "other");
    assert.equal(other.stdout, "other\n");
  });

  it("limits memory and processor time, and mounts", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    writeFileSync(scratch.path("file"), "content\n");
    const script =
      "cat /mnt/file; touch /mnt/x 2>/dev/null || echo read-only; df -m /run/own | tail -1";
    const mounts = [
      "--mount",
      `${scratch.path()}:/mnt:ro`,
      "--mount",
      "type=tmpfs,dst=/run/own,size=3m",
    ];
    const { stdout } = await ctl.run("run", "--rm", ...mounts, "--", "sh", "-c", script);
    assert.match(stdout, /^content\nread-only\ntmpfs +3 /);
    await ctl.succeed(
      "run",
      "-d",
      "--name",
      "limited",
      "--memory",
      "64m",
      "--cpus",
      "0.5",
      "--",
      "sleep",
      "100",
    );
    const config = JSON.parse(
      readFileSync(join((await ctl.inspect("limited")).bundle, "config.json"), "utf8"),
    );
    assert.deepEqual(config.linux.resources, {
      memory: { limit: 64 * 1024 * 1024 },
      cpu: { period: 100_000, quota: 50_000 },
    });
  });

  it("tells of memory running out", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const greedy = ["sh", "-c", "head -c 200m /dev/zero | tail"];
    await ctl.run("run", "--name", "greedy", "--memory", "16m", "--", ...greedy);
    assert.equal((await ctl.inspect("greedy")).outOfMemory, true);
    await ctl.happened("oom greedy", "exit greedy");
  });

  it("says who is to blame when nothing runs, and leaves nothing of it", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const statuses: Record<string, number> = {};
    for (const command of ["no-such-program", "/etc/passwd"]) {
      const { status, stderr } = await ctl.run("run", "--name", "never", "--", command);
      assert.match(
        stderr,
        new RegExp(`^conmonctl: cannot make container never: .*${command}.*\nhint: `),
      );
      statuses[command] = status;
    }
    assert.deepEqual(statuses, { "no-such-program": 127, "/etc/passwd": 126 });
    const noBundle = await ctl.run("run", scratch.path("none"));
    assert.deepEqual([noBundle.status, noBundle.stderr.split("\n").length], [125, 3]);
    assert.equal((await ctl.run("run", "--log-driver", "nope", "--", "true")).status, 2);
    assert.equal((await ctl.run("run", "--memory", "many", "--", "true")).status, 2);
    assert.equal((await ctl.run("run")).status, 2);
    for (const folder of ["containers", "names", "runtimes/runc"]) {
      assert.deepEqual(readdirSync(join(ctl.state, folder)), [], folder);
    }
  });

  it("takes a name only once, and gives it back", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    await ctl.succeed("run", "-d", "--name", "one", "--", "sleep", "100");
    const second = await ctl.run("run", "-d", "--name", "one", "--", "sleep", "100");
    assert.equal(second.status, 1);
    assert.match(second.stderr, /the name one is taken/);
    await ctl.succeed("rm", "-f", "one");
    await ctl.succeed("run", "--name", "one", "--", "true");
  });

  it("kills what takes longer than --timeout", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    const { status, stderr } = await ctl.run(
      "run",
      "--name",
      "slow",
      // It begins when the container is made, and this is enough for it to be started.
      "--timeout",
      "4",
      "--",
      "sleep",
      "100",
    );
    assert.deepEqual([status, stderr], [255, "conmonctl: slow was killed: its time was up\n"]);
  });

  it("forwards signals", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    const script =
      "trap 'echo usr1' USR1; trap 'echo term; exit 9' TERM; echo ready; while :; do sleep 0.1; done";
    const command = ctl.start(["run", "--rm", "--", "sh", "-c", script]);
    await command.shows("ready\n");
    command.process.kill("SIGUSR1");
    await command.shows("usr1\n");
    command.process.kill("SIGTERM");
    const { status, stdout } = await command.end;
    assert.deepEqual([status, stdout], [9, "ready\nusr1\nterm\n"]);
  });

  it("takes everything back when it is interrupted before the container has begun", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    // A runtime that takes its time, as one does whose disk is slow: until the interrupt is there.
    const slow = scratch.path("slow-runc");
    const interrupted = join(scratch.temporary, "interrupted");
    const wait = `touch "$TMPDIR/creating"; until [ -e ${interrupted} ]; do sleep 0.05; done`;
    const script = `#!/bin/sh\ncase "$*" in *create*) ${wait};; esac\nexec runc "$@"\n`;
    writeFileSync(slow, script, { mode: 0o755 });
    const command = ctl.start(["run", "--name", "never", "--runtime", slow, "--", "sleep", "100"]);
    await appears(join(scratch.temporary, "creating"));
    command.process.kill("SIGINT");
    writeFileSync(interrupted, "");
    const { status, stderr } = await command.end;
    assert.deepEqual([status, stderr], [130, "conmonctl: interrupted\n"]);
    for (const folder of ["containers", "names", "runtimes/slow-runc"]) {
      assert.deepEqual(readdirSync(join(ctl.state, folder)), [], folder);
    }
  });

  it("kills a container that ignores Ctrl-C at the third one", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    const command = ctl.start([
      "run",
      "--",
      "sh",
      "-c",
      "trap 'echo no' INT; echo ready; while :; do sleep 0.1; done",
    ]);
    await command.shows("ready\n");
    command.process.kill("SIGINT");
    await command.shows("no\n");
    command.process.kill("SIGINT");
    await command.shows("no\nno\n");
    command.process.kill("SIGINT");
    assert.equal((await command.end).status, 137);
  });

  it("gives a container the network that was asked for, whatever its bundle says", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    const network = ["--", "readlink", "/proc/self/ns/net"];
    const own = readlinkSync("/proc/self/ns/net");
    assert.equal(await ctl.succeed("run", "--name", "host", "--network", "host", ...network), own);
    const { bundle } = await ctl.inspect("host");
    assert.equal(await ctl.succeed("run", bundle, ...network), own);
    assert.notEqual(await ctl.succeed("run", "--network", "none", bundle, ...network), own);
  });

  it("with --rm leaves nothing, even if it is killed itself", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const command = ctl.start([
      "run",
      "--rm",
      "--name",
      "gone",
      "--",
      "sh",
      "-c",
      "echo ready; sleep 0.5; exit 4",
    ]);
    await command.shows("ready\n");
    command.process.kill("SIGKILL");
    const log = await textOf(join(ctl.state, "events.jsonl"), (text) => text.includes('"remove"'));
    assert.match(log, /"exit".*"status":4/);
    assert.equal(existsSync(join(ctl.state, "names/gone")), false);
  });

  it("restarts what failed, with growing pauses, and shows the output of all runs", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    const { status, stdout } = await ctl.run(
      "run",
      "--name",
      "again",
      "--restart",
      "on-failure:2",
      "--",
      "sh",
      "-c",
      "echo run; exit 4",
    );
    assert.deepEqual([status, stdout], [4, "run\nrun\nrun\n"]);
    const { restarts, state } = await ctl.inspect("again");
    assert.deepEqual([restarts, state], [2, "exited"]);
    const events = readFileSync(join(ctl.state, "events.jsonl"), "utf8").trim().split("\n");
    const delays = events
      .map((line) => JSON.parse(line).delay)
      .filter((delay) => delay !== undefined);
    assert.equal(delays.length, 2);
    assert.ok(
      delays[0] > 0 && delays[0] <= 100 && delays[1] > 100 && delays[1] <= 200,
      String(delays),
    );
    assert.equal(await ctl.succeed("logs", "again"), "run\nrun\nrun");
  });

  it("does not restart what succeeded or was stopped", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    assert.equal(
      (await ctl.run("run", "--restart", "on-failure", "--name", "fine", "--", "true")).status,
      0,
    );
    assert.equal((await ctl.inspect("fine")).restarts, 0);
    await ctl.succeed("run", "-d", "--restart", "always", "--name", "steady", "--", "sleep", "100");
    await ctl.succeed("stop", "-t", "0", "steady");
    const { state, restarts } = await ctl.inspect("steady");
    assert.deepEqual([state, restarts], ["exited", 0]);
  });

  it("restarts what was killed", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    await ctl.succeed("run", "-d", "--restart", "always", "--name", "steady", "--", "sleep", "100");
    await ctl.succeed("kill", "steady");
    const log = join(ctl.state, "events.jsonl");
    await textOf(log, (text) => text.split('"start"').length === 3);
    const { state, restarts } = await ctl.inspect("steady");
    assert.deepEqual([state, restarts], ["running", 1]);
  });
});
