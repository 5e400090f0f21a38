import assert from "node:assert/strict";
import { type ChildProcessByStdio, spawn } from "node:child_process";
import { once } from "node:events";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { Readable, Writable } from "node:stream";
import { afterEach, beforeEach, test } from "node:test";
import { fileURLToPath } from "node:url";
import { followLogBatches, type LogFault, readLogs } from "../../src/logging/read/mod.ts";
import { appears, inTime } from "../support/waiting.ts";

const FLOOD = fileURLToPath(new URL("../support/log-flood.ts", import.meta.url));
const LINES = 150_000;

let directory: string;
let path: string;
let writer: ChildProcessByStdio<Writable, Readable, null> | undefined;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "follow-logs-"));
  path = join(directory, "0.log");
});

afterEach(() => {
  writer?.kill("SIGKILL");
  fs.rmSync(directory, { recursive: true });
});

type Rotation = "by-size" | "rename" | "rename-compress" | "truncate-read" | "truncate";

/** Starts a process that logs; resolves when it has ended. */
function flood(rotation: Rotation, lines = LINES) {
  const args = ["--import", "tsx", FLOOD, path, rotation, String(lines)];
  const child = spawn(process.execPath, args, { stdio: ["pipe", "pipe", "inherit"] });
  writer = child;
  const ended = once(child, "exit").then(([status]) => assert.equal(status, 0));
  return { child, ended };
}

function lineOf(index: number): string {
  return `${index} ${"x".repeat((index * 7919) % 211)}`;
}

/** Checks that each line is the next one. */
class Checker {
  next = 0;

  check(text: string): void {
    assert.equal(text, lineOf(this.next), `after ${this.next} lines`);
    this.next++;
  }
}

async function follow(ended: Promise<unknown>, after: () => Promise<void>): Promise<Checker> {
  const checker = new Checker();
  for await (const lines of followLogBatches(path, { ended })) {
    for (const { text } of lines) checker.check(text.toString());
    await after();
  }
  return checker;
}

const atOnce = async () => {};
/** Many rotations later, but not after a time that passes. */
const slowly = async () => {
  for (let turn = 0; turn < 100; turn++) await new Promise(setImmediate);
};

for (const [rotation, how] of [
  ["by-size", "the sink rotates by size"],
  ["rename", "it is rotated as kubelet does"],
  ["rename-compress", "each file is compressed as soon as it is rotated"],
] as const) {
  for (const [speed, after] of [
    ["", atOnce],
    [" by a slow reader", slowly],
  ] as const) {
    test(`each line comes once and in order while ${how}, followed${speed}`, async () => {
      const { ended } = flood(rotation);
      const checker = await inTime(follow(ended, after), "the end of the log", 120_000);
      assert.equal(checker.next, LINES);
      // Else the test would not show anything.
      assert.ok(fs.readdirSync(directory).length > 15, "the log was hardly rotated");
      const again = new Checker();
      for await (const { text } of readLogs(path)) again.check(text.toString());
      assert.equal(again.next, LINES);
    });
  }
}

test("a log that is rotated all the time is read without gaps again and again", async () => {
  for (const rotation of ["by-size", "rename-compress"] as const) {
    const { ended } = flood(rotation);
    let isOver = false;
    void ended.finally(() => {
      isOver = true;
    });
    await appears(path);
    for (let isLast = false; !isLast; ) {
      isLast = isOver;
      const checker = new Checker();
      for await (const { text, complete } of readLogs(path))
        if (complete) checker.check(text.toString());
    }
    await ended;
    for (const name of fs.readdirSync(directory)) fs.rmSync(join(directory, name));
  }
});

test("each line comes once and in order when the log is truncated after it was read", async () => {
  const { child, ended } = flood("truncate-read", 60_000);
  const checker = new Checker();
  const faults: LogFault[] = [];
  const asked = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  const questions = () => asked.next().then(({ value }) => Number(value ?? Number.NaN));
  let written = Number.NaN;
  const allow = () => {
    if (checker.next !== written) return;
    child.stdin.write("go on\n");
    written = Number.NaN;
    void listen();
  };
  const listen = async () => {
    written = await questions();
    allow();
  };
  void listen();
  const onFault = (fault: LogFault) => faults.push(fault);
  const following = async () => {
    for await (const lines of followLogBatches(path, { ended, onFault })) {
      for (const { text } of lines) checker.check(text.toString());
      allow();
    }
  };
  await inTime(following(), "the end of the log", 120_000);
  assert.equal(checker.next, 60_000);
  assert.ok(faults.length > 5, `${faults.length} truncations`);
  assert.ok(faults.every(({ kind }) => kind === "truncated"));
});

test("when the log is truncated before it was read, lines are lost but none is doubled or torn", async () => {
  const { ended } = flood("truncate", 60_000);
  const faults: LogFault[] = [];
  let next = 0;
  const onFault = (fault: LogFault) => faults.push(fault);
  const following = async () => {
    for await (const lines of followLogBatches(path, { ended, onFault })) {
      for (const { text } of lines) {
        const number = Number(text.toString().split(" ")[0]);
        assert.ok(number >= next, `${number} after ${next}`);
        assert.equal(text.toString(), lineOf(number));
        next = number + 1;
      }
    }
  };
  await inTime(following(), "the end of the log", 120_000);
  assert.equal(next, 60_000);
  assert.ok(faults.every(({ kind }) => kind === "truncated"));
});
