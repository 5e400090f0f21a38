/** Several logs at once with real runc: files next to plug-ins that work, throw, hang or are stuck. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  chmodSync,
  copyFileSync,
  existsSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { type Bundle, makeBundle } from "../support/bundle.ts";
import { type ConmonRun, startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { inBothModes } from "../support/modes.ts";
import { projectRoot, unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { appears, inTime, textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox", "jq");

/** What one stream's records of a json-file say together, read by a program that others use. */
function readJson(path: string, stream: "stdout" | "stderr"): string {
  const filter = `select(.stream == "${stream}") | .log`;
  const maxBuffer = 64 * 1024 * 1024;
  return execFileSync("jq", ["-j", filter, path], { encoding: "utf8", maxBuffer });
}

/** A container that writes the data to both streams and ends with status 3. */
function writer(scratch: Scratch, data: Buffer): Bundle {
  const source = scratch.path("data");
  writeFileSync(source, data);
  return makeBundle(scratch, {
    args: ["sh", "-c", "cat /mnt/data & cat /mnt/data >&2; wait; exit 3"],
    mounts: [{ destination: "/mnt/data", type: "bind", source, options: ["bind", "ro"] }],
  });
}

/** A plug-in whose only method is `write`, with this body. */
function plugin(scratch: Scratch, write: string, before = ""): string {
  const path = scratch.path(`${scratch.uniqueName()}.mjs`);
  writeFileSync(
    path,
    `import * as fs from "node:fs";
export default (options) => { ${before}; return { write(records) { ${write} } }; };`,
  );
  return path;
}

const APPEND = 'fs.appendFileSync(options, records.map(({ text }) => text + "\\n").join(""))';

/** The end of a monitor that is not to be held up by its plug-ins for more than a few seconds. */
async function endOf(run: ConmonRun): Promise<number> {
  const status = await run.exitStatus();
  await run.ended(15_000);
  return status;
}

