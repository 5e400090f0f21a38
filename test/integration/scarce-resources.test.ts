/** No descriptors, no processes, no memory, no /proc, a clock that jumps: a clear error or none, and never a hang. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import {
  existsSync,
  mkdirSync,
  openSync,
  readFileSync,
  renameSync,
  rmdirSync,
  rmSync,
  writeFileSync,
  writeSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { makeBundle } from "../support/bundle.ts";
import { removeCgroup } from "../support/cgroup.ts";
import { type ConmonOptions, startConmon } from "../support/conmon.ts";
import { newSocketPath, startConmond } from "../support/conmond.ts";
import { CountingContainer } from "../support/counting-container.ts";
import {
  conmondProgram,
  needProgram,
  programPath,
  projectRoot,
  unlessRootWith,
} from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { appears, inTime } from "../support/waiting.ts";

const skip = unlessRootWith("busybox", "unshare", "cc");

/** A monitor whose container would end at once with status 5. */
function start(scratch: Scratch, options: ConmonOptions) {
  return startConmon(scratch, {
    bundle: makeBundle(scratch, { args: ["true"] }),
    runtime: makeStandInRuntime(scratch, behaviours.runs("exit 5")).path,
    apiVersion: 1,
    ...options,
  });
}

/** A command that sets a limit of the shell and becomes what follows. */
function limited(limit: string): string[] {
  return ["/bin/sh", "-c", `${limit}; exec "$@"`, "sh"];
}

describe("with few descriptors", { skip }, () => {
  it("a monitor says what could not be opened, or does its work", async (t) => {
    const scratch = makeScratch(t);
    let failures = 0;
    for (const count of [5, 9, 14, 18, 20, 22, 24, 26, 28, 30, 34, 38, 42, 64]) {
      const run = start(scratch, { wrapper: limited(`ulimit -n ${count}`) });
      const { status } = await inTime(run.closed, `the caller's part, with ${count} descriptors`);
      if (status === 0) assert.equal(await run.exitStatus(), 5);
      else {
        failures++;
        assert.equal(status, 1, `with ${count} descriptors`);
        assert.match(run.stderr, /^\[conmon:e\]: .+/m);
      }
      await run.ended();
    }
    assert.ok(failures > 4 && failures < 14, `${failures} of 14 failed`);
  });
});

describe("with few processes", { skip }, () => {
  /** A cgroup in which there can be so many processes. */
  function makeCgroup(scratch: Scratch, processes: number): string[] {
    const first = "/sys/fs/cgroup/pids";
    const base = existsSync(first) ? first : "/sys/fs/cgroup";
    const directory = join(base, scratch.uniqueName());
    mkdirSync(directory);
    scratch.atEnd(() => removeCgroup(directory));
    writeFileSync(join(directory, "pids.max"), String(processes));
    return limited(`echo $$ >${directory}/cgroup.procs`);
  }

  it("the caller is told that the monitor cannot be forked", async (t) => {
    const scratch = makeScratch(t);
    const run = start(scratch, { wrapper: makeCgroup(scratch, 1) });
    const { status } = await inTime(run.closed, "the monitor's end");
    assert.equal(status, 1);
    assert.match(run.stderr, /^\[conmon:e\]: cannot fork the process that stays: Resource temp/m);
  });

  it("the caller is told that the runtime cannot be forked", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const run = start(scratch, {
      wrapper: makeCgroup(scratch, 1),
      arguments: ["--sync"],
      conmond: conmond.socket,
    });
    const report = await run.sync?.next();
    assert.equal(report?.data, -1);
    assert.match(String(report?.message), /starting a process failed: resource temp/i);
    assert.equal((await inTime(run.closed, "the monitor's end")).status, 1);
  });

  it("the caller is told that there is no conmond, where it cannot have its threads", async (t) => {
    const scratch = makeScratch(t);
    const run = start(scratch, { wrapper: makeCgroup(scratch, 3) });
    const { status } = await inTime(run.closed, "the monitor's end");
    assert.equal(status, 1);
    assert.match(run.stderr, /the container was not started: no conmond to supervise it/);
  });
});

describe("with little memory", { skip }, () => {
  it("a monitor says that there is not enough for conmond", async (t) => {
    const scratch = makeScratch(t);
    for (const kilobytes of [500_000, 2_000_000]) {
      const run = start(scratch, { wrapper: limited(`ulimit -v ${kilobytes}`) });
      const { status } = await inTime(run.closed, "the monitor's end");
      assert.equal(status, 1);
      assert.match(run.stderr, /^\[conmon:e\]: (the container was not started|Failed to open)/m);
    }
  });
});

