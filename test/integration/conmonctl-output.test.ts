/** conmonctl whose output nobody takes: a full disk, a reader that has enough. */
import assert from "node:assert/strict";
import { closeSync, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { unlessRootWith } from "../support/programs.ts";
import { jsonOf, runConmonctl } from "../support/run-conmonctl.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { mountTmpfs } from "../support/tmpfs.ts";

const skip = unlessRootWith("runc", "bash");

/** Where there is never any room. */
const toFullDisk = ["sh", "-c", 'exec "$@" > /dev/full', "sh"];
/** Who reads a line and leaves; the status is that of conmonctl. */
const toHead = ["bash", "-o", "pipefail", "-c", '"$@" | head -n 1', "bash"];

const NO_ROOM = "conmonctl: cannot write to standard output: no space left on device\n";

function removeAtEnd(scratch: Scratch): void {
  scratch.atEnd(() => {
    runConmonctl(scratch, ["rm", "--force", "job"]);
  });
}

describe("conmonctl, to a full disk,", { skip }, () => {
  for (const args of [["ps"], ["ps", "--json"], ["--help"], ["stats", "--no-stream"]]) {
    it(`says so in one line and fails: ${args.join(" ")}`, (t) => {
      const { status, stderr } = runConmonctl(makeScratch(t), args, { wrapper: toFullDisk });
      assert.deepEqual([status, stderr], [1, NO_ROOM]);
    });
  }

  it("leaves the container alone, and says that it goes on", (t) => {
    const scratch = makeScratch(t);
    removeAtEnd(scratch);
    const run = ["run", "--name", "job", "--", "sh", "-c", "echo x; sleep 100"];
    const { status, stderr } = runConmonctl(scratch, run, { wrapper: toFullDisk });
    assert.equal(status, 1);
    assert.ok(stderr.startsWith(NO_ROOM), stderr);
    assert.match(stderr, /job goes on; conmonctl attach job comes back to it\n$/);
    assert.match(runConmonctl(scratch, ["ps"]).stdout, / job +running /);
    const logs = runConmonctl(scratch, ["logs", "job"], { wrapper: toFullDisk });
    assert.deepEqual([logs.status, logs.stderr], [1, NO_ROOM]);
  });
});

describe("conmonctl, with a state directory that is full,", { skip }, () => {
  it("ends and removes what runs, and says what cannot be written", (t) => {
    const scratch = makeScratch(t);
    const state = mountTmpfs(scratch, 256);
    const environment = { CONMON_TS_STATE: state };
    const ctl = (...args: string[]) => runConmonctl(scratch, args, { environment });
    scratch.atEnd(() => {
      ctl("rm", "--force", "one", "two", "later");
    });
    const start = (name: string) => ctl("run", "-d", "--name", name, "--", "sleep", "100").status;
    assert.deepEqual([start("one"), start("two")], [0, 0]);
    assert.equal(ctl("create", "--name", "later", "--", "true").status, 0);
    fill(join(state, "ballast"));
    // Not even what is left of the last page; empty lines are no events.
    fill(join(state, "events.jsonl"), "\n");
    const later = ctl("start", "later");
    assert.equal(later.status, 1);
    assert.match(
      later.stderr,
      /^conmonctl: cannot write .*: no space left on device\nhint: conmonctl prune and rm make room\n$/,
    );
    const outcomes = [
      ["kill", "-s", "CONT", "one"],
      ["stop", "-t", "0", "one"],
      ["rm", "-f", "two"],
    ].map((args) => ctl(...args));
    assert.deepEqual(
      outcomes.map(({ status, stderr }) => [status, stderr]),
      [0, 0, 0].map((status) => [status, ""]),
    );
  });
});

/** Writes until there is no room. */
function fill(path: string, text = "\0".repeat(4096)): void {
  const fd = openSync(path, "a");
  try {
    assert.throws(() => {
      for (;;) writeSync(fd, text);
    }, /ENOSPC/);
  } finally {
    closeSync(fd);
  }
}

it("conmonctl says whose state it cannot read", { skip }, (t) => {
  const scratch = makeScratch(t);
  runConmonctl(scratch, ["run", "--rm", "--", "true"]);
  const { status, stderr } = runConmonctl(scratch, ["ps"], { uid: 65534 });
  assert.equal(status, 1);
  assert.match(stderr, /^conmonctl: cannot read the state directory .*: permission denied\nhint: /);
});

describe("conmonctl, to a reader that has enough,", { skip }, () => {
  it("leaves the container alone, and says that it goes on", (t) => {
    const scratch = makeScratch(t);
    removeAtEnd(scratch);
    const run = ["run", "--name", "job", "--", "sh", "-c", "while :; do echo y; done"];
    const { status, stdout, stderr } = runConmonctl(scratch, run, { wrapper: toHead });
    assert.deepEqual([status, stdout], [141, "y\n"]);
    assert.match(stderr, /nobody reads the output any more: job goes on; conmonctl attach job /);
    const [job] = jsonOf(runConmonctl(scratch, ["inspect", "job"])) as { state: string }[];
    assert.equal(job?.state, "running");
  });

  it("ends without a word where nothing goes on", (t) => {
    const scratch = makeScratch(t);
    removeAtEnd(scratch);
    const seq = ["run", "-d", "--name", "job", "--", "seq", "1", "300000"];
    assert.equal(runConmonctl(scratch, seq).status, 0);
    assert.equal(runConmonctl(scratch, ["wait", "job"]).stdout, "0\n");
    const { status, stdout, stderr } = runConmonctl(scratch, ["logs", "job"], { wrapper: toHead });
    assert.deepEqual([status, stdout, stderr], [0, "1\n", ""]);
  });
});
