/** The host runtime by itself: its commands, what a process gets, and what goes wrong. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import {
  chmodSync,
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { spawn as spawnInTerminal } from "node-pty";
import { type Bundle, type BundleOptions, makeBundle, type OciConfig } from "../support/bundle.ts";
import { type CallOptions, HostRuntime } from "../support/host-runtime.ts";
import { isAlive, processesWith, waitUntilGone } from "../support/processes.ts";
import { hostRuntimeProgram, unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { inTime, textOf } from "../support/waiting.ts";

const skip = unlessRootWith("busybox", "setpriv");
const NOBODY = 65534;

interface Place {
  readonly scratch: Scratch;
  readonly host: HostRuntime;
  bundle(script: string, options?: Partial<BundleOptions>): Bundle;
  /** Where a container can write something for the test to read. */
  readonly file: string;
}

function prepare(t: TestContext): Place {
  const scratch = makeScratch(t);
  const file = scratch.path("written");
  const bundle = (script: string, options: Partial<BundleOptions> = {}) =>
    makeBundle(scratch, { args: ["sh", "-c", script], env: [`FILE=${file}`], ...options });
  return { scratch, host: new HostRuntime(scratch), bundle, file };
}

/** Has a container run to its end and returns its output. */
async function outputOf(place: Place, bundle: Bundle, options: CallOptions = {}): Promise<string> {
  const path = place.scratch.path(place.scratch.uniqueName());
  const output = openSync(path, "a");
  const [stdin = "ignore", , , ...more] = options.stdio ?? [];
  await place.host.create(bundle, { ...options, stdio: [stdin, output, output, ...more] });
  closeSync(output);
  await place.host.start(bundle);
  await gone(place, bundle);
  return readFileSync(path, "utf8");
}

/** Resolves when a container's process has ended. */
async function gone({ host }: Pick<Place, "host">, bundle: Bundle): Promise<void> {
  const { pid } = await host.state(bundle);
  await waitUntilGone(() => (pid > 0 && isAlive(pid) ? [pid] : []));
}

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
    const commands = () =>
      host.mustSucceed(["ps", one.id]).then((text) => text.match(/sleep 100\d$/gm)?.sort());
    assert.deepEqual(
      await commands(),
      [1, 2, 3, 4].map((i) => `sleep 100${i}`),
    );
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

