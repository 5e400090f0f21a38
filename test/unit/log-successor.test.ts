/** A log file is taken over from a process that was killed while it logged a piece of output. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import * as fs from "node:fs";
import { appendFileSync, openSync, readFileSync, statSync, truncateSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { INPUT_SIZE, PAYLOAD_OFFSET } from "../../src/logging/cri-framing.ts";
import { K8sFileSink } from "../../src/logging/k8s-file.ts";
import type { LogKeeper, LogMark } from "../../src/logging/log-keeper.ts";
import { parseLossNotice, type UntoldLoss } from "../../src/logging/loss-notice.ts";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { mountTmpfs } from "../support/tmpfs.ts";

const withoutMounts = unlessRootWith("mount", "umount");
const AT = { seconds: 1_700_000_000, nanoseconds: 5 };

/** Keeps the newest mark. */
class Keeper implements LogKeeper {
  readonly inherited: LogKeeper["inherited"];
  mark: LogMark | undefined;
  loss: UntoldLoss | undefined;

  constructor(inherited?: LogKeeper["inherited"]) {
    this.inherited = inherited;
  }

  keep(): void {}

  record(mark: LogMark): void {
    this.mark = mark;
  }

  recordLoss(loss: UntoldLoss | undefined): void {
    this.loss = structuredClone(loss);
  }
}

/** A sink that goes on where the keeper's was killed. */
function successorOf(path: string, { mark, loss }: Keeper): { keeper: Keeper; sink: K8sFileSink } {
  assert.ok(mark !== undefined);
  const keeper = new Keeper({ fd: openSync(path, "a"), mark, loss });
  return { keeper, sink: new K8sFileSink({ path, keeper }) };
}

interface Succession {
  /** What the successor says: bytes of the piece that were in the log. */
  readonly logged: number;
  /** The same, from the file's size after each part. */
  readonly expected: number;
  /** What is in the log in the end. */
  readonly output: Buffer;
}

/** What a successor logs of a piece, and what is then in the log. */
function takeOver(path: string, before: Keeper, piece: Buffer): { logged: number; text: string } {
  const { sink } = successorOf(path, before);
  const logged = sink.resume("stdout", piece, AT);
  sink.write("stdout", Buffer.from("after\n"), AT);
  sink.close();
  return { logged, text: readOutput(readFileSync(path), "stdout").toString() };
}

/**
 * What a successor makes of a log that was killed when so many bytes were in the file, of those that the piece takes.
 */
function succeed(
  path: string,
  piece: Buffer,
  recordSize: number,
  killedAt: (length: number) => number,
): Succession {
  const first = new Keeper();
  const sink = new K8sFileSink({ path, recordSize, keeper: first });
  const before = Buffer.from("before\n");
  sink.write("stdout", before, AT);
  sink.begin();
  const { mark } = first;
  assert.ok(mark !== undefined);
  const lengths: number[] = [];
  // As the session does: what is read at a time is handed out in parts.
  for (let at = 0; at < piece.length; at += INPUT_SIZE) {
    sink.write("stdout", piece.subarray(at, at + INPUT_SIZE), AT);
    lengths.push(statSync(path).size - mark.size);
  }
  sink.close();
  const killed = killedAt(lengths.at(-1) ?? 0);
  truncateSync(path, mark.size + killed);
  const second = new Keeper({ fd: openSync(path, "a"), mark });
  const successor = new K8sFileSink({ path, recordSize, keeper: second });
  const logged = successor.resume("stdout", piece, AT);
  successor.close();
  const parts = lengths.filter((length) => length <= killed).length;
  const output = readOutput(readFileSync(path), "stdout").subarray(before.length);
  return { logged, expected: Math.min(parts * INPUT_SIZE, piece.length), output };
}

const x = (length: number): string => "x".repeat(length);

