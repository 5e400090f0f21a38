/** A hundred sessions in which nothing happens: neither conmond nor any shim may wake up. */
import assert from "node:assert/strict";
import { existsSync, mkdirSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { parseCgroupMounts } from "../../src/events/cgroup.ts";
import { AttachClient } from "../support/attach-client.ts";
import { removeCgroup } from "../support/cgroup.ts";
import { startConmond } from "../support/conmond.ts";
import { openFilesOf, statusField, waitUntilGone } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { runSeries, type Series } from "../support/session-series.ts";

const OF_EACH_KIND = 25;

/** How long nothing may happen, in milliseconds. */
const SILENCE = 10_000;

/**
 * How often that may be tried: after it was busy V8 collects garbage a few times more, seconds apart, and
 * then no more.
 */
const ATTEMPTS = 4;

/** A memory cgroup below the root, which goes with the test; undefined where there is no such controller. */
function makeMemoryCgroup(scratch: Scratch): string | undefined {
  const mounts = parseCgroupMounts(readFileSync("/proc/self/mountinfo", "utf8"));
  const mount =
    mounts.find(({ version, options }) => version === 1 && options.has("memory")) ??
    mounts.find(({ version }) => version === 2);
  if (mount === undefined) return undefined;
  const directory = join(mount.point, scratch.id);
  mkdirSync(directory);
  scratch.atEnd(() => removeCgroup(directory));
  const files = ["memory.oom_control", "memory.events"].map((name) => join(directory, name));
  return files.some(existsSync) ? directory : undefined;
}

/** How often each thread of the processes has been put to sleep so far, by its path in /proc. */
function switches(pids: readonly number[]): Map<string, number> {
  const tasks = pids.flatMap((pid) =>
    readdirSync(`/proc/${pid}/task`).map((tid) => `${pid}/task/${tid}`),
  );
  const of = (task: string): number =>
    Number(statusField(task, "voluntary_ctxt_switches")) +
    Number(statusField(task, "nonvoluntary_ctxt_switches"));
  return new Map(tasks.map((task) => [task, of(task)]));
}

/**
 * Resolves when all of them sleep at the same moment. Nobody has a message for another one then, since that would have
 * woken the other one up: what was sent to each at its start has been dealt with.
 */
async function allAsleep(pids: readonly number[]): Promise<void> {
  const awake = (): string[] => {
    const before = switches(pids);
    const running = [...before.keys()].filter((task) => !/^[SI]/.test(statusField(task, "State")));
    // Who sleeps when its state is looked at, and was not put to sleep meanwhile, has slept from the beginning.
    const after = switches(pids);
    return [...after.keys()].filter(
      (task) => running.includes(task) || after.get(task) !== before.get(task),
    );
  };
  assert.deepEqual(await waitUntilGone(awake), [], "threads that do not come to rest");
}

/** Which threads wake up while the time passes, and how often. */
async function wakeUps(pids: readonly number[]): Promise<string[]> {
  const before = switches(pids);
  await delay(SILENCE);
  return [...switches(pids)]
    .map(([task, count]) => [task, count - (before.get(task) ?? 0)] as const)
    .filter(([, more]) => more !== 0)
    .map(([task, more]) => `${task}: ${more}`);
}

describe("a conmond with idle sessions", { skip: unlessRootWith() }, () => {
  it("sleeps, and so do their shims", async (t) => {
    const scratch = makeScratch(t);
    const { socket, pid } = await startConmond(scratch);
    const start = (...options: string[]): Promise<Series> =>
      runSeries(scratch, {
        ...{ conmon: "ours", conmond: socket, count: OF_EACH_KIND, until: "told" },
        arguments: options,
      });
    const attached = await start("--stdin");
    const limited = await start(
      ...["--timeout=100000", "--log-rotate", "--log-opt=max-age=1d", "--exit-command=/bin/true"],
      "--log-opt=max-lines-per-second=1000",
    );
    const cgroup = makeMemoryCgroup(scratch);
    const watched = await start(
      ...(cgroup === undefined ? [] : [`--runtime-arg=--cgroup=${join(cgroup, "cgroup.procs")}`]),
    );
    const all = [attached, limited, watched, await start("--terminal", "--stdin")];
    const { length } = openFilesOf(pid);
    for (const [number] of attached.times.entries()) {
      new AttachClient(scratch, attached.path(number, "attach"));
    }
    const missing = (): number[] =>
      Array.from({ length: length + OF_EACH_KIND - openFilesOf(pid).length }, (_, index) => index);
    assert.deepEqual(await waitUntilGone(missing), [], "clients that have not been accepted");

    const shims = all.flatMap((series) => series.monitors);
    await allAsleep([pid, ...shims]);
    let found = await wakeUps([pid, ...shims]);
    for (let attempt = 1; attempt < ATTEMPTS && found.length > 0; attempt++) {
      const ofShims = found.filter((task) => !task.startsWith(`${pid}/`));
      assert.deepEqual(ofShims, [], "shims never wake up");
      found = await wakeUps([pid, ...shims]);
    }
    assert.deepEqual(found, []);

    for (const series of all) series.killContainers();
    for (const series of all) assert.deepEqual(await series.ended(), []);
  });
});