inBothModes("several logs", skip, (prepare) => {
  it("json-file has both streams, next to a CRI file of the same", async (t) => {
    const { scratch, shared } = await prepare(t);
    const text = Buffer.from(`{"msg":"€ \\u0001","n":1}\t😀\n`.repeat(20_000));
    const data = Buffer.concat([text, randomBytes(200_000), Buffer.from("no newline at the end")]);
    const json = scratch.path("container.json");
    const run = startConmon(scratch, {
      ...{ bundle: writer(scratch, data), apiVersion: 1, ...shared },
      arguments: [`--log-path=json-file:${json}`],
    });
    await run.created();
    await run.runtimeStart();
    assert.equal(await run.exitStatus(), 3);
    // Complete before the exit file appears.
    const cri = readFileSync(run.paths.log);
    for (const stream of ["stdout", "stderr"] as const) {
      assert.ok(readOutput(cri, stream).equals(data), `CRI, ${stream}`);
      assert.ok(readJson(json, stream) === data.toString("utf8"), `JSON, ${stream}`);
    }
    const [first = ""] = readFileSync(json, "utf8").split("\n", 1);
    assert.match(JSON.parse(first).time, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z$/);
    await run.ended();
  });

  it("json-file is rotated, and made anew on request", async (t) => {
    const { scratch, shared } = await prepare(t);
    const bundle = makeBundle(scratch, {
      args: ["sh", "-c", "seq 1 2000; while [ ! -e /mnt/go ]; do sleep 0.05; done; echo after"],
      mounts: [
        { destination: "/mnt", type: "bind", source: scratch.folder("go"), options: ["bind"] },
      ],
    });
    const json = scratch.path("container.json");
    const run = startConmon(scratch, {
      ...{ bundle, apiVersion: 1, omit: ["--log-path"], ...shared },
      arguments: [
        `--log-path=json-file:${json}`,
        ...["--log-size-max=10000", "--log-rotate", "--log-max-files=100"],
      ],
    });
    await run.created();
    await run.runtimeStart();
    await textOf(json, (text) => text.includes('"2000\\n"'));
    renameSync(json, `${json}.0`);
    writeFileSync(join(bundle.directory, "ctl"), "2 0 0\n");
    await appears(json);
    writeFileSync(scratch.path("go", "go"), "");
    assert.equal(await endOf(run), 0);
    const backups: string[] = [];
    while (existsSync(`${json}.${backups.length + 1}`)) {
      backups.unshift(`${json}.${backups.length + 1}`);
    }
    assert.ok(backups.length > 10);
    const files = [...backups, `${json}.0`];
    const numbers = Array.from({ length: 2000 }, (_, n) => `${n + 1}\n`).join("");
    assert.equal(files.map((file) => readJson(file, "stdout")).join(""), numbers);
    assert.equal(readJson(json, "stdout"), "after\n");
  });

  it("plug-ins that throw, hang or are stuck harm neither files nor other plug-ins nor the end", async (t) => {
    const { scratch, shared } = await prepare(t);
    const data = Buffer.from("a line of the container's\n".repeat(4000));
    const counts = scratch.path("counts");
    copyFileSync(join(projectRoot, "examples/sinks/count-lines.mjs"), scratch.path("count.mjs"));
    const fifo = scratch.path("fifo");
    execFileSync("mkfifo", [fifo]);
    scratch.atEnd(() => rmSync(fifo));
    const json = scratch.path("container.json");
    const logs = [
      `plugin:${plugin(scratch, "throw new Error('boo')")}`,
      `plugin:${plugin(scratch, "for (;;);")}`,
      `plugin:${plugin(scratch, "setTimeout(() => { throw new Error('later') }, 1)")}`,
      `plugin:${plugin(scratch, "process.exit(1)")}`,
      // No one ends a thread that waits in a system call.
      `plugin:${plugin(scratch, "fs.openSync(options)")}:${fifo}`,
      `plugin:${scratch.path("count.mjs")}:${counts}`,
      `json-file:${json}`,
    ];
    const run = startConmon(scratch, {
      ...{ bundle: writer(scratch, data), apiVersion: 1, ...shared },
      arguments: logs.map((log) => `--log-path=${log}`),
    });
    await run.created();
    await run.runtimeStart();
    assert.equal(await endOf(run), 3);
    const cri = readFileSync(run.paths.log);
    for (const stream of ["stdout", "stderr"] as const) {
      assert.ok(readOutput(cri, stream).equals(data), `CRI, ${stream}`);
      assert.ok(readJson(json, stream) === data.toString(), `JSON, ${stream}`);
    }
    const { stdout, stderr } = JSON.parse(readFileSync(counts, "utf8"));
    const all = { lines: 4000, bytes: data.length };
    assert.deepEqual([stdout, stderr], [all, all]);
  });

  const refusals: [what: string, before: string, mode: number, reason: RegExp][] = [
    ["throws as it opens", "throw new Error('no such host')", 0o644, /no such host/],
    ["can be written by everybody", "", 0o666, /its mode 0666 lets others write/],
  ];
  for (const [what, before, mode, reason] of refusals) {
    it(`a plug-in that ${what} is told to the caller, and nothing is started`, async (t) => {
      const { scratch, shared } = await prepare(t);
      const runtime = makeStandInRuntime(scratch, behaviours.fails("it was started"));
      const path = plugin(scratch, "", before);
      chmodSync(path, mode);
      const run = startConmon(scratch, {
        ...{ bundle: makeBundle(scratch, { args: ["true"] }), apiVersion: 1, ...shared },
        runtime: runtime.path,
        arguments: [`--log-path=plugin:${path}`],
      });
      assert.deepEqual(await run.closed, { status: 1, signal: null });
      assert.match(run.stderr, /^\[conmon:e\]: .*\n$/);
      assert.match(run.stderr, reason);
      const message = await run.sync?.next();
      assert.equal(message?.data, -1);
      assert.match(message?.message ?? "", reason);
      assert.deepEqual(runtime.calls(), []);
      assert.equal(existsSync(run.paths.conmonPidFile), false);
      await run.ended();
    });
  }

  it("a caller that ends the monitor while a plug-in opens gets an answer", async (t) => {
    const { scratch, shared } = await prepare(t);
    const runtime = makeStandInRuntime(scratch, behaviours.fails("it was started"));
    const opening = scratch.path("opening");
    const wait = `fs.writeFileSync(options, ""); while (fs.existsSync(options));`;
    const run = startConmon(scratch, {
      ...{ bundle: makeBundle(scratch, { args: ["true"] }), apiVersion: 1, ...shared },
      runtime: runtime.path,
      arguments: [
        "--sync",
        "--log-level=debug",
        `--log-path=plugin:${plugin(scratch, "", wait)}:${opening}`,
      ],
    });
    await appears(opening);
    process.kill(run.process.pid ?? 0, "SIGTERM");
    while (!run.stderr.includes("Got signal 15")) {
      await inTime(once(run.process.stderr ?? run.process, "data"), "the signal to be noticed");
    }
    rmSync(opening);
    const message = await run.sync?.next();
    assert.equal(message?.data, -1);
    assert.match(message?.message ?? "", /Got signal 15 before the runtime was started/);
    assert.deepEqual(runtime.calls(), []);
    await run.ended();
  });
});

describe("plug-ins of a shared conmond", { skip }, () => {
  it("what goes wrong is in its log, once", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const path = plugin(scratch, "throw new Error('boo')");
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["sh", "-c", "echo a; sleep 0.2; echo b"] }),
      ...{ conmond: conmond.socket, apiVersion: 1 },
      arguments: [`--log-path=plugin:${path}`],
    });
    await run.created();
    await run.runtimeStart();
    await endOf(run);
    // Of what it has logged some may not have come here yet.
    await conmond.stop();
    const told = `log plug-in ${path}: failed to write the log: Error: boo`;
    assert.equal(conmond.log().split(told).length - 1, 1, conmond.log());
  });

  it("they are there again when another conmond takes over", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const output = scratch.path("output");
    const bundle = makeBundle(scratch, {
      args: [
        "sh",
        "-c",
        "trap 'echo after; exit 7' TERM; echo before; while :; do sleep 0.1; done",
      ],
    });
    const run = startConmon(scratch, {
      ...{ bundle, conmond: conmond.socket, apiVersion: 1 },
      arguments: [`--log-path=plugin:${plugin(scratch, APPEND)}:${output}`],
    });
    await run.created();
    await run.runtimeStart();
    await textOf(output, (text) => text === "before\n");
    await conmond.stop("SIGKILL");
    process.kill(await run.monitorPid(), "SIGTERM");
    assert.equal(await endOf(run), 7);
    // What the plug-in had just been given when conmond was killed is given to it again.
    assert.match(readFileSync(output, "utf8"), /^(before\n){1,2}after\n$/);
  });
});
