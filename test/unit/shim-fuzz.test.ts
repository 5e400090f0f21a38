/** The shim's own parsers under libFuzzer and the sanitizers: see test/fuzz. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { it } from "node:test";
import * as messages from "../../src/shim/messages.ts";
import { findProgram, projectRoot } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";

const skip = findProgram("clang") === undefined && "needs clang and its libclang-rt";

/** How many inputs are tried; all of them take a second or two. */
const RUNS = 20_000;

/** A packet as test/fuzz/shim-requests.c reads it from an input. */
function packet(bytes: Uint8Array, descriptors = 0): Buffer {
  const head = Buffer.from([descriptors, bytes.length & 0xff, bytes.length >> 8]);
  return Buffer.concat([head, bytes]);
}

const text = Buffer.from('{"data":1}\n');
const session = [
  packet(messages.encodeRelease(false)),
  packet(
    messages.encodeSpawn("runtime", { pipeStdin: true, pipeStdout: true, pipeStderr: true }),
    1,
  ),
  packet(messages.encodeKeep(messages.SLOT.free), 1),
  packet(messages.encodeWatch(4711)),
  packet(messages.encodeKill("container", 15)),
  packet(messages.encodeReport(messages.SLOT.syncPipe, 1, text)),
  packet(messages.encodeDrop(messages.SLOT.free)),
  packet(messages.encodeCloseInherited()),
  packet(messages.encodeSpawn("exit-command", {}), 1),
  packet(messages.encodeExit(3)),
];
const settings = Array.from({ length: 16 }, (_, bits) => Buffer.from([bits]));
const manySlots = Array.from({ length: 100 }, (_, n) => packet(messages.encodeKeep(16 + n), 1));

/** Whole sessions, each message alone and what goes beyond a limit. */
const REQUESTS: readonly Buffer[] = [
  ...settings.map((setting) => Buffer.concat([setting, ...session])),
  ...session.map((message) => Buffer.concat([Buffer.from([14]), message])),
  ...[
    packet(messages.encodeTell("stderr", "what went wrong")[0] ?? Buffer.alloc(0)),
    packet(messages.encodeRelease(true)),
    packet(messages.encodeRefuse("not here")),
    packet(messages.encodeWatch(0)),
    packet(messages.encodeSpawn("runtime", { inheritStdio: true, replaceListenPid: true }), 1),
    packet(Buffer.alloc(0), 3),
    packet(Buffer.alloc(100, 16), 7),
    ...manySlots,
  ].map((message) => Buffer.concat([Buffer.from([6]), message])),
  Buffer.concat([Buffer.from([2]), ...manySlots]),
];

const ARGUMENTS: readonly Buffer[] = [
  messages.encodeArguments([]),
  messages.encodeArguments([Buffer.from("/bin/true")]),
  messages.encodeArguments(["/bin/echo", "", "a b", "ü"].map((word) => Buffer.from(word))),
  messages.encodeArguments(Array.from({ length: 300 }, (_, n) => Buffer.from(String(n)))),
];

function build(scratch: Scratch, source: string): string {
  const program = scratch.path("fuzz");
  const flags = ["-std=c11", "-g", "-O1", "-Wall", "-Wextra", "-Werror", "-Wno-unused-function"];
  const checks = ["-fsanitize=fuzzer,address,undefined", "-fno-sanitize-recover=all"];
  const args = [...flags, ...checks, join(projectRoot, "test/fuzz", source), "-o", program];
  const { status, stderr } = spawnSync("clang", args, { encoding: "utf8" });
  assert.equal(status, 0, `clang cannot build ${source}: ${stderr}`);
  return program;
}

function fuzz(scratch: Scratch, source: string, seeds: readonly Buffer[]): void {
  const program = build(scratch, source);
  const corpus = scratch.folder("corpus");
  seeds.forEach((seed, n) => {
    writeFileSync(join(corpus, String(n)), seed);
  });
  const { status, signal, stderr } = spawnSync(
    program,
    [
      ...[`-runs=${RUNS}`, "-max_total_time=10", "-max_len=1500", "-timeout=10"],
      // The texts for the caller, of which there are many; what libFuzzer finds is told all the same.
      ...["-close_fd_mask=3", `-artifact_prefix=${scratch.directory}/`, corpus],
    ],
    { encoding: "utf8", cwd: scratch.directory, maxBuffer: 64 * 1024 * 1024 },
  );
  // The last lines show what was found, with the input in base 64.
  assert.equal(signal ?? status, 0, stderr.slice(-6000));
  const [, runs = "0"] = /Done (\d+) runs/.exec(stderr) ?? [];
  assert.ok(Number(runs) > seeds.length, `only ${runs} runs: ${stderr.slice(-2000)}`);
}

it(
  "the shim survives any packets with any descriptors, and does nothing by halves",
  { skip },
  (t) => {
    fuzz(makeScratch(t), "shim-requests.c", REQUESTS);
  },
);

it(
  "the shim's child takes argument vectors apart within their bounds, or refuses them",
  { skip },
  (t) => {
    fuzz(makeScratch(t), "shim-arguments.c", ARGUMENTS);
  },
);
