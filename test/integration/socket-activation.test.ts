/** A shared conmond as a service of systemd: its socket, its messages, its units. */
import assert from "node:assert/strict";
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, copyFileSync, existsSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { promisify } from "node:util";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import * as sys from "../../src/sys/mod.ts";
import { makeBundle } from "../support/bundle.ts";
import { startConmon } from "../support/conmon.ts";
import { newSocketPath, tryConmond } from "../support/conmond.ts";
import { NotifySocket } from "../support/notify-socket.ts";
import {
  conmondProgram,
  findProgram,
  programPath,
  projectRoot,
  unlessRootWith,
} from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { makeTracedShim } from "../support/traced-shim.ts";
import { inTime, textOf } from "../support/waiting.ts";

const execute = promisify(execFile);
const skip = unlessRootWith();

/** What systemd holds: the listening socket of a unit, which outlives its service. */
class SocketUnit {
  readonly path: string;
  readonly fd: number;
  readonly #scratch: Scratch;
  readonly notify: NotifySocket;

  constructor(scratch: Scratch, type: sys.SocketType = "seqpacket") {
    this.#scratch = scratch;
    this.path = newSocketPath(scratch);
    this.fd = sys.unixSocket(type);
    sys.bindUnix(this.fd, this.path);
    sys.listen(this.fd, 16);
    this.notify = new NotifySocket(scratch.path(`${scratch.uniqueName()}.notify`));
    scratch.atEnd(() => {
      sys.close(this.fd);
      rmSync(this.path, { force: true });
      this.notify.close();
    });
  }

  /** Resolves when so many services have said that they are ready. Before that, others may say that they end. */
  async ready(count: number): Promise<void> {
    const { messages } = this.notify;
    const ready = (): number => messages.filter((text) => text.startsWith("READY=1\n")).length;
    while (ready() < count) await this.notify.received(messages.length + 1);
  }

  /** Starts the service as systemd does: the shell gives its own pid to conmond. */
  start(options: { args?: string[]; count?: number; environment?: object } = {}) {
    const script = 'LISTEN_PID=$$ exec "$@"';
    const args = ["-c", script, "sh", process.execPath, conmondProgram, ...(options.args ?? [])];
    const child = spawn("/bin/sh", args, {
      env: {
        PATH: programPath,
        CONMON_TS_TEST: this.#scratch.id,
        LISTEN_FDS: String(options.count ?? 1),
        NOTIFY_SOCKET: this.notify.path,
        ...options.environment,
      },
      stdio: ["ignore", "ignore", "pipe", this.fd],
    });
    let log = "";
    child.stderr?.setEncoding("utf8").on("data", (text) => {
      log += text;
    });
    const ended = once(child, "close");
    this.#scratch.atEnd(async () => {
      if (child.exitCode !== null || child.signalCode !== null) return;
      child.kill("SIGKILL");
      await ended;
    });
    return { child, ended, log: () => log };
  }
}

async function stop(child: ChildProcess): Promise<void> {
  const ended = once(child, "exit");
  child.kill("SIGTERM");
  assert.deepEqual(await inTime(ended, "conmond's end"), [0, null]);
}