describe("a log file whose process was killed", () => {
  it("is completed, wherever that was, and what was in it is known", (t) => {
    const scratch = makeScratch(t);
    let run = 0;
    fc.assert(
      fc.property(
        fc.array(fc.integer({ min: 0, max: 200_000 }), { minLength: 1, maxLength: 6 }),
        fc.constantFrom(1000, 16_384, 100_000),
        fc.oneof(fc.constant(0), fc.integer({ min: 0, max: 1_000_000 })),
        (lengths, recordSize, missing) => {
          const piece = Buffer.from(lengths.map(x).join("\n"));
          const path = scratch.path(`${run++}.log`);
          const killedAt = (length: number): number => Math.max(0, length - missing);
          const { logged, expected, output } = succeed(path, piece, recordSize, killedAt);
          assert.ok(output.equals(piece));
          assert.equal(logged, expected);
        },
      ),
      { numRuns: 60 },
    );
  });

  it("is completed also where it is as long as if it had been logged in larger parts", (t) => {
    // A line that goes on in the second part takes a record more than it would in one.
    const line = `${x(8191)}\n${x(INPUT_SIZE - 1)}\n`;
    const piece = Buffer.from(`${line}${x(2 * INPUT_SIZE - line.length - 1)}\n\n`);
    const path = makeScratch(t).path("0.log");
    const lastRecord = PAYLOAD_OFFSET + "\n".length;
    const { logged, output } = succeed(path, piece, 16_384, (length) => length - lastRecord);
    assert.equal(logged, 2 * INPUT_SIZE);
    assert.ok(output.equals(piece));
  });

  it("has each record once although somebody has truncated it before", (t) => {
    const path = makeScratch(t).path("0.log");
    const keeper = new Keeper();
    const sink = new K8sFileSink({ path, keeper });
    sink.write("stdout", Buffer.from(`${x(500)}\n`), AT);
    truncateSync(path, 0);
    sink.write("stdout", Buffer.from("before\n"), AT);
    sink.begin();
    const piece = Buffer.from("one\ntwo\n");
    sink.write("stdout", piece, AT);
    const { logged, text } = takeOver(path, keeper, piece);
    assert.equal(text, "before\none\ntwo\nafter\n");
    assert.equal(logged, piece.length);
    sink.close();
  });

  it("keeps what was logged long before although somebody else has written to it", (t) => {
    const path = makeScratch(t).path("0.log");
    const keeper = new Keeper();
    const sink = new K8sFileSink({ path, keeper });
    sink.begin();
    const record = `${new Date(0).toISOString().replace("Z", "000000+00:00")} stdout F theirs\n`;
    appendFileSync(path, record);
    sink.write("stdout", Buffer.from("before\n"), AT);
    sink.begin();
    const piece = Buffer.from("one\ntwo\n");
    sink.write("stdout", piece, AT);
    assert.equal(takeOver(path, keeper, piece).text, "theirs\nbefore\none\ntwo\nafter\n");
    sink.close();
  });

  it("is completed where it can only be appended to", (t) => {
    const scratch = makeScratch(t);
    for (const killedAt of [1, 30, 49, 50, 51, 90]) {
      const path = scratch.path(`${killedAt}.log`);
      const keeper = new Keeper();
      const sink = new K8sFileSink({ path, keeper });
      sink.begin();
      // Of the second part there is nothing.
      const piece = Buffer.from(`one\ntwo\n${x(INPUT_SIZE)}\n`);
      sink.write("stdout", piece.subarray(0, 8), AT);
      sink.close();
      truncateSync(path, killedAt);
      if (spawnSync("chattr", ["+a", path]).status !== 0) {
        t.skip("needs chattr, root and a file system that knows it");
        return;
      }
      const { text } = takeOver(path, keeper, piece);
      execFileSync("chattr", ["-a", path]);
      assert.equal(text, `${piece}after\n`, `killed at ${killedAt}`);
    }
  });

  it("says what was lost before as well, once", { skip: withoutMounts }, (t) => {
    const directory = mountTmpfs(makeScratch(t), 256);
    const [path, ballast] = [join(directory, "0.log"), join(directory, "ballast")];
    fs.writeFileSync(ballast, Buffer.alloc(128 * 1024));
    // A record of a page, which finds no room between others.
    const line = Buffer.from(`${x(4050)}\n`);
    const first = new Keeper();
    const sink = new K8sFileSink({ path, keeper: first });
    sink.begin();
    sink.write("stderr", Buffer.from("a piece"), AT);
    while (sink.counters.droppedRecords < 10) {
      sink.begin();
      sink.write("stdout", line, AT);
    }
    const { droppedRecords, droppedBytes } = sink.counters;
    // Killed before the last piece was thrown away: it is done with nevertheless.
    const second = successorOf(path, first);
    assert.equal(second.sink.resume("stdout", line, AT), line.length);
    second.sink.begin();
    second.sink.write("stdout", line, AT);
    // And killed again.
    const third = successorOf(path, second.keeper);
    fs.rmSync(ballast);
    third.sink.begin();
    third.sink.write("stdout", line, AT);
    assert.equal(third.keeper.loss, undefined);
    const [piece, text = "", ...more] = readOutput(readFileSync(path), "stderr")
      .toString()
      .split("\n");
    assert.deepEqual([piece, more], ["a piece", [""]]);
    const { records, bytes, reason } = parseLossNotice(text) ?? {};
    assert.deepEqual([records, bytes], [droppedRecords + 1, droppedBytes + line.length]);
    assert.equal(reason, "no space left on device");
    for (const each of [sink, second.sink, third.sink]) each.close();
  });
});
