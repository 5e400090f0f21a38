/** The shim alone, with test code in conmond's place: every message, and what breaks the protocol. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  writeFileSync,
} from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { flagSpellings, OPTION_TABLE } from "../../src/session/option-table.ts";
import {
  encodeDrop,
  encodeKeep,
  encodeReport,
  encodeSpawn,
  encodeWatch,
  REQUEST,
  SLOT,
} from "../../src/shim/messages.ts";
import * as sys from "../../src/sys/mod.ts";
import {
  type HostedSession,
  type RunningShim,
  type RunOptions,
  SHIMS,
  ShimHost,
} from "../support/shim-host.ts";
import { inTime } from "../support/waiting.ts";

const SIGTERM = 15;

/** Reads a non-blocking descriptor to its end. */
async function readAll(fd: number): Promise<string> {
  const buffer = Buffer.alloc(65536);
  let text = "";
  await inTime(
    new Promise<void>((resolve) => {
      const readiness = new sys.Readiness(fd, () => {
        const count = sys.read(fd, buffer, 0, buffer.length);
        if (count > 0) text += buffer.toString("latin1", 0, count);
        if (count === 0) {
          readiness.close();
          resolve();
        }
      });
      readiness.watch(sys.READABLE);
    }),
    "the end of a pipe",
  );
  sys.close(fd);
  return text;
}

/** Resolves when nobody has the other end of a pipe open any more. */
function readersGone(writeEnd: number): Promise<void> {
  return new Promise((resolve) => {
    const readiness = new sys.Readiness(writeEnd, () => {
      try {
        sys.write(writeEnd, Buffer.alloc(1), 0, 1);
      } catch {
        readiness.close();
        sys.close(writeEnd);
        resolve();
      }
    });
    readiness.watch(sys.DISCONNECT);
  });
}