describe("a conmond that systemd starts", { skip }, () => {
  it("accepts on the socket that it is given, says so, and leaves it as it was", async (t) => {
    const scratch = makeScratch(t);
    const unit = new SocketUnit(scratch);
    const shim = makeTracedShim(scratch);
    const { child } = unit.start();
    await unit.notify.received(1);
    assert.match(unit.notify.messages[0] ?? "", /^READY=1\n/);
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.runs("exit 5")).path,
      ...{ apiVersion: 1, conmond: unit.path, conmon: shim.path },
    });
    await run.created();
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
    await stop(child);
    await unit.notify.received(2);
    assert.match(unit.notify.messages[1] ?? "", /^STOPPING=1\n/);
    assert.ok(existsSync(unit.path));
    assert.deepEqual(shim.starts(), []);
  });

  it("is restarted, and its sessions wait for the next one", async (t) => {
    const scratch = makeScratch(t);
    const go = scratch.path("go");
    const unit = new SocketUnit(scratch);
    const shim = makeTracedShim(scratch);
    const script = `echo one; while [[ ! -e ${go} ]]; do sleep 0.05; done; echo two; exit 5`;
    const first = unit.start();
    await unit.ready(1);
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(scratch, behaviours.runs(script)).path,
      ...{ apiVersion: 1, conmond: unit.path, conmon: shim.path },
    });
    await run.created();
    await textOf(run.paths.log, (text) => text.includes("one"));
    let starts = 1;
    for (const signal of ["SIGTERM", "SIGKILL", "SIGTERM"] as const) {
      first.child.kill(signal);
      await first.ended;
      Object.assign(first, unit.start());
      await unit.ready(++starts);
    }
    writeFileSync(go, "");
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
    assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "one\ntwo\n");
    assert.deepEqual(shim.starts(), [], "it has not gone private");
  });

  it("ends when it is idle, without any harm to who comes just then", async (t) => {
    const scratch = makeScratch(t);
    const unit = new SocketUnit(scratch);
    const { ended } = unit.start({ args: ["--idle-exit=1"] });
    assert.deepEqual(await inTime(ended, "its end"), [0, null]);
    assert.ok(existsSync(unit.path));
  });

  it("lets the watchdog know that it does not hang", async (t) => {
    const scratch = makeScratch(t);
    const unit = new SocketUnit(scratch);
    unit.start({ environment: { WATCHDOG_USEC: "100000" } });
    await unit.notify.received(4);
    assert.deepEqual(unit.notify.messages.slice(1, 4), ["WATCHDOG=1", "WATCHDOG=1", "WATCHDOG=1"]);
  });

  it("does not hand its socket over: its service is to be restarted", async (t) => {
    const scratch = makeScratch(t);
    const unit = new SocketUnit(scratch);
    unit.start();
    await unit.notify.received(1);
    const { status, stderr } = tryConmond(scratch, ["--replace", "--socket", unit.path]);
    assert.equal(status, 1);
    assert.match(stderr, /systemd listens for this conmond: restart its service instead/);
  });

  it("says what is wrong with what it is given", async (t) => {
    const scratch = makeScratch(t);
    const good = new SocketUnit(scratch);
    const cases: [ReturnType<SocketUnit["start"]>, RegExp][] = [
      [good.start({ count: 2 }), /LISTEN_FDS is 2: conmond listens on one socket/],
      [
        new SocketUnit(scratch, "stream").start(),
        /a listening stream socket .*ListenSequentialPacket/,
      ],
      [good.start({ args: ["--replace"] }), /--replace is not for a conmond that systemd starts/],
      [good.start({ args: ["--socket=/else"] }), /--socket is \/else, but systemd listens on/],
    ];
    for (const [{ ended, log }, text] of cases) {
      assert.deepEqual(await inTime(ended, "its end"), [1, null]);
      assert.match(log(), text);
    }
  });

  it(
    "is started by systemd-socket-activate when the first shim comes",
    {
      skip: unlessRootWith("systemd-socket-activate"),
    },
    async (t) => {
      const scratch = makeScratch(t);
      const shim = makeTracedShim(scratch);
      const path = newSocketPath(scratch);
      const args = ["--seqpacket", "--listen", path, process.execPath, conmondProgram];
      const child = spawn(findProgram("systemd-socket-activate") ?? "", args, {
        env: { PATH: programPath, CONMON_TS_TEST: scratch.id },
        stdio: ["ignore", "ignore", "pipe"],
      });
      let log = "";
      const listens = new Promise<void>((resolve) => {
        child.stderr.setEncoding("utf8").on("data", (text) => {
          log += text;
          if (log.includes("Listening on")) resolve();
        });
      });
      scratch.atEnd(() => rmSync(path, { force: true }));
      await inTime(listens, () => `systemd-socket-activate to listen: ${log}`);
      const run = startConmon(scratch, {
        bundle: makeBundle(scratch, { args: ["true"] }),
        runtime: makeStandInRuntime(scratch, behaviours.runs("exit 5")).path,
        ...{ apiVersion: 1, conmond: path, conmon: shim.path },
      });
      await run.created();
      assert.equal(await run.exitStatus(), 5);
      await run.ended();
      assert.deepEqual(shim.starts(), []);
      await stop(child);
    },
  );
});

describe("the units in contrib/systemd", { skip: unlessRootWith("systemd-analyze") }, () => {
  for (const manager of ["system", "user"]) {
    it(`are right for the ${manager}`, async (t) => {
      const scratch = makeScratch(t);
      const directory = scratch.folder("units");
      const program = scratch.path("conmond");
      writeFileSync(program, "#!/bin/sh\n");
      chmodSync(program, 0o755);
      const units = ["conmond.socket", "conmond.service"].map((name) => join(directory, name));
      for (const unit of units) {
        copyFileSync(join(projectRoot, "contrib/systemd", unit.slice(directory.length + 1)), unit);
        // Its real place need not be filled where the test runs.
        const text = readFileSync(unit, "utf8");
        writeFileSync(unit, text.replace("/usr/local/bin/conmond", program));
      }
      const { stdout, stderr } = await execute(
        "systemd-analyze",
        [`--${manager}`, "--man=no", "verify", ...units],
        { env: { PATH: programPath, XDG_RUNTIME_DIR: scratch.folder("runtime") } },
      );
      assert.equal(stdout + stderr, "");
    });
  }
});