describe("a process of the host runtime", { skip }, () => {
  it("has the arguments, variables, directory and nothing of the runtime's own", async (t) => {
    const place = prepare(t);
    const one = makeBundle(place.scratch, {
      args: [
        "sh",
        "-c",
        'echo "$0|$1|$#"; pwd; umask; env; ls -l /proc/$$/fd | grep -c -- "->"',
        "zero",
        "ü 1",
        "",
      ],
      env: ["EMPTY=", "WITH=a=b", "odd.name=1"],
      change: (config) => {
        config.process.cwd = "/usr";
      },
    });
    const lines = (await outputOf(place, one)).split("\n");
    assert.deepEqual(lines.slice(0, 3), ["zero|ü 1|2", "/usr", "0022"]);
    const mark = `CONMON_TS_TEST=${place.scratch.id}`;
    const variables = lines.slice(3, -2).filter((line) => !/^(PWD|OLDPWD|SHLVL|_)=/.test(line));
    // A shell does not hand on names that it cannot have itself.
    const expected = ["EMPTY=", "HOME=/root", "PATH=/bin", "TERM=xterm", "WITH=a=b", mark];
    assert.deepEqual(variables.filter((line) => !line.startsWith("odd")).sort(), expected.sort());
    assert.equal(lines.at(-2), "3", "descriptors");
  });

  it("is its session's leader, and has the signals' defaults", async (t) => {
    const place = prepare(t);
    const one = makeBundle(place.scratch, {
      args: ["cat", "/proc/self/stat", "/proc/self/status"],
    });
    const output = await outputOf(place, one);
    const [pid, , , , group, session] = output.split(" ");
    assert.deepEqual([group, session], [pid, pid]);
    for (const name of ["SigBlk", "SigIgn"]) {
      assert.match(output, new RegExp(`^${name}:\\s+0+$`, "m"), name);
    }
  });

  it("has the caller's limit of open files, unless it asks for others", async (t) => {
    const place = prepare(t);
    const wrapper = ["sh", "-c", 'ulimit -S -n 777; "$@"; exit $?', "sh"];
    const show = "ulimit -S -n; ulimit -H -c";
    assert.match(await outputOf(place, place.bundle(show), { wrapper }), /^777\n/);
    const change = (config: OciConfig) => {
      config.process.rlimits = [
        { type: "RLIMIT_NOFILE", soft: 99, hard: 100 },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ];
    };
    assert.equal(await outputOf(place, place.bundle(show, { change })), "99\n0\n");
  });

  it("has the user, groups, file mode mask and OOM score that it asks for", async (t) => {
    const place = prepare(t);
    const one = place.bundle(
      "id -u; id -g; id -G; umask; cat /proc/self/oom_score_adj; echo $HOME; grep NoNew /proc/self/status",
      {
        change: ({ process }) => {
          process.user = {
            uid: NOBODY,
            gid: NOBODY,
            additionalGids: [7, 8],
            umask: 0o77,
          } as typeof process.user;
          process.oomScoreAdj = 321;
        },
      },
    );
    assert.equal(
      await outputOf(place, one),
      `${NOBODY}\n${NOBODY}\n${NOBODY} 7 8\n0077\n321\n/nonexistent\nNoNewPrivs:\t1\n`,
    );
  });

  it("may only be what its user may be who is not root", async (t) => {
    const { scratch, bundle } = prepare(t);
    const runtimeDirectory = scratch.path("run-user");
    mkdirSync(runtimeDirectory, { mode: 0o700 });
    const ids = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
    const wrapper = ["setpriv", ...ids];
    execFileSync("chown", ["-R", `${NOBODY}:${NOBODY}`, scratch.directory]);
    const options: CallOptions = {
      wrapper,
      global: [],
      environment: { XDG_RUNTIME_DIR: runtimeDirectory },
    };
    const host = new HostRuntime(scratch);
    const asRoot = bundle("true");
    assert.equal(
      await host.fault(["create", `--bundle=${asRoot.directory}`, asRoot.id], options),
      `create failed: cannot run a process as user 0: only root can change that, and this is user ${NOBODY}, group ${NOBODY}`,
    );
    const own = bundle('id -u > "$FILE"; exec sleep 1000', {
      change: ({ process }) => {
        process.user = { uid: NOBODY, gid: NOBODY };
        process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 50, hard: 2 ** 40 }];
      },
    });
    await host.create(own, options);
    const state = JSON.parse(await host.mustSucceed(["state", own.id], options));
    assert.equal(state.status, "created");
    assert.deepEqual(readdirSync(join(runtimeDirectory, "conmon-ts/host-runtime")), [own.id]);
    await host.mustSucceed(["start", own.id], options);
    assert.equal(await textOf(scratch.path("written")), `${NOBODY}\n`);
    await host.mustSucceed(["exec", own.id, "true"], options);
    assert.match(
      await host.fault(["exec", "--user=0", own.id, "true"], options),
      /as user 0: only root/,
    );
    await host.mustSucceed(["delete", "--force", own.id], options);
    assert.match(
      await host.fault(["list"], { wrapper, global: [] }),
      /XDG_RUNTIME_DIR is not set: --root has to say where to keep state/,
    );
  });

  it("becomes the host's user that a user namespace would have made it", async (t) => {
    const place = prepare(t);
    const mapping = [{ containerID: 0, hostID: NOBODY, size: 1 }];
    const one = place.bundle("id -u; id -g", {
      change: (config) => {
        config.linux.namespaces.push({ type: "user" });
        Object.assign(config.linux, { uidMappings: mapping, gidMappings: mapping });
      },
    });
    assert.equal(await outputOf(place, one), `${NOBODY}\n${NOBODY}\n`);
  });

  it("gets descriptors to preserve, and those of a socket activation with its own pid", async (t) => {
    const place = prepare(t);
    const files = ["a", "b", "c"].map((name) => {
      const path = place.scratch.path(name);
      writeFileSync(path, `${name}\n`);
      return openSync(path, "r");
    });
    const script =
      'cat <&3; cat <&4; cat <&5; echo "$LISTEN_FDS $LISTEN_FDNAMES"; [ "$LISTEN_PID" = $$ ] && echo mine';
    const one = place.bundle(script);
    // LISTEN_PID has to be the runtime's own.
    const wrapper = ["sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh"];
    const output = openSync(place.file, "a");
    await place.host.mustSucceed(
      ["create", `--bundle=${one.directory}`, "--preserve-fds", "1", one.id],
      {
        wrapper,
        environment: { LISTEN_FDS: "2", LISTEN_FDNAMES: "x:y" },
        stdio: ["ignore", output, output, ...files],
      },
    );
    [...files, output].forEach(closeSync);
    await place.host.start(one);
    assert.equal(
      await textOf(place.file, (text) => text.includes("mine")),
      "a\nb\nc\n2 x:y\nmine\n",
    );
  });
});

