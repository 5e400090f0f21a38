/** Containers that log to a real journald, with a private conmond, next to Debian's conmon. */
import assert from "node:assert/strict";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { type BundleOptions, makeBundle } from "../support/bundle.ts";
import { type ConmonOptions, type ConmonRun, startConmon } from "../support/conmon.ts";
import type { JournalFields } from "../support/journal.ts";
import { Journald, unlessJournald } from "../support/journald.ts";
import { makePodman } from "../support/podman.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessJournald(
  unlessRootWith("runc", "podman", "busybox", "journalctl", "unshare", "nsenter"),
);

async function prepare(t: TestContext): Promise<{ scratch: Scratch; journald: Journald }> {
  const scratch = makeScratch(t);
  return { scratch, journald: await Journald.prepare(scratch) };
}

/** A container that has been started. Its only log is the journal, unless `omit` says otherwise. */
async function start(
  scratch: Scratch,
  container: BundleOptions,
  options: ConmonOptions & { conmon: string },
): Promise<ConmonRun> {
  const run = startConmon(scratch, {
    bundle: makeBundle(scratch, container),
    apiVersion: 1,
    omit: ["--log-path"],
    ...options,
    arguments: ["--log-path=journald", ...(options.arguments ?? [])],
  });
  await run.created();
  await run.runtimeStart();
  return run;
}

/** Removes what Debian's conmon leaves behind. */
function tidyUp(scratch: Scratch, run: ConmonRun): void {
  for (const name of ["ctl", "winsz"]) rmSync(scratch.path("bundles", run.id, name));
  rmSync(join(run.paths.socketDirectory, run.id));
}

/** What the container wrote to the stream with this priority. */
function output(entries: JournalFields[], priority: number): string {
  return entries
    .map((fields) => new Map(fields))
    .filter((fields) => fields.get("PRIORITY") === String(priority))
    .map((fields) => fields.get("MESSAGE"))
    .join("");
}

const ofContainer = (run: ConmonRun): string => `CONTAINER_ID_FULL=${run.id}`;