describe("without /proc", { skip }, () => {
  it("a monitor says that it cannot find its conmond, and a shared one turns it away", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const hidden = [needProgram("unshare"), "--mount", ...limited("mount -t tmpfs none /proc")];
    for (const shared of [{}, { conmond: conmond.socket }]) {
      const run = start(scratch, { wrapper: hidden, ...shared });
      const { status } = await inTime(run.closed, "the monitor's end");
      assert.equal(status, 1);
      assert.match(run.stderr, /cannot read \/proc\/self\/exe: No such file or directory/);
    }
    await conmond.logged(
      "Refused a shim: the shim is in another place than conmond: ns/mnt differs",
    );
  });
});

describe("a caller that gives an argument as long as can be", { skip }, () => {
  it("is told that it is wrong, every time", async (t) => {
    const scratch = makeScratch(t);
    for (let n = 0; n < 5; n++) {
      const run = start(scratch, { arguments: [`--${"x".repeat(131_000)}`] });
      assert.equal((await inTime(run.closed, "the monitor's end")).status, 1);
      assert.match(run.stderr, /^conmon: option parsing failed: Unknown option --x+\.\.\.\n$/);
    }
  });
});

describe("a session whose files are taken away", { skip }, () => {
  it("goes on as well as it can, and the other sessions do not notice", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const other = new CountingContainer(scratch, { conmond: conmond.socket });
    const robbed = new CountingContainer(scratch, { conmond: conmond.socket });
    await Promise.all([other.run.created(), robbed.run.created()]);
    await robbed.countsOn();
    const { log, exitFile } = robbed.run.paths;
    const away = scratch.folder("away");
    renameSync(robbed.bundle.directory, join(away, "bundle"));
    renameSync(log, join(away, "log"));
    mkdirSync(log);
    // A log is opened anew where a directory is, and the bundle with the socket is somewhere else.
    writeFileSync(join(away, "bundle", "ctl"), "2 0 0\n");
    await conmond.logged("Failed to reopen");
    await other.countsOn();
    rmdirSync(log);
    renameSync(join(away, "log"), log);
    renameSync(join(away, "bundle"), robbed.bundle.directory);
    await robbed.countsOn();
    await Promise.all([robbed.end(), other.end()]);
    assert.ok(existsSync(dirname(exitFile)));
    assert.doesNotMatch(conmond.log(), /Internal error|go on elsewhere/);
  });
});

describe("a clock that is set", { skip }, () => {
  it("shows in the log and changes nothing else", async (t) => {
    const scratch = makeScratch(t);
    const library = scratch.path("clock.so");
    const source = join(projectRoot, "test/support/settable-clock.c");
    execFileSync("cc", ["-shared", "-fPIC", "-O1", source, "-o", library, "-ldl"]);
    const clock = scratch.path("clock");
    writeFileSync(clock, Buffer.alloc(8));
    const setClock = (seconds: number): void => {
      const bytes = Buffer.alloc(8);
      bytes.writeBigInt64LE(BigInt(seconds));
      const fd = openSync(clock, "r+");
      writeSync(fd, bytes, 0, 8, 0);
    };
    const socket = newSocketPath(scratch);
    const conmond = spawn(process.execPath, [conmondProgram, "--socket", socket], {
      env: {
        PATH: programPath,
        CONMON_TS_TEST: scratch.id,
        LD_PRELOAD: library,
        CLOCK_FILE: clock,
      },
      stdio: "ignore",
    });
    const ended = once(conmond, "exit");
    scratch.atEnd(async () => {
      conmond.kill("SIGTERM");
      await inTime(ended, "conmond's end");
      rmSync(socket, { force: true });
    });
    await appears(socket);
    const container = new CountingContainer(scratch, {
      conmond: socket,
      arguments: ["--timeout=1000", "--log-opt=max-age=2w", "--log-rotate", "--log-max-files=9"],
    });
    await container.run.created();
    const year = 365 * 86_400;
    const years = new Set<string>();
    for (const offset of [0, 10 * year, -10 * year, 0]) {
      setClock(offset);
      // What is logged first may have been read before that.
      await container.countsOn();
      await container.countsOn();
      const last = readFileSync(container.run.paths.log, "latin1").trimEnd().split("\n").at(-1);
      years.add(last?.slice(0, 4) ?? "");
    }
    assert.equal(years.size, 3, [...years].join(", "));
    assert.ok(!existsSync(`${container.run.paths.log}.1`), "the log is not two weeks old");
    await container.end();
  });
});