for (const [build, shim] of Object.entries(SHIMS)) {
  describe(`the ${build} shim`, () => {
    let host: ShimHost;
    const open: number[] = [];

    beforeEach(() => {
      host = new ShimHost(shim);
    });
    afterEach(() => {
      host.close();
      for (const fd of open.splice(0)) sys.close(fd);
    });

    async function begin(
      options: RunOptions = {},
    ): Promise<{ shim: RunningShim; session: HostedSession; pid: number }> {
      const running = host.start(options);
      const session = await host.session();
      const { hello, descriptors } = await session.next("hello");
      open.push(...descriptors.values());
      return { shim: running, session, pid: hello.shimPid };
    }

    /** Released, with a runtime that runs `script`. */
    async function run(script: string, options: RunOptions = {}) {
      const begun = await begin(options);
      begun.session.connection.release(false);
      begun.session.connection.spawn("runtime", ["/bin/sh", "-c", script], {
        pipeStdout: true,
        pipeStderr: true,
      });
      const spawned = await begun.session.next("spawned");
      return { ...begun, ...spawned, runtimePid: spawned.pid, monitorPid: begun.pid };
    }

    function output(descriptors: Map<number, number>, slot: number): Promise<string> {
      const fd = descriptors.get(slot);
      assert.ok(fd !== undefined, `no descriptor came for slot ${slot}`);
      return readAll(fd);
    }

    it("answers --version by itself, our own version on a later line", async () => {
      const { stdout, status } = spawnSync(shim, ["--version"], { encoding: "utf8", env: {} });
      assert.match(stdout, /^conmon version 2\.2\.1\ncommit: \S+\nconmon-ts \d+\.\d+\.\d+\n$/);
      assert.equal(status, 0);
    });

    it("hands over arguments, environment and working directory, whatever their size", async () => {
      // More than the default limit of the stack allows, made by a shell that has raised it.
      const script =
        'ulimit -s 65536; v=$(head -c 105000 /dev/zero | tr "\\0" x); ' +
        'for i in $(seq 20); do export LARGE_$i=$v; done; exec "$@"';
      const running = host.start({
        arguments: ["-c", "x", "", "ü", "a b"],
        environment: { PATH: "/usr/bin:/bin" },
        wrapper: ["/bin/sh", "-c", script, "sh"],
      });
      const session = await host.session();
      const { context, hello } = await session.next("hello");
      assert.deepEqual(context.arguments, ["-c", "x", "", "ü", "a b"]);
      assert.equal(context.workingDirectory, host.directory);
      for (let i = 1; i <= 20; i++) {
        assert.equal(context.environment.get(`LARGE_${i}`), "x".repeat(105_000));
      }
      assert.equal(hello.callerPid, running.process.pid);
      assert.equal(hello.resumed, false);
      session.connection.exit(0);
      await running.ended;
    });

    it("has no working directory where no path leads to it any more", async () => {
      const script = 'mount -t tmpfs none . && cd "$PWD" && umount -l . && exec "$@"';
      const running = host.start({ wrapper: ["unshare", "-m", "/bin/sh", "-c", script, "sh"] });
      const session = await host.session();
      const { context } = await session.next("hello");
      assert.equal(context.workingDirectory, "");
      session.connection.exit(0);
      await running.ended;
    });

    it("sees --sync exactly where it is an option", async () => {
      const { long, short } = flagSpellings();
      const flags = new Set([
        ...long.map((name) => `--${name}`),
        ...[...short].map((letter) => `-${letter}`),
      ]);
      const spellings = OPTION_TABLE.flatMap((entry) => [
        `--${entry.long}`,
        ...(entry.short ? [`-${entry.short}`] : []),
      ]);
      const cases: [string[], boolean][] = [
        [["--sync"], true],
        [["--", "--sync"], false],
        [["-it", "--sync"], true],
        [["-ci", "--sync"], false],
        [["--cid=--sync"], false],
        [["--cid=x", "--sync"], true],
        [["positional", "--sync"], true],
        [["-", "--sync"], true],
      ];
      for (const spelling of spellings) {
        if (spelling === "--version" || spelling === "--sync") continue;
        cases.push([[spelling, "--sync"], flags.has(spelling)]);
      }
      for (const [argv, expected] of cases) {
        const running = host.start({ arguments: argv });
        const session = await host.session();
        const { hello } = await session.next("hello");
        assert.equal(hello.sync, expected, `sync for ${argv.join(" ")}`);
        session.connection.exit(0);
        await running.ended;
      }
    });

    it("leaves with the status and the texts it is given before the release", async () => {
      const { shim: running, session } = await begin();
      session.connection.tell("stdout", "to stdout\n");
      session.connection.tell("stderr", `${"long ".repeat(3000)}end\n`);
      session.connection.exit(7);
      assert.deepEqual(await running.ended, { code: 7, signal: null });
      assert.equal(running.stdout(), "to stdout\n");
      assert.equal(running.stderr(), `${"long ".repeat(3000)}end\n`);
      await session.next("lost");
    });

    it("lets the caller go with status 0 and keeps nothing of its stdio", async () => {
      const { shim: running, session, pid } = await begin();
      session.connection.release(false);
      // "close" means that nobody holds the caller's stdout and stderr any more.
      assert.deepEqual(await running.ended, { code: 0, signal: null });
      assert.notEqual(pid, running.process.pid);
      for (const fd of [0, 1, 2]) assert.equal(readlinkSync(`/proc/${pid}/fd/${fd}`), "/dev/null");
      const [, sid] = readFileSync(`/proc/${pid}/stat`, "utf8").match(/\) \S \d+ \d+ (\d+)/) ?? [];
      assert.equal(Number(sid), pid, "it is the leader of a session of its own");
      session.connection.exit(0);
      await session.next("lost");
    });

    it("stays the process that the caller started with --sync, and leaves with the container's status", async () => {
      const { shim: running, session, pid } = await begin({ arguments: ["--sync"] });
      assert.equal(pid, running.process.pid);
      session.connection.release(false);
      session.connection.exit(42);
      assert.deepEqual(await running.ended, { code: 42, signal: null });
    });

    it("forks nothing before the start pipe is written to", async () => {
      const [readEnd, writeEnd] = sys.pipe();
      const running = host.start({
        environment: { _OCI_STARTPIPE: "3" },
        stdio: ["ignore", "pipe", "pipe", readEnd],
      });
      sys.close(readEnd);
      const pid = running.process.pid;
      // It is about to read the pipe: whatever it forks before that would be there by then.
      await inTime(
        (async () => {
          while (!readFileSync(`/proc/${pid}/syscall`, "utf8").startsWith("0 0x3 "))
            await new Promise(setImmediate);
        })(),
        "the shim to come to read its start pipe",
      );
      assert.equal(readFileSync(`/proc/${pid}/task/${pid}/children`, "utf8"), "");
      sys.write(writeEnd, Buffer.from("go"), 0, 2);
      const session = await host.session();
      const { descriptors } = await session.next("hello");
      assert.ok(descriptors.has(SLOT.startPipe));
      open.push(...descriptors.values(), writeEnd);
      session.connection.exit(0);
      await running.ended;
    });

    it("starts as well when the start pipe is closed without a word", async () => {
      const [readEnd, writeEnd] = sys.pipe();
      const running = host.start({
        environment: { _OCI_STARTPIPE: "3" },
        stdio: ["ignore", "pipe", "pipe", readEnd],
      });
      sys.close(readEnd);
      sys.close(writeEnd);
      const session = await host.session();
      open.push(...(await session.next("hello")).descriptors.values());
      session.connection.exit(0);
      assert.equal((await running.ended).code, 0);
    });

    it("names a pipe variable that does not hold an open descriptor", async () => {
      for (const value of ["x", "", "-1", "99", "3x", "99999999999999999999"]) {
        const { status, stderr } = spawnSync(shim, [], {
          encoding: "utf8",
          env: { _OCI_SYNCPIPE: value },
        });
        assert.equal(status, 1, `status for ${value}`);
        assert.match(stderr, /^\[conmon:e\]: .*_OCI_SYNCPIPE.*\n$/, `text for ${value}`);
      }
    });

    it("starts the runtime with pipes that a container user can reopen", async () => {
      const { session, descriptors } = await run(
        "stat -L -c %a /proc/self/fd/1 /proc/self/fd/2; echo err >&2; readlink /proc/self/fd/0",
      );
      assert.equal(await output(descriptors, SLOT.stdout), "777\n777\n/dev/null\n");
      assert.equal(await output(descriptors, SLOT.stderr), "err\n");
      const exited = await session.next("exited");
      assert.deepEqual(exited.ending, { code: 0 });
      session.connection.exit(0);
      await session.next("lost");
    });

    it("gives the runtime the caller's environment, signal mask and descriptors, and none of its own", async () => {
      const extra = openSync("/etc/hostname", "r");
      const { session, descriptors } = await run(
        "env | grep -c ^CALLERS; ls -l /proc/self/fd | grep -c hostname; ls -l /proc/self/fd | grep -cE 'socket|anon_inode|memfd'; grep -E 'SigBlk|SigIgn' /proc/self/status",
        {
          environment: { CALLERS: "1", PATH: "/usr/bin:/bin" },
          stdio: ["ignore", "pipe", "pipe", extra],
        },
      );
      closeSync(extra);
      const text = await output(descriptors, SLOT.stdout);
      assert.match(text, /^1\n1\n0\nSigBlk:\t0{16}\nSigIgn:\t0{16}\n$/);
      open.push(descriptors.get(SLOT.stderr) ?? -1);
      await session.next("exited");
      session.connection.exit(0);
      await session.next("lost");
    });

    it("makes LISTEN_PID the runtime's own pid where it was the caller's, and where it is told to", async () => {
      for (const [replace, given, same] of [
        [false, "1", false],
        [true, "1", true],
      ] as const) {
        const { session } = await begin({ environment: { LISTEN_PID: given } });
        session.connection.release(false);
        session.connection.spawn("runtime", ["/bin/sh", "-c", "echo $$ $LISTEN_PID"], {
          pipeStdout: true,
          replaceListenPid: replace,
        });
        const { descriptors } = await session.next("spawned");
        const [own, listen] = (await output(descriptors, SLOT.stdout)).trim().split(" ");
        assert.equal(own === listen, same);
        if (!same) assert.equal(listen, given);
        await session.next("exited");
        session.connection.exit(0);
        await session.next("lost");
      }
    });

    it("says why a runtime cannot be executed", async () => {
      const { session } = await begin();
      session.connection.release(false);
      session.connection.spawn("runtime", ["/no/such/runtime"], { pipeStderr: true });
      const { descriptors } = await session.next("spawned");
      assert.match(
        await output(descriptors, SLOT.stderr),
        /^\[conmon:e\]: cannot execute \/no\/such\/runtime: No such file or directory\n$/,
      );
      assert.deepEqual((await session.next("exited")).ending, { code: 127 });
      session.connection.exit(1);
      await session.next("lost");
    });

    it("keeps the container process's status until it is asked to watch, and then tells it", async () => {
      const { session } = await begin();
      session.connection.release(false);
      // The runtime ends before its child, which is then the shim's; the child waits for the end of stdin.
      session.connection.spawn(
        "runtime",
        ["/bin/sh", "-c", "exec 3<&0; { read x <&3; exit 42; } & echo $!"],
        {
          pipeStdin: true,
          pipeStdout: true,
        },
      );
      const { descriptors } = await session.next("spawned");
      await session.next("exited");
      const buffer = Buffer.alloc(100);
      const stdout = descriptors.get(SLOT.stdout) ?? -1;
      const pid = Number(buffer.toString("latin1", 0, sys.read(stdout, buffer, 0, 100)));
      session.connection.drop(SLOT.stdin);
      sys.close(descriptors.get(SLOT.stdin) ?? -1);
      // Nobody writes to its stdout any more: it has ended, and nobody has asked for its status yet.
      await readAll(stdout);
      session.connection.watch(pid);
      const exited = await session.next("exited");
      assert.equal(exited.role, "container");
      assert.deepEqual(exited.ending, { code: 42 });
      session.connection.exit(42);
      await session.next("lost");
    });

    it("tells the end of a container process that is nobody's child here", async () => {
      const { session, descriptors } = await run("true");
      open.push(...descriptors.values());
      await session.next("exited");
      const stranger = spawnSync("/bin/sh", ["-c", "sleep 100 >/dev/null 2>&1 & echo $!"], {
        encoding: "utf8",
      });
      const pid = Number(stranger.stdout);
      session.connection.watch(pid);
      process.kill(pid, "SIGKILL");
      const exited = await session.next("exited");
      assert.deepEqual([exited.role, exited.pid, exited.ending], ["container", pid, "unknown"]);
      session.connection.exit(0);
      await session.next("lost");
    });

    it("hands SIGTERM, SIGINT and SIGQUIT to the runtime, then to the container process, else to nobody", async () => {
      const script = `trap 'echo runtime got TERM; exit 3' TERM; echo ready; while :; do sleep 1; done`;
      const { session, descriptors, monitorPid } = await run(script);
      const stdout = descriptors.get(SLOT.stdout) ?? -1;
      const buffer = Buffer.alloc(100);
      const ready = new Promise<void>((resolve) => {
        const readiness = new sys.Readiness(stdout, () => {
          sys.read(stdout, buffer, 0, 100);
          readiness.close();
          resolve();
        });
        readiness.watch(sys.READABLE);
      });
      await inTime(ready, "the runtime to start");
      process.kill(monitorPid, "SIGTERM");
      assert.deepEqual(await session.next("signal"), {
        type: "signal",
        signal: SIGTERM,
        forwardedTo: "runtime",
      });
      assert.deepEqual((await session.next("exited")).ending, { code: 3 });
      assert.match(await readAll(stdout), /runtime got TERM/);
      process.kill(monitorPid, "SIGINT");
      assert.equal((await session.next("signal")).forwardedTo, undefined);
      open.push(descriptors.get(SLOT.stderr) ?? -1);
      session.connection.exit(0);
      await session.next("lost");
    });

    it("takes the death of the process that the caller started for a SIGTERM before the release", async () => {
      const { shim: running, session } = await begin();
      running.process.kill("SIGKILL");
      assert.deepEqual(await session.next("signal"), {
        type: "signal",
        signal: SIGTERM,
        forwardedTo: undefined,
      });
      session.connection.exit(1);
      await session.next("lost");
    });

    it("signals no process that has ended", async () => {
      const { session, descriptors } = await run("exit 0");
      open.push(...descriptors.values());
      await session.next("exited");
      session.connection.kill("runtime", 9);
      const failed = await session.next("failed");
      assert.deepEqual([failed.request, failed.errno], [REQUEST.kill, 3]);
      session.connection.exit(0);
      await session.next("lost");
    });

    it("closes what the caller let it inherit on request, and nothing of its own", async () => {
      const extras = ["a", "b", "c"].map((name) => {
        writeFileSync(join(host.directory, name), name);
        return openSync(join(host.directory, name), "r");
      });
      const {
        session,
        pid,
        shim: running,
      } = await begin({ stdio: ["ignore", "pipe", "pipe", ...extras] });
      for (const fd of extras) closeSync(fd);
      const [readEnd, writeEnd] = sys.pipe();
      session.connection.keep(SLOT.free, readEnd);
      session.connection.release(false);
      await running.ended;
      const inherited = (): string[] =>
        readdirSync(`/proc/${pid}/fd`)
          .map((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`))
          .filter((path) => path.startsWith(host.directory));
      assert.equal(inherited().length, 3);
      session.connection.closeInherited();
      await session.next("inherited-closed");
      assert.deepEqual(inherited(), []);
      const own = readlinkSync(`/proc/self/fd/${readEnd}`);
      assert.ok(
        readdirSync(`/proc/${pid}/fd`).some((fd) => readlinkSync(`/proc/${pid}/fd/${fd}`) === own),
      );
      open.push(readEnd, writeEnd);
      session.connection.exit(0);
      await session.next("lost");
    });

    it("runs the exit command without any descriptor but stdio", async () => {
      const extra = openSync("/etc/hostname", "r");
      const { session } = await begin({
        stdio: ["ignore", "pipe", "pipe", extra],
        environment: { CALLERS: "yes", PATH: "/usr/bin:/bin" },
      });
      closeSync(extra);
      session.connection.release(false);
      const file = join(host.directory, "exit-command");
      session.connection.spawn(
        "exit-command",
        ["/bin/sh", "-c", `{ echo $CALLERS; ls /proc/self/fd | wc -l; } > ${file}; exit 9`],
        {},
      );
      await session.next("spawned");
      assert.deepEqual((await session.next("exited")).ending, { code: 9 });
      assert.equal(readFileSync(file, "utf8"), "yes\n4\n");
      session.connection.exit(9);
      await session.next("lost");
    });

    it("leaves no descriptor to the exit command on a kernel without close_range(2) either", async () => {
      const extra = openSync("/etc/hostname", "r");
      const { shim: running, session } = await begin({
        arguments: ["--sync"],
        stdio: ["ignore", "pipe", "pipe", extra],
        environment: { PATH: "/usr/bin:/bin", ASAN_OPTIONS: "detect_leaks=0" },
        wrapper: ["strace", "-f", "-o", "/dev/null", "-e", "inject=close_range:error=ENOSYS"],
      });
      closeSync(extra);
      session.connection.release(false);
      const file = join(host.directory, "exit-command");
      const script = `ls /proc/self/fd | wc -l > ${file}`;
      session.connection.spawn("exit-command", ["/bin/sh", "-c", script], {});
      await session.next("spawned");
      await session.next("exited");
      assert.equal(readFileSync(file, "utf8"), "4\n");
      session.connection.exit(0);
      await running.ended;
    });

    it("leaves with the status it is given although its caller did not listen any more", async () => {
      const [readEnd, writeEnd] = sys.pipe();
      const { shim: running, session } = await begin({
        arguments: ["--sync"],
        stdio: ["ignore", "pipe", "pipe", writeEnd],
        environment: { _OCI_SYNCPIPE: "3" },
      });
      sys.close(writeEnd);
      sys.close(readEnd);
      session.connection.release(false);
      session.connection.report(SLOT.syncPipe, 1, Buffer.from("4711\n"));
      assert.equal((await session.next("reported")).errno, constants.errno.EPIPE);
      session.connection.spawn("exit-command", ["/bin/sh", "-c", "exit 0"], {});
      await session.next("spawned");
      await session.next("exited");
      session.connection.exit(42);
      assert.deepEqual(await running.ended, { code: 42, signal: null });
    });

    it("learns how its children end although it was started with SIGCHLD ignored", async () => {
      const { session, descriptors } = await run("exit 3", {
        wrapper: ["env", "--ignore-signal=CHLD"],
      });
      open.push(...descriptors.values());
      assert.deepEqual((await session.next("exited")).ending, { code: 3 });
      session.connection.exit(0);
      await session.next("lost");
    });

    it("says hello again with all it keeps when conmond is gone", async () => {
      const { session, descriptors, monitorPid } = await run(
        "echo out; (exec sleep 100) & echo $!",
      );
      const stdout = descriptors.get(SLOT.stdout) ?? -1;
      open.push(...descriptors.values());
      await session.next("exited");
      const buffer = Buffer.alloc(100);
      const pid = Number(
        buffer.toString("latin1", 0, sys.read(stdout, buffer, 0, 100)).split("\n")[1],
      );
      session.connection.watch(pid);
      session.connection.keep(SLOT.free + 5, stdout);
      // More than one message takes, and one that is not the last for its slot.
      session.connection.keepTogether(() => {
        session.connection.keep(SLOT.free + 20, -1);
        for (let i = 10; i < 30; i++) session.connection.keep(SLOT.free + i, stdout);
      });
      session.connection.close();

      const next = await host.session();
      const { hello, descriptors: kept } = await next.next("hello");
      assert.equal(hello.shimPid, monitorPid);
      assert.deepEqual([hello.resumed, hello.released, hello.sync], [true, true, false]);
      assert.equal(hello.processes.runtime.state, "ended");
      assert.deepEqual(hello.processes.container, { state: "running", pid });
      assert.deepEqual(
        [...kept.keys()].sort((a, b) => a - b),
        [
          ...[SLOT.stdout, SLOT.stderr, SLOT.free + 5],
          ...Array.from({ length: 20 }, (_, i) => SLOT.free + 10 + i),
        ],
      );
      open.push(...kept.values());
      next.connection.kill("container", 9);
      assert.deepEqual((await next.next("exited")).ending, { signal: 9 });
      next.connection.exit(137);
      await next.next("lost");
    });

    it("does what a conmond had asked for before it died, although it cannot be answered", async () => {
      const {
        session,
        monitorPid,
        descriptors: pipes,
      } = await run("trap : TERM; echo ready; while :; do sleep 0.1; done");
      await readable(pipes.get(SLOT.stdout) ?? -1);
      open.push(...pipes.values());
      const [readEnd, writeEnd] = sys.pipe();
      open.push(writeEnd);
      // While the shim is stopped both come at once: what it was asked, and what it has to tell.
      process.kill(monitorPid, "SIGSTOP");
      session.connection.keep(SLOT.free, readEnd);
      sys.close(readEnd);
      session.connection.close();
      process.kill(monitorPid, "SIGTERM");
      process.kill(monitorPid, "SIGCONT");
      const next = await host.session();
      const { descriptors } = await next.next("hello");
      open.push(...descriptors.values());
      assert.ok(descriptors.has(SLOT.free), "the descriptor was not kept");
      next.connection.kill("runtime", 9);
      await next.next("exited");
      next.connection.exit(0);
      await next.next("lost");
    });

    it("gives up a conmond that breaks the protocol, and does nothing of what it asked", async () => {
      const violations: [string, Buffer, number][] = [
        ["an empty packet", Buffer.alloc(0), 1],
        ["an empty type", Buffer.from([1, 2]), 0],
        ["an unknown type", Buffer.from([99, 0, 0, 0]), 0],
        ["a message that is too short", encodeWatch(5).subarray(0, 6), 0],
        ["a message that is too long", Buffer.concat([encodeWatch(5), Buffer.alloc(4)]), 0],
        ["pid 1", encodeWatch(1), 0],
        ["a slot of the shim's own", encodeKeep(SLOT.stdout), 1],
        ["a slot of the shim's own beside others", encodeKeep(SLOT.free, SLOT.stdout), 2],
        ["a missing descriptor", encodeKeep(SLOT.free), 0],
        ["fewer descriptors than slots", encodeKeep(SLOT.free, SLOT.free + 1), 1],
        ["more descriptors than slots", encodeKeep(SLOT.free), 2],
        ["a descriptor too many", encodeDrop(SLOT.free), 1],
        ["an empty slot", encodeDrop(SLOT.free + 3), 0],
        ["a second runtime", encodeSpawn("runtime", {}), 1],
        ["a message that is cut", Buffer.alloc(9000, 16), 0],
        // A pipe of the caller's that is in blocking mode might take it only in two steps.
        [
          "a report longer than PIPE_BUF",
          encodeReport(SLOT.syncPipe, 5, Buffer.alloc(4097, 32)),
          0,
        ],
      ];
      for (const [what, bytes, descriptorCount] of violations) {
        const { session, descriptors, monitorPid, runtimePid } = await run("exec sleep 100");
        const [readEnd, writeEnd] = sys.pipe();
        // Past the connection: it cannot be made to send such a thing.
        const along = Array.from({ length: descriptorCount }, () => readEnd);
        sys.send(session.fd, bytes, 0, bytes.length, along);
        sys.close(readEnd);
        await session.next("lost");
        assert.ok(existsSync(`/proc/${runtimePid}/cwd`), `the runtime lives after ${what}`);
        await inTime(readersGone(writeEnd), `descriptors to be closed after ${what}`);
        // With its keeper the runtime ends as well.
        process.kill(monitorPid, "SIGKILL");
        await inTime(
          Promise.all([...descriptors.values()].map(readAll)),
          `the runtime's end after ${what}`,
        );
        // What this shim has connected to in the meantime is of no interest.
        host.close();
        host = new ShimHost(shim);
      }
    });

    it("writes each report to the caller once, whoever asks for it and however often", async () => {
      const [ours, theirs] = sys.unixSocketPair("seqpacket");
      const shim = host.start({
        environment: { _OCI_SYNCPIPE: "3" },
        stdio: ["ignore", "pipe", "pipe", theirs],
      });
      sys.close(theirs);
      const first = await host.session();
      open.push(...(await first.next("hello")).descriptors.values(), ours);
      first.connection.release(false);
      const text = (words: string) => Buffer.from(words);
      first.connection.report(SLOT.syncPipe, 1, text("one"));
      assert.deepEqual(await first.next("reported"), { type: "reported", report: 1, errno: 0 });
      first.connection.close();
      await shim.ended;
      const second = await host.session();
      open.push(...(await second.next("hello")).descriptors.values());
      second.connection.report(SLOT.syncPipe, 1, text("one again"));
      second.connection.report(SLOT.syncPipe, 2, text("two"));
      assert.equal((await second.next("reported")).report, 1);
      assert.equal((await second.next("reported")).report, 2);
      const buffer = Buffer.alloc(100);
      for (const words of ["one", "two"]) {
        assert.equal(buffer.toString("latin1", 0, sys.receive(ours, buffer)), words);
      }
      assert.equal(sys.receive(ours, buffer), -1, "nothing else came");
      second.connection.report(SLOT.attachPipe, 3, text("nobody"));
      assert.equal((await second.next("reported")).errno, constants.errno.EBADF);
      second.connection.exit(0);
      await second.next("lost");
    });

    it("leaves it to conmond to wait for a caller that does not read", async () => {
      const [readEnd, writeEnd] = sys.pipe();
      sys.setNonBlocking(readEnd, true);
      host.start({
        environment: { _OCI_SYNCPIPE: "3" },
        stdio: ["ignore", "pipe", "pipe", writeEnd],
      });
      const session = await host.session();
      open.push(...(await session.next("hello")).descriptors.values(), readEnd);
      sys.setNonBlocking(writeEnd, true);
      while (sys.write(writeEnd, Buffer.alloc(65536), 0, 65536) > 0);
      sys.setNonBlocking(writeEnd, false);
      sys.close(writeEnd);
      session.connection.report(SLOT.syncPipe, 1, Buffer.from("late"));
      assert.equal((await session.next("reported")).errno, constants.errno.EAGAIN);
      const buffer = Buffer.alloc(65536);
      assert.equal(sys.read(readEnd, buffer, 0, 65536), 65536);
      session.connection.report(SLOT.syncPipe, 1, Buffer.from("late"));
      assert.equal((await session.next("reported")).errno, 0);
      assert.equal(buffer.toString("latin1", 0, sys.read(readEnd, buffer, 0, 65536)), "late");
      session.connection.exit(0);
      await session.next("lost");
    });

    it("takes no more than 96 descriptors", async () => {
      const { session } = await begin();
      const [readEnd, writeEnd] = sys.pipe();
      open.push(readEnd, writeEnd);
      for (let i = 0; i <= 96; i++) session.connection.keep(SLOT.free + i, readEnd);
      const failed = await session.next("failed");
      assert.deepEqual([failed.request, failed.errno], [REQUEST.keep, 28]);
      session.connection.exit(0);
      await session.next("lost");
    });
  });
}

