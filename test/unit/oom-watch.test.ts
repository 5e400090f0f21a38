/** Watching a tree that behaves like a cgroup2 file system; for version 1 see test/integration/oom.test.ts. */
import assert from "node:assert/strict";
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { type OomRecord, OomWatch, writeOomFiles } from "../../src/events/mod.ts";
import { makeScratch } from "../support/scratch.ts";
import { inTime } from "../support/waiting.ts";

const PID = 7;

/** A cgroup of process 7, its `memory.events` with these counts. */
function makeTree(t: TestContext, start: { oom?: number; oomKill?: number } = {}) {
  const scratch = makeScratch(t);
  const directory = scratch.folder("cgroup", "box");
  scratch.folder("proc", String(PID));
  scratch.folder("proc", "self");
  writeFileSync(scratch.path("proc", String(PID), "cgroup"), "0::/box\n");
  const mount = `41 31 0:38 / ${scratch.path("cgroup")} rw - cgroup2 cgroup2 rw`;
  writeFileSync(scratch.path("proc/self/mountinfo"), mount);
  const set = ({ oom = 0, oomKill = 0, high = 0 }): void => {
    const text = `low 0\nhigh ${high}\nmax 0\noom ${oom}\noom_kill ${oomKill}\n`;
    writeFileSync(join(directory, "memory.events"), text);
  };
  set(start);
  const begin = (of: number | OomRecord = PID) => {
    const problems: string[] = [];
    let oomCount = 0;
    let onOom = (): void => {};
    const happened = new Promise<void>((resolve) => {
      onOom = resolve;
    });
    const watch = OomWatch.start({
      of,
      onOom: () => {
        oomCount++;
        onOom();
      },
      onProblem: (error) => problems.push(error.message),
      proc: scratch.path("proc"),
    });
    t.after(() => watch.close());
    return { watch, problems, count: () => oomCount, happened };
  };
  return { directory, set, begin };
}

describe("an OOM watch in version 2", () => {
  for (const counter of ["oom", "oomKill"] as const) {
    it(`tells at once that ${counter} rose, and only once`, async (t) => {
      const { set, begin } = makeTree(t);
      const { happened, watch, count, problems } = begin();
      assert.equal(count(), 0);
      set({ [counter]: 1 });
      await inTime(happened, "the notice");
      set({ [counter]: 2 });
      watch.check();
      assert.equal(count(), 1);
      assert.deepEqual(problems, []);
    });
  }

  it("does not mind other events", (t) => {
    const { set, begin } = makeTree(t);
    const { watch, count } = begin();
    set({ high: 5 });
    watch.check();
    assert.equal(count(), 0);
  });

  it("does not count what was there when it began", (t) => {
    const { set, begin } = makeTree(t, { oom: 2, oomKill: 2 });
    const { watch, count } = begin();
    watch.check();
    assert.equal(count(), 0);
    set({ oom: 2, oomKill: 3 });
    watch.check();
    assert.equal(count(), 1);
  });

  it("finds with the record of the one before what happened in between, without the process", (t) => {
    const { set, begin } = makeTree(t, { oomKill: 2 });
    const before = begin();
    const { record } = before.watch;
    before.watch.close();
    assert.ok(record !== undefined);
    const unchanged = begin(record);
    unchanged.watch.check();
    assert.equal(unchanged.count(), 0);
    unchanged.watch.close();
    set({ oomKill: 3 });
    const after = begin(record);
    assert.equal(after.count(), 1);
    assert.equal(before.count(), 0);
  });

  it("keeps what it has seen when the cgroup has gone, and finds nothing new", (t) => {
    const { directory, begin } = makeTree(t);
    const { watch, count, problems } = begin();
    rmSync(directory, { recursive: true });
    watch.check();
    assert.equal(count(), 0);
    assert.deepEqual(problems, []);
  });

  it("tells why it cannot watch, and can be used all the same", (t) => {
    const { directory, begin } = makeTree(t);
    rmSync(join(directory, "memory.events"));
    const { watch, count, problems } = begin();
    watch.check();
    watch.close();
    assert.equal(watch.record, undefined);
    assert.equal(count(), 0);
    assert.equal(problems.length, 1);
    assert.match(problems[0] ?? "", /^Cannot tell whether memory runs out: no memory controller/);
  });

  it("tells why it cannot watch a process that is not there", (t) => {
    const { begin } = makeTree(t);
    const { problems } = begin(8);
    assert.match(problems.join(), /ENOENT.*\/proc\/8\/cgroup/);
  });

  it("says so when the counts cannot be read", (t) => {
    const { directory, begin } = makeTree(t);
    const { watch, count, problems } = begin();
    rmSync(join(directory, "memory.events"));
    mkdirSync(join(directory, "memory.events"));
    watch.check();
    assert.equal(count(), 0);
    assert.match(problems.join(), /^Failed to look whether memory ran out: EISDIR/);
  });

  it("leaves no watch behind when it is closed", async (t) => {
    const { set, begin } = makeTree(t);
    const { watch, count } = begin();
    watch.close();
    const other = begin();
    set({ oomKill: 1 });
    // The same change is told to both, in the order in which they began.
    await inTime(other.happened, "the notice");
    watch.check();
    assert.equal(count(), 0);
  });
});

describe("the oom files", () => {
  it("are empty, of mode 0644, and one that is there already stays", (t) => {
    const scratch = makeScratch(t);
    const [one, two] = [scratch.folder("one"), scratch.folder("two")];
    writeFileSync(join(two, "oom"), "mine");
    assert.deepEqual(writeOomFiles([one, undefined, two]), []);
    assert.equal(statSync(join(one, "oom")).mode & 0o7777, 0o644);
    assert.equal(readFileSync(join(one, "oom"), "utf8"), "");
    assert.equal(readFileSync(join(two, "oom"), "utf8"), "mine");
  });

  it("are each tried, and every failure is named", (t) => {
    const scratch = makeScratch(t);
    const there = scratch.folder("there");
    const errors = writeOomFiles([scratch.path("missing"), there]);
    assert.match(errors.map(String).join(), /Failed to write .*missing\/oom: ENOENT/);
    assert.ok(existsSync(join(there, "oom")));
    assert.deepEqual(readdirSync(there), ["oom"]);
  });
});
