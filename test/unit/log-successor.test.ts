/** A log file is taken over from a process that was killed while it logged a piece of output. */
import assert from "node:assert/strict";
import { openSync, readFileSync, statSync, truncateSync } from "node:fs";
import { describe, it } from "node:test";
import fc from "fast-check";
import { INPUT_SIZE, PAYLOAD_OFFSET } from "../../src/logging/cri-framing.ts";
import { K8sFileSink } from "../../src/logging/k8s-file.ts";
import type { LogKeeper, LogMark } from "../../src/logging/log-keeper.ts";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { makeScratch } from "../support/scratch.ts";

const AT = { seconds: 1_700_000_000, nanoseconds: 5 };

/** Keeps the newest mark. */
class Keeper implements LogKeeper {
  readonly inherited: LogKeeper["inherited"];
  mark: LogMark | undefined;

  constructor(inherited?: LogKeeper["inherited"]) {
    this.inherited = inherited;
  }

  keep(): void {}

  record(mark: LogMark): void {
    this.mark = mark;
  }
}

interface Succession {
  /** What the successor says: bytes of the piece that were in the log. */
  readonly logged: number;
  /** The same, from the file's size after each part. */
  readonly expected: number;
  /** What is in the log in the end. */
  readonly output: Buffer;
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
});
