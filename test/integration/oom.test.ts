/** Memory running out in real cgroups of version 1, next to Debian's conmon. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  existsSync,
  mkdirSync,
  readFileSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { parseCgroupMounts } from "../../src/events/cgroup.ts";
import { OomWatch } from "../../src/events/mod.ts";
import { openOomNotices } from "../../src/events/oom-notice.ts";
import { makeBundle } from "../support/bundle.ts";
import { removeCgroup } from "../support/cgroup.ts";
import { type ConmonOptions, type ConmonRun, startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { watchDescriptors } from "../support/open-descriptors.ts";
import { isAlive, waitUntilGone } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { appears, inTime, textOf } from "../support/waiting.ts";

/** Bytes; a shell fits in, and what reads /dev/zero as one line soon does not. */
const LIMIT = 24 * 1024 * 1024;

const memoryMount = parseCgroupMounts(readFileSync("/proc/self/mountinfo", "utf8")).find(
  ({ version, root, options }) => version === 1 && root === "/" && options.has("memory"),
);
const skip =
  unlessRootWith("runc", "busybox") ||
  (memoryMount === undefined && "needs a memory controller of cgroup version 1");

/** The files `oom` in the persist directory and in the bundle; undefined where there is none. */
function oomFiles(run: ConmonRun, bundle: string): (string | undefined)[] {
  return [run.paths.persistDirectory, bundle].map((directory) => {
    const path = join(directory, "oom");
    if (!existsSync(path)) return undefined;
    const { mode, size } = statSync(path);
    return `${size} bytes, mode ${(mode & 0o7777).toString(8)}`;
  });
}

const THERE = ["0 bytes, mode 644", "0 bytes, mode 644"];
const NOT_THERE = [undefined, undefined];

async function startLimited(scratch: Scratch, script: string, options: ConmonOptions = {}) {
  const bundle = makeBundle(scratch, {
    args: ["sh", "-c", script],
    change: (config) => {
      config.linux.resources = { memory: { limit: LIMIT } };
    },
  });
  const run = startConmon(scratch, {
    bundle,
    apiVersion: 1,
    // Debian's conmon makes the second file there, and not in the bundle.
    workingDirectory: bundle.directory,
    arguments: ["--full-attach"],
    ...options,
  });
  scratch.atEnd(() => {
    if (options.conmon !== "debian") return;
    // It leaves these to whoever removes the bundle.
    for (const fifo of ["ctl", "winsz"]) rmSync(join(bundle.directory, fifo), { force: true });
  });
  await run.created();
  await run.runtimeStart();
  return { run, files: () => oomFiles(run, bundle.directory), bundle: bundle.directory };
}

for (const monitor of ["debian", "ours, private", "ours, shared"] as const) {
  describe(`a container out of memory, with conmon: ${monitor}`, { skip }, () => {
    async function prepare(t: TestContext): Promise<[Scratch, ConmonOptions]> {
      const scratch = makeScratch(t);
      if (monitor === "debian") return [scratch, { conmon: "debian" }];
      if (monitor === "ours, private") return [scratch, {}];
      return [scratch, { conmond: (await startConmond(scratch)).socket }];
    }

    it("has two files before its exit file when the kernel ends it", async (t) => {
      const [scratch, options] = await prepare(t);
      const { run, files } = await startLimited(scratch, "exec tail /dev/zero", options);
      assert.equal(await run.exitStatus(), 137);
      assert.deepEqual(files(), THERE);
      await run.ended();
    });

    it("has them at once when a child is killed and it goes on itself", async (t) => {
      const [scratch, options] = await prepare(t);
      const script = "trap 'exit 3' TERM; tail /dev/zero; echo over; while :; do sleep 0.1; done";
      const { run, files, bundle } = await startLimited(scratch, script, options);
      for (const place of [run.paths.persistDirectory, bundle]) await appears(join(place, "oom"));
      await textOf(run.paths.log, (text) => text.includes("over"));
      assert.deepEqual(files(), THERE);
      await run.runtimeKill("TERM");
      assert.equal(await run.exitStatus(), 3);
      await run.ended();
    });

    it("has none when there was enough for it, or something else killed it", async (t) => {
      const [scratch, options] = await prepare(t);
      const script = "dd if=/dev/zero of=/dev/null bs=12M count=2; kill -9 $$";
      const { run, files } = await startLimited(
        scratch,
        // Nobody but the kernel kills a first process from inside: a child has to do.
        `sh -c '${script}'; exit $?`,
        options,
      );
      assert.equal(await run.exitStatus(), 137);
      await run.ended();
      assert.deepEqual(files(), NOT_THERE);
    });
  });
}

