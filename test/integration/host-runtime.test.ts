/** The host runtime by itself: a container's life, what belongs to it, what goes wrong. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { chmodSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { type Bundle, makeBundle, type OciConfig } from "../support/bundle.ts";
import { gone, prepare } from "../support/host-place.ts";
import { isAlive, processesWith, waitUntilGone } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith("busybox");

describe("the host runtime", { skip }, () => {
  it("makes a process that does nothing until it is started, and follows it to its end", async (t) => {
    const { scratch, host, bundle, file } = prepare(t);
    const one = bundle('echo ran >> "$FILE"; exec sleep 1000', {
      change: (config) => {
        config.annotations = { colour: "red" };
      },
    });
    const pidFile = scratch.path("pid");
    const options = [`--bundle=${one.directory}`, "--pid-file", pidFile];
    await host.mustSucceed(["create", ...options, one.id]);
    const created = await host.state(one);
    assert.equal(created.status, "created");
    assert.equal(readFileSync(pidFile, "utf8"), String(created.pid));
    assert.equal(readFileSync(`/proc/${created.pid}/comm`, "utf8"), "host-init\n");
    assert.deepEqual(
      [created.id, created.bundle, created.rootfs, created.annotations],
      [one.id, one.directory, one.rootfs, { colour: "red" }],
    );
    assert.equal(existsSync(file), false);

    await host.start(one);
    assert.equal(await textOf(file), "ran\n");
    const running = await host.state(one);
    assert.deepEqual([running.status, running.pid], ["running", created.pid]);
    const [entry] = JSON.parse(await host.mustSucceed(["list", "--format=json"]));
    assert.deepEqual(entry, running);
    assert.match(
      await host.mustSucceed(["list"]),
      new RegExp(`^${one.id} +${created.pid} +running `, "m"),
    );
    assert.equal(await host.fault(["start", one.id]), "cannot start an already running container");
    const refusal = `cannot delete container ${one.id} that is not stopped: running`;
    assert.equal(await host.fault(["delete", one.id]), refusal);

    await host.mustSucceed(["kill", one.id, "SIGTERM"]);
    await gone({ host }, one);
    const stopped = await host.state(one);
    assert.deepEqual([stopped.status, stopped.pid], ["stopped", 0]);
    assert.equal(await host.fault(["kill", one.id, "0"]), "container not running");
    assert.equal(await host.fault(["start", one.id]), "cannot start a container that has stopped");
    assert.equal(
      await host.fault(["exec", one.id, "true"]),
      "exec failed: cannot exec in a stopped container",
    );
    await host.mustSucceed(["kill", "--all", one.id, "KILL"]);
    await host.mustSucceed(["delete", one.id]);
    assert.deepEqual(host.ids(), []);
    for (const command of ["state", "start", "kill", "delete"]) {
      assert.equal(await host.fault([command, one.id]), "container does not exist");
    }
    await host.mustSucceed(["delete", "--force", one.id]);
  });

  it("gives an ID to one of several that want it, and starts a process once", async (t) => {
    const { host, bundle, file } = prepare(t);
    const one = bundle('echo ran >> "$FILE"; exec sleep 1000');
    const args = ["create", `--bundle=${one.directory}`, one.id];
    const creates = await Promise.all([1, 2, 3, 4].map(() => host.call(args)));
    assert.deepEqual(creates.map(({ status }) => status).sort(), [0, 1, 1, 1]);
    const taken = creates.filter(({ stderr }) =>
      stderr.includes("container with given ID already exists"),
    );
    assert.equal(taken.length, 3);
    const starts = await Promise.all([1, 2, 3, 4].map(() => host.call(["start", one.id])));
    assert.deepEqual(starts.map(({ status }) => status).sort(), [0, 1, 1, 1]);
    await textOf(file);
    assert.equal((await host.state(one)).status, "running");
    assert.equal(readFileSync(file, "utf8"), "ran\n");
  });

  it("keeps state where a socket's path would be too long", async (t) => {
    const { scratch, host, bundle, file } = prepare(t);
    const global = [`--root=${scratch.path("x".repeat(200))}`];
    const one = bundle('echo ran >> "$FILE"; exec sleep 1000');
    await host.create(one, { global });
    await host.mustSucceed(["start", one.id], { global });
    assert.equal(await textOf(file), "ran\n");
    await host.mustSucceed(["delete", "--force", one.id], { global });
  });

  it("deletes what was never started", async (t) => {
    const { host, bundle, file } = prepare(t);
    const one = bundle('echo ran > "$FILE"');
    await host.create(one);
    const { pid } = await host.state(one);
    await host.mustSucceed(["delete", one.id]);
    assert.equal(isAlive(pid), false);
    assert.deepEqual([host.ids(), existsSync(file)], [[], false]);
  });

  it("says in runc's words why a program cannot be executed, and leaves nothing", async (t) => {
    const { scratch, host } = prepare(t);
    const text = scratch.path("text");
    writeFileSync(text, "no program");
    const cases: [Partial<OciConfig["process"]>, string][] = [
      [{ args: ["no-such"] }, 'exec: "no-such": executable file not found in $PATH'],
      [{ args: ["/no/such"] }, 'exec: "/no/such": stat /no/such: no such file or directory'],
      [{ args: [text] }, `exec: "${text}": permission denied`],
      [{ args: ["/usr"] }, 'exec: "/usr": permission denied'],
      [{ args: ["true"], env: [] }, 'exec: "true": executable file not found in $PATH'],
      [
        { args: ["true"], cwd: "/no/such" },
        'chdir to cwd ("/no/such") set in config.json failed: no such file or directory',
      ],
    ];
    for (const [change, reason] of cases) {
      const one = makeBundle(scratch, {
        args: ["true"],
        change: (config) => {
          Object.assign(config.process, change);
        },
      });
      assert.equal(
        await host.fault(["create", `--bundle=${one.directory}`, one.id]),
        `create failed: unable to start container process: ${reason}`,
      );
    }
    assert.deepEqual(host.ids(), []);
    assert.deepEqual(processesWith(scratch.id), []);
  });

  it("tells the one who starts a program that turns out to be none", async (t) => {
    const { scratch, host } = prepare(t);
    const script = scratch.path("script");
    writeFileSync(script, "neither a script nor a program");
    chmodSync(script, 0o755);
    const one = makeBundle(scratch, { args: [script] });
    await host.create(one);
    assert.equal(
      await host.fault(["start", one.id]),
      `unable to start container process: exec ${script}: exec format error`,
    );
    assert.equal((await host.state(one)).status, "stopped");
  });

  it("refuses what makes no sense", async (t) => {
    const { scratch, host, bundle } = prepare(t);
    const one = bundle("true");
    const withTerminal = bundle("true", { terminal: true });
    const create = (target: Bundle, ...args: string[]) => [
      "create",
      `--bundle=${target.directory}`,
      ...args,
    ];
    const cases: [string[], RegExp][] = [
      [[...create(one), "../x"], /invalid container ID format/],
      [[...create(one, "--console-socket=/x"), one.id], /but no terminal is asked for/],
      [[...create(withTerminal), one.id], /there is no --console-socket/],
      [
        [...create(withTerminal, "--console-socket=/no/such"), one.id],
        /cannot set up the terminal: .*ENOENT/,
      ],
      [
        [...create(one, "--preserve-fds=4000"), one.id],
        /descriptor \d+ is to be preserved, but is not open/,
      ],
      [[...create(one, "--pid-file=/no/such/file"), one.id], /ENOENT.*\/no\/such\/file/],
      [["create", "--bundle=/no/such", one.id], /specification file .*config.json not found/],
      [["create"], /"create" requires exactly 1 argument\(s\), got 0/],
      [["kill", "a", "b", "c"], /"kill" requires 1 to 2 argument\(s\), got 3/],
      [["kill", "a", "NOSUCH"], /unknown signal "NOSUCH"/],
      [["pause", "a"], /the host runtime has no pause: that takes a cgroup/],
      [["dance"], /there is no command "dance"/],
      [["state", "--loud", "a"], /flag provided but not defined: --loud/],
    ];
    for (const [args, message] of cases) assert.match(await host.fault(args), message);
    assert.deepEqual(host.ids(), []);
    assert.deepEqual(processesWith(scratch.id), []);
    const features = JSON.parse(await host.mustSucceed(["features"]));
    assert.equal(features.annotations["conmon-ts.host-runtime.isolation"], "none");
    assert.match(await host.mustSucceed(["--version"]), /^conmon-host-runtime version \S+\n/);
  });

  it("does not take another process for its own that has the pid by now", async (t) => {
    const { host, bundle } = prepare(t);
    // A start time is in hundredths of a second, less than it takes to make a container.
    const stranger = spawn("sleep", ["1000"], { stdio: "ignore" });
    t.after(() => stranger.kill("SIGKILL"));
    const one = bundle("exec sleep 1000");
    await host.create(one);
    await host.mustSucceed(["kill", one.id, "KILL"]);
    await gone({ host }, one);
    const path = join(host.root, one.id, "state.json");
    const state = JSON.parse(readFileSync(path, "utf8"));
    // As if the kernel had gone round all pids.
    writeFileSync(path, JSON.stringify({ ...state, pid: stranger.pid }));
    assert.equal((await host.state(one)).status, "stopped");
    assert.equal(await host.fault(["kill", one.id, "KILL"]), "container not running");
    await host.mustSucceed(["kill", "--all", one.id, "KILL"]);
    await host.mustSucceed(["delete", "--force", one.id]);
    assert.ok(isAlive(stranger.pid ?? 0));
  });
});

describe("what belongs to a container of the host runtime", { skip }, () => {
  it("is shown, gets signals for all, and does not outlive it", async (t) => {
    const place = prepare(t);
    const { scratch, host, bundle, file } = place;
    const one = bundle('sleep 1001 & sleep 1002 & setsid sleep 1003 & echo up > "$FILE"; wait');
    await host.create(one);
    await host.start(one);
    await textOf(file);
    await host.mustSucceed(["exec", "--detach", one.id, "sleep", "1004"]);
    const sleepers = [1, 2, 3, 4].map((i) => `sleep 100${i}`);
    // Who has been forked may not be that program yet.
    await waitUntilGone(() => {
      const there = processesWith(scratch.id).map(({ command }) => command);
      return sleepers.filter((command) => !there.includes(command));
    });
    const commands = () =>
      host.mustSucceed(["ps", one.id]).then((text) => text.match(/sleep 100\d$/gm)?.sort());
    assert.deepEqual(await commands(), sleepers);
    const pids = JSON.parse(await host.mustSucceed(["ps", "--format", "json", one.id]));
    assert.equal(pids.length, 5);
    await host.mustSucceed(["kill", one.id, "KILL"]);
    await gone(place, one);
    // Who has left the session and has no parent any more cannot be found: the test's end does that.
    assert.deepEqual(
      await commands(),
      [1, 2, 4].map((i) => `sleep 100${i}`),
    );
    await host.mustSucceed(["delete", one.id]);
    const left = processesWith(scratch.id);
    assert.deepEqual(
      left.map(({ command }) => command),
      ["sleep 1003"],
    );
    for (const { pid } of left) process.kill(pid, "SIGKILL");
  });

  it("is killed with it by force", async (t) => {
    const { scratch, host, bundle, file } = prepare(t);
    const one = bundle('setsid sleep 1003 & sleep 1001 & echo up > "$FILE"; wait');
    await host.create(one);
    await host.start(one);
    await textOf(file);
    await host.mustSucceed(["kill", "--all", one.id, "STOP"]);
    await host.mustSucceed(["delete", "--force", one.id]);
    assert.deepEqual(
      processesWith(scratch.id).map(({ command }) => command),
      [],
    );
  });
});

describe("the warning of the host runtime", { skip }, () => {
  const loud = { environment: { CONMON_TS_HOST_RUNTIME: "" } };

  it("says once, on stderr, what a container would have and this one has not", async (t) => {
    const { host, bundle } = prepare(t);
    const one = bundle("exec sleep 1000");
    const { stderr } = await host.call(["create", `--bundle=${one.directory}`, one.id], loud);
    assert.match(
      stderr,
      /^time="\S+" level=warning msg="the host runtime isolates nothing: \S+ runs as a plain process of the host; ignored: the root file system \S+, namespaces \(pid, ipc, uts, mount, network\), 4 mounts, capabilities"\n$/,
    );
    for (const args of [
      ["start", one.id],
      ["exec", one.id, "true"],
    ]) {
      assert.equal((await host.call(args, loud)).stderr, "");
    }
  });

  it("goes to the log where there is one, with errors on stderr as well", async (t) => {
    const { scratch, host, bundle } = prepare(t);
    const log = scratch.path("runtime.log");
    const options = { ...loud, global: [`--root=${host.root}`, "--log", log, "--log-format=json"] };
    const one = bundle("true");
    const args = ["create", `--bundle=${one.directory}`, one.id];
    assert.equal((await host.call(args, options)).stderr, "");
    assert.equal(
      (await host.call(args, options)).stderr,
      "create failed: container with given ID already exists\n",
    );
    const lines = readFileSync(log, "utf8")
      .trim()
      .split("\n")
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines.map(({ level }) => level),
      ["warning", "error"],
    );
    assert.equal(lines[1].msg, "create failed: container with given ID already exists");
  });

  it("is not given where the bundle says so", async (t) => {
    const { host, bundle } = prepare(t);
    const one = bundle("true", {
      change: (config) => {
        config.annotations = { "conmon-ts.host-runtime": "quiet" };
      },
    });
    const args = ["create", `--bundle=${one.directory}`, one.id];
    assert.equal((await host.call(args, loud)).stderr, "");
  });
});