describe("the journal", { skip }, () => {
  it("has every byte of both streams before the exit is reported", async (t) => {
    const { scratch, journald } = await prepare(t);
    await journald.start();
    const data = Buffer.concat([
      Buffer.from(Array.from({ length: 100_000 }, (_, i) => (i * 7919 + (i >> 8)) % 256)),
      Buffer.from("\n\n\n"),
      Buffer.alloc(300_000, "x"),
      Buffer.from("\nno newline at the end"),
    ]);
    const source = scratch.path("data");
    writeFileSync(source, data);
    const run = await start(
      scratch,
      {
        args: ["sh", "-c", "cat /mnt/data & cat /mnt/data >&2; wait; exit 3"],
        mounts: [{ destination: "/mnt/data", type: "bind", source, options: ["bind", "ro"] }],
      },
      { conmon: journald.monitor() },
    );
    assert.equal(await run.exitStatus(), 3);
    const entries = await journald.entries(ofContainer(run));
    for (const priority of [6, 3]) {
      assert.ok(output(entries, priority) === data.toString("latin1"), `priority ${priority}`);
    }
    const pieces = entries.filter((fields) =>
      fields.some(([name]) => name === "CONTAINER_PARTIAL_MESSAGE"),
    );
    // Those of the long line but its last, and the end of the output; of each stream.
    assert.equal(pieces.length, 2 * (Math.floor(300_000 / 16_384) + 1));
    await run.ended();
  });

  it("has the unfinished line of a stream that somebody still holds open", async (t) => {
    const { scratch, journald } = await prepare(t);
    await journald.start();
    const holder = "until [[ -e $bundle/go ]]; do sleep 0.05; done";
    // A bash that still runs would reap its child, and nobody would know the status.
    const orphaned = "while kill -0 $$ 2>/dev/null; do sleep 0.01; done";
    const command = `leave_one() { ${orphaned}; printf unfinished; { ${holder}; } & exit 5; }; leave_one`;
    const bundle = makeBundle(scratch, { args: ["true"] });
    const run = startConmon(scratch, {
      bundle,
      conmon: journald.monitor(),
      runtime: makeStandInRuntime(scratch, behaviours.runs(command)).path,
      omit: ["--log-path"],
      // As long as it runs the log is open: it is not the log's end that brings the line.
      arguments: [
        "--log-path=journald",
        "--exit-command=/bin/sh",
        "--exit-command-arg=-c",
        `--exit-command-arg=until [ -e ${bundle.directory}/go ]; do sleep 0.05; done`,
      ],
    });
    assert.equal(await run.exitStatus(), 5);
    assert.equal(output(await journald.entries(ofContainer(run)), 6), "unfinished");
    writeFileSync(join(bundle.directory, "go"), "");
    await run.ended();
  });

  it("slows a container down that writes too fast, and loses nothing", async (t) => {
    const { scratch, journald } = await prepare(t);
    await journald.start();
    const run = await start(
      scratch,
      { args: ["sh", "-c", "seq 1 30000 & seq 30001 60000 >&2; wait"] },
      { conmon: journald.monitor() },
    );
    assert.equal(await run.exitStatus(), 0);
    const entries = await journald.entries(ofContainer(run));
    const numbers = (from: number): string =>
      Array.from({ length: 30_000 }, (_, i) => `${from + i}\n`).join("");
    assert.ok(output(entries, 6) === numbers(1), "stdout");
    assert.ok(output(entries, 3) === numbers(30_001), "stderr");
    await run.ended();
  });

  it("has the same fields as with Debian's conmon", async (t) => {
    const { scratch, journald } = await prepare(t);
    await journald.start();
    const script = [
      "printf 'one\\n\\n  two \\t=x\\n\\0\\001\\377\\nhalf a '; echo err >&2; sleep 0.2",
      "echo line; printf 'the end' >&2; printf 'END'",
    ].join("; ");
    const settings: string[][] = [
      [],
      ["--log-tag=a tag"],
      ["--log-tag="],
      ["--log-tag=two\nlines", "--name=other\nname"],
    ];
    for (const args of settings) {
      const logged: string[][] = [];
      for (const conmon of ["ours", "debian"] as const) {
        const run = await start(
          scratch,
          { args: ["sh", "-c", script] },
          { conmon: journald.monitor(conmon), arguments: ["--name=web", ...args] },
        );
        assert.equal(await run.exitStatus(), 0);
        await run.ended();
        if (conmon === "debian") tidyUp(scratch, run);
        logged.push(comparable(await journald.entries(ofContainer(run)), run.id));
      }
      const [ours = [], debians] = logged;
      assert.equal(ours.length, 8);
      assert.deepEqual(ours, debians);
    }
  });

  it("has labels and the priorities of lines, and no marks if they are not wanted", async (t) => {
    const { scratch, journald } = await prepare(t);
    await journald.start();
    const run = await start(
      scratch,
      { args: ["sh", "-c", "echo '<4>careful'; printf '<2>end' >&2"] },
      {
        conmon: journald.monitor(),
        arguments: [
          "--log-label=TEAM=red",
          "--log-label=TWO_1=l\nl",
          "--no-container-partial-message",
        ],
      },
    );
    assert.equal(await run.exitStatus(), 0);
    const entries = (await journald.entries("TEAM=red")).map((fields) => new Map(fields));
    const seen = entries.map((fields) =>
      ["MESSAGE", "PRIORITY", "TWO_1", "CONTAINER_PARTIAL_MESSAGE"].map((name) => fields.get(name)),
    );
    assert.deepEqual(seen.sort(), [
      ["careful\n", "4", "l\nl", undefined],
      ["end", "2", "l\nl", undefined],
    ]);
    await run.ended();
  });

  it("is read by podman logs as with Debian's conmon", async (t) => {
    const { scratch, journald } = await prepare(t);
    await journald.start();
    const podman = await makePodman(scratch, { wrapper: journald.enter });
    const long = "x".repeat(40_000);
    const script = `echo hi; echo; echo err >&2; echo ' spaces '; echo ${long}; printf end`;
    const logs: string[] = [];
    for (const conmon of ["ours", "debian"] as const) {
      const args = ["--log-driver=journald", "--network=none", `--name=${conmon}`];
      const command = ["run", ...args, podman.image, "sh", "-c", script];
      await podman.ok(command, { conmon });
      await journald.sync();
      const { stdout, stderr } = await podman.run(["logs", conmon]);
      assert.equal(stderr, "err\n");
      logs.push(stdout);
    }
    assert.equal(logs[0], logs[1]);
    assert.equal(logs[0]?.trimEnd(), `hi\n\n spaces \n${long}\nend`);
  });
});