describe("out of memory while there is no conmond", { skip }, () => {
  it("is found by the next one, although the container has ended", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const { run, files, bundle } = await startLimited(
      scratch,
      "echo ready; while [ ! -e /tmp/go ]; do sleep 0.05; done; exec tail /dev/zero",
      { conmond: conmond.socket },
    );
    await textOf(run.paths.log, (text) => text.includes("ready"));
    // It is there, but does nothing any more.
    process.kill(conmond.pid, "SIGSTOP");
    const pid = Number(readFileSync(run.paths.containerPidFile, "utf8"));
    writeFileSync(`/proc/${pid}/root/tmp/go`, "");
    const left = await waitUntilGone(() => (isAlive(pid) ? [{ pid, command: "tail" }] : []));
    assert.deepEqual(left, []);
    assert.deepEqual(oomFiles(run, bundle), NOT_THERE);
    await conmond.stop("SIGKILL");
    assert.equal(await run.exitStatus(), 137);
    assert.deepEqual(files(), THERE);
    await run.ended();
  });
});

describe("an OOM watch in version 1", { skip }, () => {
  /** A cgroup of the machine's own with the limit, in which a process waits. */
  function makeCgroup(t: TestContext) {
    const scratch = makeScratch(t);
    const directory = join(memoryMount?.point ?? "", scratch.uniqueName());
    mkdirSync(directory);
    scratch.atEnd(async () => {
      if (existsSync(directory)) await removeCgroup(directory);
    });
    writeFileSync(join(directory, "memory.limit_in_bytes"), String(LIMIT));
    let oomCount = 0;
    let onOom = (): void => {};
    const happened = new Promise<void>((resolve) => {
      onOom = resolve;
    });
    const problems: string[] = [];
    const leftOver = watchDescriptors();
    const watch = OomWatch.start({
      of: { version: 1, directory, baseline: 0 },
      onOom: () => {
        oomCount++;
        onOom();
      },
      onProblem: (error) => problems.push(error.message),
    });
    scratch.atEnd(() => watch.close());
    return {
      ...{ scratch, directory, watch, problems, happened },
      count: () => oomCount,
      openDescriptors: () => leftOver().length,
    };
  }

  /**
   * Runs something in the cgroup, to its end or for that many milliseconds, while this process's
   * event loop stands still.
   */
  function runIn(directory: string, command: string, timeout = 20_000): NodeJS.Signals | null {
    const script = `echo 0 >'${directory}/cgroup.procs' && exec ${command}`;
    return spawnSync("/bin/sh", ["-c", script], {
      ...{ stdio: "ignore", timeout, killSignal: "SIGKILL" },
    }).signal;
  }

  /** Resolves when the kernel has told of the cgroup's removal. */
  function removal(directory: string): Promise<void> {
    const told = new Promise<void>((resolve, reject) => {
      const notices = openOomNotices(
        { version: 1, directory },
        {
          onNotice: () => {
            notices.close();
            resolve();
          },
          onError: reject,
        },
      );
    });
    return inTime(told, "the notice of the cgroup's removal");
  }

  it("is told once of a kill, and then holds nothing any more", async (t) => {
    const { directory, happened, watch, count, openDescriptors, problems } = makeCgroup(t);
    assert.equal(openDescriptors(), 1);
    assert.equal(runIn(directory, "tail /dev/zero"), "SIGKILL");
    await inTime(happened, "the notice");
    assert.equal(runIn(directory, "tail /dev/zero"), "SIGKILL");
    watch.check();
    assert.equal(count(), 1);
    assert.equal(openDescriptors(), 0);
    assert.deepEqual(problems, []);
  });

  it("takes the cgroup's removal for nothing else", async (t) => {
    const { directory, watch, count, problems } = makeCgroup(t);
    assert.equal(runIn(directory, "true"), null);
    const removed = removal(directory);
    rmdirSync(directory);
    await removed;
    watch.check();
    assert.equal(count(), 0);
    assert.deepEqual(problems, []);
  });

  it("knows of a kill by the second notice, when it comes to look too late", async (t) => {
    const { directory, happened, count } = makeCgroup(t);
    assert.equal(runIn(directory, "tail /dev/zero"), "SIGKILL");
    rmdirSync(directory);
    await inTime(happened, "the second notice");
    assert.equal(count(), 1);
  });

  it("does not take a process that has to wait for a killed one", async (t) => {
    const { directory, watch, count } = makeCgroup(t);
    writeFileSync(join(directory, "memory.oom_control"), "1");
    // It never gets to its end by itself.
    assert.equal(runIn(directory, "tail /dev/zero", 1000), "SIGKILL");
    assert.match(readFileSync(join(directory, "memory.oom_control"), "utf8"), /^oom_kill 0$/m);
    await new Promise(setImmediate);
    watch.check();
    assert.equal(count(), 0);
  });
});