/** Resolves when there is something to read. */
async function readable(fd: number): Promise<void> {
  let readiness: sys.Readiness | undefined;
  const news = new Promise<void>((resolve) => {
    readiness = new sys.Readiness(fd, () => resolve());
    readiness.watch(sys.READABLE);
  });
  try {
    await inTime(news, "something to read");
  } finally {
    readiness?.close();
  }
}

describe("the shim's size", () => {
  it("is below 0.05 MB of private memory while a container runs", async () => {
    // Two of them: what they share, the program's text, is nobody's private memory then.
    const host = new ShimHost(SHIMS.static);
    try {
      const pids: number[] = [];
      const sessions: HostedSession[] = [];
      for (let i = 0; i < 2; i++) {
        host.start();
        const session = await host.session();
        pids.push((await session.next("hello")).hello.shimPid);
        session.connection.release(false);
        session.connection.spawn("runtime", ["/bin/sleep", "100"], {
          pipeStdout: true,
          pipeStderr: true,
        });
        const { descriptors } = await session.next("spawned");
        for (const fd of descriptors.values()) sys.close(fd);
        sessions.push(session);
      }
      const smaps = readFileSync(`/proc/${pids[1]}/smaps_rollup`, "utf8");
      const kilobytes = [...smaps.matchAll(/^Private_(?:Clean|Dirty): +(\d+) kB/gm)]
        .map(([, number]) => Number(number))
        .reduce((sum, number) => sum + number, 0);
      assert.ok(kilobytes > 0 && kilobytes < 50, `${kilobytes} kB are private`);
      for (const session of sessions) {
        session.connection.kill("runtime", 9);
        await session.next("exited");
        session.connection.exit(0);
        await session.next("lost");
      }
    } finally {
      host.close();
    }
  });
});