describe("exec of the host runtime", { skip }, () => {
  it("waits for the command and has its output and status", async (t) => {
    const { scratch, host, bundle } = prepare(t);
    const one = bundle("exec sleep 1000");
    await host.create(one);
    await host.start(one);
    const run = (...args: string[]) => host.call(["exec", ...args]);
    const plain = await run(one.id, "sh", "-c", "echo out; echo err >&2; pwd; exit 42");
    assert.deepEqual([plain.status, plain.stdout, plain.stderr], [42, "out\n/\n", "err\n"]);
    assert.equal((await run(one.id, "sh", "-c", "kill -9 $$")).status, 137);
    const options = ["--env", "A=1", "--cwd=/usr", "--user", `${NOBODY}:7`, "-g", "9"];
    const special = await run(...options, one.id, "sh", "-c", "echo $A; pwd; id -u; id -G");
    assert.equal(special.stdout, `1\n/usr\n${NOBODY}\n7 9\n`);
    const spec = scratch.path("process.json");
    writeFileSync(spec, JSON.stringify({ args: ["pwd"], cwd: "/usr", env: ["PATH=/bin"] }));
    assert.equal((await run("--process", spec, one.id)).stdout, "/usr\n");
    const missing = await run(one.id, "no-such");
    assert.equal(missing.status, 255);
    assert.match(missing.stderr, /exec: \\"no-such\\": executable file not found in \$PATH/);
    assert.match(
      (await run("--tty", one.id, "true")).stderr,
      /a terminal was asked for, but stdin is none/,
    );
  });

  it("passes signals on while it waits", async (t) => {
    const { scratch, host, bundle, file } = prepare(t);
    const one = bundle("exec sleep 1000");
    await host.create(one);
    await host.start(one);
    const script = `trap 'exit 9' TERM; echo up > ${file}; while :; do sleep 0.05; done`;
    const waiting = host.call(["exec", one.id, "sh", "-c", script]);
    await textOf(file);
    const [runtime] = processesWith(scratch.id).filter(({ command }) =>
      command.includes(`${hostRuntimeProgram} --root`),
    );
    process.kill(runtime?.pid ?? 0, "SIGTERM");
    assert.equal((await waiting).status, 9);
  });

  it("has the caller's own terminal where it waits there, and is who is interrupted", async (t) => {
    const { host, bundle } = prepare(t);
    const one = bundle("exec sleep 1000");
    await host.create(one);
    await host.start(one);
    const script =
      "trap 'echo int; exit 9' INT; stty size; tty; echo up; while :; do sleep 0.05; done";
    const args = [`--root=${host.root}`, "exec", "--tty", one.id, "sh", "-c", script];
    const terminal = spawnInTerminal(hostRuntimeProgram, args, { rows: 12, cols: 34 });
    let shown = "";
    const status = new Promise<number>((resolve) =>
      terminal.onExit((end) => resolve(end.exitCode)),
    );
    terminal.onData((text) => {
      const before = shown;
      shown += text;
      if (shown.includes("up") && !before.includes("up")) terminal.write("\x03");
    });
    assert.equal(await inTime(status, () => `the end; shown: ${shown}`), 9);
    assert.match(shown, /^12 34\r\n\/dev\/pts\/\d+\r\nup\r\n\^Cint\r\n$/);
  });

  it("does not remember those that have ended", async (t) => {
    const { host, bundle } = prepare(t);
    const one = bundle("exec sleep 1000");
    await host.create(one);
    await host.start(one);
    for (let i = 0; i < 5; i++) await host.mustSucceed(["exec", one.id, "true"]);
    assert.equal(readdirSync(join(host.root, one.id, "execs")).length, 1);
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

describe("hooks of the host runtime", { skip }, () => {
  const hook = (script: string, more: object = {}) => ({
    path: "/bin/sh",
    args: ["sh", "-c", script],
    env: ["PATH=/bin", "OWN=1"],
    ...more,
  });
  const withHooks = (hooks: Record<string, unknown[]>) => ({
    change: (config: OciConfig) => {
      config.hooks = hooks;
    },
  });

  it("are run in the order of a container's life, with its state on stdin", async (t) => {
    const place = prepare(t);
    const { scratch, host, bundle, file } = place;
    const kinds = [
      "prestart",
      "createRuntime",
      "createContainer",
      "startContainer",
      "poststart",
      "poststop",
    ];
    const note = (kind: string) => hook(`echo "${kind} $OWN $(cat)" >> ${scratch.path("hooks")}`);
    const one = bundle(
      'echo ran > "$FILE"',
      withHooks(Object.fromEntries(kinds.map((kind) => [kind, [note(kind)]]))),
    );
    await host.create(one);
    const { pid } = await host.state(one);
    await host.start(one);
    await textOf(file);
    await gone(place, one);
    await host.mustSucceed(["delete", one.id]);
    const lines = readFileSync(scratch.path("hooks"), "utf8").trim().split("\n");
    const seen = lines.map((line) => {
      const [, kind, own, json] = /^(\S+) (\S+) (.*)$/.exec(line) ?? [];
      const state = JSON.parse(json ?? "");
      return [kind, own, state.id === one.id, state.status, state.pid];
    });
    const statuses = ["creating", "creating", "creating", "created", "running", "stopped"];
    const expected = kinds.map((kind, i) => [kind, "1", true, statuses[i], i === 5 ? 0 : pid]);
    assert.deepEqual(seen, expected);
  });

  it("that fail before the start make it fail, with what they said", async (t) => {
    const { scratch, host, bundle, file } = prepare(t);
    const bad = hook("echo out; echo err >&2; exit 3");
    const stop = hook(`echo stopped >> ${file}`);
    const one = bundle("true", withHooks({ createRuntime: [hook("true"), bad], poststop: [stop] }));
    assert.equal(
      await host.fault(["create", `--bundle=${one.directory}`, one.id]),
      "create failed: error running createRuntime hook #1: /bin/sh: exit status 3, stdout: out, stderr: err",
    );
    assert.equal(readFileSync(file, "utf8"), "stopped\n");
    assert.deepEqual([host.ids(), processesWith(scratch.id)], [[], []]);

    const slow = bundle("true", withHooks({ prestart: [hook("exec sleep 1000", { timeout: 1 })] }));
    assert.match(
      await host.fault(["create", `--bundle=${slow.directory}`, slow.id]),
      /prestart hook #0: \/bin\/sh took more than 1 s/,
    );

    const late = bundle("true", withHooks({ startContainer: [hook("exit 1")] }));
    await host.create(late);
    assert.match(
      await host.fault(["start", late.id]),
      /startContainer hook #0: \/bin\/sh: exit status 1/,
    );
    assert.equal((await host.state(late)).status, "created");
  });

  it("that fail after the start are a warning", async (t) => {
    const { host, bundle } = prepare(t);
    const one = bundle(
      "exec sleep 1000",
      withHooks({ poststart: [hook("exit 1")], poststop: [hook("exit 2")] }),
    );
    await host.create(one);
    const started = await host.call(["start", one.id]);
    assert.equal(started.status, 0);
    assert.match(
      started.stderr,
      /level=warning msg="error running poststart hook #0: .*exit status 1/,
    );
    const deleted = await host.call(["delete", "--force", one.id]);
    assert.equal(deleted.status, 0);
    assert.match(
      deleted.stderr,
      /level=warning msg="error running poststop hook #0: .*exit status 2/,
    );
  });

  it("that kill the runtime leave no process that nobody knows", async (t) => {
    const { scratch, host, bundle } = prepare(t);
    const one = bundle("true", withHooks({ prestart: [hook("kill -9 $PPID")] }));
    const { signal } = await host.call(["create", `--bundle=${one.directory}`, one.id]);
    assert.equal(signal, "SIGKILL");
    assert.deepEqual(await waitUntilGone(() => processesWith(scratch.id)), []);
    assert.equal((await host.state(one)).status, "stopped");
    await host.mustSucceed(["delete", one.id]);
  });

  it("that kill the one who starts leave the container for the next one to start", async (t) => {
    const { scratch, host, bundle, file } = prepare(t);
    const once = scratch.path("once");
    const one = bundle(
      'echo ran >> "$FILE"; exec sleep 1000',
      withHooks({ startContainer: [hook(`[ -e ${once} ] || { touch ${once}; kill -9 $PPID; }`)] }),
    );
    await host.create(one);
    assert.equal((await host.call(["start", one.id])).signal, "SIGKILL");
    assert.equal((await host.state(one)).status, "created");
    assert.equal(existsSync(file), false);
    await host.start(one);
    assert.equal(await textOf(file), "ran\n");
  });
});
