import assert from "node:assert/strict";
import * as fs from "node:fs";
import { basename, dirname, join } from "node:path";
import { gunzipSync } from "node:zlib";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import type { StreamName } from "../../src/logging/sink.ts";

/** One of the files of a log. */
export interface LogPart {
  readonly name: string;
  /** Uncompressed. */
  readonly content: Buffer;
}

/** Lines with a number and a random length, cut into reads anywhere. */
export class NumberedLines {
  readonly written: Record<StreamName, Buffer> = {
    stdout: Buffer.alloc(0),
    stderr: Buffer.alloc(0),
  };
  readonly #next: Record<StreamName, number> = { stdout: 0, stderr: 0 };
  readonly #rest: Record<StreamName, Buffer> = {
    stdout: Buffer.alloc(0),
    stderr: Buffer.alloc(0),
  };

  /** What comes next on a stream: so many bytes. */
  read(stream: StreamName, bytes: number): Buffer {
    const pieces = [this.#rest[stream]];
    for (let have = this.#rest[stream].length; have < bytes; ) {
      const length = Math.floor(Math.random() ** 6 * 40_000);
      const line = Buffer.from(`${this.#next[stream]++} ${"x".repeat(length)}\n`);
      pieces.push(line);
      have += line.length;
    }
    const all = Buffer.concat(pieces);
    this.#rest[stream] = all.subarray(bytes);
    const data = all.subarray(0, bytes);
    this.written[stream] = Buffer.concat([this.written[stream], data]);
    return data;
  }

  /** Fails unless the files hold all of it, once and in order. */
  check(files: readonly LogPart[]): void {
    for (const stream of ["stdout", "stderr"] as const) {
      const read = Buffer.concat(files.map(({ content }) => readOutput(content, stream)));
      assert.ok(read.equals(this.written[stream]), `${stream} differs from what was written`);
    }
  }
}

/**
 * All files of a log, the oldest first: by their first record's time where the clock tells them apart, and
 * else by number; kubelet's, which have no number, by time alone.
 */
export function readBack(path: string): LogPart[] {
  const directory = dirname(path);
  const base = basename(path);
  const names = fs.readdirSync(directory).filter((name) => name.startsWith(base));
  const parts = names.map((name) => {
    const stored = fs.readFileSync(join(directory, name));
    const content = name.endsWith(".gz") ? gunzipSync(stored) : stored;
    const time = content.toString("latin1", 0, 35);
    return { name, content, time, age: ageOf(name.slice(base.length)) };
  });
  const filled = parts.filter(({ content }) => content.length > 0);
  return filled.sort((one, other) => {
    if (one.time !== other.time) return one.time < other.time ? -1 : 1;
    return other.age - one.age;
  });
}

/** The number of a backup, 0 for the log itself; kubelet's have none and are older than it only. */
function ageOf(suffix: string): number {
  const [, number] = /^\.(\d+)(\.gz)?$/.exec(suffix) ?? [];
  if (number !== undefined) return Number(number);
  return suffix === "" ? 0 : 0.5;
}