/** The fields that conmon sends, sorted, without what differs from container to container. */
function comparable(entries: JournalFields[], id: string): string[] {
  const texts = entries.map((fields) =>
    fields
      .filter(([name]) => !/^_|^CODE_/.test(name))
      .map((field) =>
        JSON.stringify(field).replaceAll(id, "ID").replaceAll(id.slice(0, 12), "SHORT"),
      )
      .sort()
      .join(" "),
  );
  const isOut = (text: string): boolean => text.includes('["PRIORITY","6"]');
  // In order of each stream; between the streams there is none.
  return [...texts.filter(isOut), ...texts.filter((text) => !isOut(text))];
}

describe("a journald that is not there", { skip }, () => {
  const patient = (go: string): BundleOptions => ({
    args: ["sh", "-c", `echo first; until [ -e /mnt/go ]; do sleep 0.05; done; echo last`],
    mounts: [{ destination: "/mnt", type: "bind", source: go, options: ["rbind"] }],
  });

  it("keeps no container from running", async (t) => {
    const { scratch, journald } = await prepare(t);
    for (const conmon of ["ours", "debian"] as const) {
      const run = await start(
        scratch,
        { args: ["sh", "-c", "echo lost; exit 4"] },
        { conmon: journald.monitor(conmon) },
      );
      assert.equal(await run.exitStatus(), 4);
      await run.ended();
      if (conmon === "debian") tidyUp(scratch, run);
    }
  });

  it("gets what is written when it is there", async (t) => {
    const { scratch, journald } = await prepare(t);
    const go = scratch.folder("go");
    const run = await start(scratch, patient(go), {
      conmon: journald.monitor(),
      omit: [],
    });
    await textOf(run.paths.log, (text) => text.includes("first"));
    await journald.start();
    writeFileSync(`${go}/go`, "");
    assert.equal(await run.exitStatus(), 0);
    assert.equal(output(await journald.entries(ofContainer(run)), 6), "last\n");
    await run.ended();
  });

  it("may come back, and gets what is written then", async (t) => {
    const { scratch, journald } = await prepare(t);
    await journald.start();
    const go = scratch.folder("go");
    const run = await start(scratch, patient(go), { conmon: journald.monitor(), omit: [] });
    await textOf(run.paths.log, (text) => text.includes("first"));
    assert.equal(output(await journald.entries(ofContainer(run)), 6), "first\n");
    await journald.stop();
    await journald.start();
    writeFileSync(`${go}/go`, "");
    assert.equal(await run.exitStatus(), 0);
    assert.equal(output(await journald.entries(ofContainer(run)), 6), "first\nlast\n");
    await run.ended();
  });

  it("does not stop the log file, and the other way round", async (t) => {
    const { scratch, journald } = await prepare(t);
    await journald.start();
    const go = scratch.folder("go");
    const run = await start(scratch, patient(go), {
      conmon: journald.monitor(),
      omit: [],
      arguments: ["--log-path=k8s-file:/dev/full"],
    });
    await textOf(run.paths.log, (text) => text.includes("first"));
    assert.equal(output(await journald.entries(ofContainer(run)), 6), "first\n");
    await journald.stop("SIGKILL");
    writeFileSync(`${go}/go`, "");
    assert.equal(await run.exitStatus(), 0);
    await run.ended();
    assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "first\nlast\n");
  });

  it("hangs: the container goes on after a while, and ends", async (t) => {
    const { scratch, journald } = await prepare(t);
    await journald.start();
    journald.signal("SIGSTOP");
    const run = await start(
      scratch,
      { args: ["sh", "-c", "seq 1 100000; exit 6"] },
      { conmon: journald.monitor(), omit: [] },
    );
    assert.equal(await run.exitStatus(), 6);
    await run.ended();
    const lines = readOutput(readFileSync(run.paths.log), "stdout").toString().split("\n");
    assert.equal(lines.length, 100_001);
    assert.equal(lines[99_999], "100000");
    journald.signal("SIGCONT");
    const entries = await journald.entries(ofContainer(run));
    assert.ok(entries.length > 0 && entries.length < 100_000, `${entries.length} entries`);
  });
});
