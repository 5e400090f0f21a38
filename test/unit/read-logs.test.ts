import assert from "node:assert/strict";
import * as fs from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, test } from "node:test";
import { gzipSync } from "node:zlib";
import { K8sFileSink } from "../../src/logging/k8s-file.ts";
import {
  type LogFault,
  type LogLine,
  type ReadOptions,
  readLogBatches,
  readLogs,
} from "../../src/logging/read/mod.ts";
import { compareTimes } from "../../src/logging/read/rfc3339.ts";
import { watchDescriptors } from "../support/open-descriptors.ts";

const TIME = "2026-11-24T04:13:35.000000001Z";

let directory: string;
let path: string;

beforeEach(() => {
  directory = fs.mkdtempSync(join(tmpdir(), "read-logs-"));
  path = join(directory, "0.log");
});

afterEach(() => {
  fs.rmSync(directory, { recursive: true });
});

function put(suffix: string, content: string | Buffer): void {
  const bytes = Buffer.from(content);
  fs.writeFileSync(`${path}${suffix}`, suffix.endsWith(".gz") ? gzipSync(bytes) : bytes);
}

function records(...texts: string[]): string {
  return texts.map((text) => `${TIME} stdout F ${text}\n`).join("");
}

async function read(options?: ReadOptions): Promise<LogLine[]> {
  const lines: LogLine[] = [];
  for await (const line of readLogs(path, options)) lines.push(line);
  return lines;
}

async function texts(options?: ReadOptions): Promise<string[]> {
  return (await read(options)).map(({ text, complete }) => `${text}${complete ? "" : "..."}`);
}

test("rotated files come first, the oldest before all others, compressed or not", async () => {
  put(".3.gz", records("a", "b"));
  put(".2.gz", records("c"));
  put(".1", records("d"));
  put("", records("e", "f"));
  put(".1.gz.tmp", "rubbish");
  fs.writeFileSync(`${path}x`, "rubbish");
  assert.deepEqual(await texts(), ["a", "b", "c", "d", "e", "f"]);
  assert.deepEqual(await texts({ tail: 3 }), ["d", "e", "f"]);
  assert.deepEqual(await texts({ tail: 5 }), ["b", "c", "d", "e", "f"]);
});

test("kubelet's names are known", async () => {
  put(".20260102-000000.gz", records("a"));
  put(".20260102-000010", records("b"));
  put("", records("c"));
  assert.deepEqual(await texts(), ["a", "b", "c"]);
});

test("a backup that is just being compressed is read once", async () => {
  put(".1", records("a"));
  put(".1.gz", records("a"));
  put("", records("b"));
  assert.deepEqual(await texts(), ["a", "b"]);
});

test("a line may go on from one file to the next, and in another format", async () => {
  put(".2.gz", `${TIME} stdout P a\n`);
  put(".1", `{"log":"b","stream":"stdout","time":"${TIME}"}\n`);
  put("", `${TIME} stdout F c\n`);
  assert.deepEqual(await texts(), ["abc"]);
  assert.deepEqual(await texts({ tail: 1 }), ["abc"]);
});

test("the log itself may be missing, or a link to where its backups are", async () => {
  put(".1", records("a"));
  assert.deepEqual(await texts(), ["a"]);
  put("", records("b"));
  const link = join(directory, "link");
  fs.symlinkSync("0.log", link);
  path = link;
  assert.deepEqual(await texts(), ["a", "b"]);
});

test("no log, no directory and a directory in its place are errors", async () => {
  await assert.rejects(texts(), {
    message: `Failed to open the log ${path}: No such file or directory`,
    code: "ENOENT",
  });
  fs.mkdirSync(path);
  await assert.rejects(texts(), {
    message: `Failed to open the log ${path}: It is no regular file`,
    code: "ENOENT",
  });
  path = join(directory, "missing", "0.log");
  await assert.rejects(texts(), { code: "ENOENT" });
});

test("an empty log has no lines", async () => {
  put("", "");
  for (const tail of [0, 1, Number.POSITIVE_INFINITY]) assert.deepEqual(await texts({ tail }), []);
});

test("a number of lines that is none is refused", async () => {
  put("", records("a"));
  for (const tail of [-1, 1.5, Number.NaN]) await assert.rejects(texts({ tail }), RangeError);
});

test("a torn last record is skipped, or delivered as far as it goes", async () => {
  put("", `${records("a", "b")}${TIME} stderr F to`);
  assert.deepEqual(await texts(), ["a", "b"]);
  assert.deepEqual(await texts({ tail: 1 }), ["b"]);
  assert.deepEqual(await texts({ torn: "deliver" }), ["a", "b", "to..."]);
  assert.deepEqual(await texts({ torn: "deliver", tail: 1 }), ["to..."]);
  assert.deepEqual(await texts({ torn: "deliver", tail: 2 }), ["b", "to..."]);
  assert.deepEqual(await texts({ torn: "deliver", tail: 0 }), []);
  assert.deepEqual(await texts({ torn: "deliver", stream: "stdout" }), ["a", "b"]);
});

test("faults are told with file and place, and do not count as lines", async () => {
  put(".2", `${records("a")}${TIME} stdout F to`);
  const packed = gzipSync(Buffer.from(records("b")));
  fs.writeFileSync(`${path}.1.gz`, packed.subarray(0, -8));
  put("", `${records("c")}nonsense\n${records("d")}`);
  const faults: LogFault[] = [];
  const onFault = (fault: LogFault) => faults.push(fault);
  assert.deepEqual(await texts({ onFault }), ["a", "b", "c", "d"]);
  assert.deepEqual(
    faults.map(({ kind, file, offset }) => [kind, file, offset]),
    [
      ["torn", `${path}.2`, records("a").length],
      ["damaged", `${path}.1.gz`, records("b").length],
      ["malformed", path, records("c").length],
    ],
  );
  assert.deepEqual(await texts({ onFault, tail: 2 }), ["c", "d"]);
  assert.deepEqual(await texts({ onFault, tail: 4 }), ["a", "b", "c", "d"]);
});

test("without an onFault a fault is thrown", async () => {
  put("", "nonsense\n");
  await assert.rejects(texts(), { name: "LogFault", kind: "malformed", offset: 0 });
});

test("what is written after the beginning is not read, and rotation does not disturb", async () => {
  const sink = new K8sFileSink({ path, rotate: true, maxFiles: 2 });
  try {
    const print = (text: string) => {
      sink.write("stdout", Buffer.from(`${text}\n`), { seconds: 1, nanoseconds: 0 });
    };
    for (const text of ["a", "b", "c"]) {
      print(text);
      sink.reopen();
    }
    print("d");
    const found: string[] = [];
    for await (const lines of readLogBatches(path)) {
      found.push(...lines.map(({ text }) => text.toString()));
      // Pushes all files out that are being read, one of them compressed first.
      if (fs.existsSync(`${path}.1`)) {
        fs.writeFileSync(`${path}.1.gz`, gzipSync(fs.readFileSync(`${path}.1`)));
        fs.rmSync(`${path}.1`);
      }
      for (const text of ["x", "y", "z"]) {
        print(text);
        sink.reopen();
      }
    }
    assert.deepEqual(found, ["b", "c", "d"]);
  } finally {
    sink.close();
  }
});

test("a file that is truncated while it is read is told", async () => {
  const line = "x".repeat(1000);
  put("", records(...Array(1000).fill(line)));
  const faults: LogFault[] = [];
  let count = 0;
  for await (const lines of readLogBatches(path, { onFault: (fault) => faults.push(fault) })) {
    if (count === 0) fs.truncateSync(path);
    count += lines.length;
  }
  assert.ok(count > 0 && count < 1000, `${count}`);
  assert.equal(faults.length, 1);
  assert.deepEqual(
    [faults[0]?.kind, faults[0]?.offset],
    ["truncated", count * records(line).length],
  );
});

test("an aborted signal ends the reading", async () => {
  put("", records(...Array(20_000).fill("0123456789")));
  const stop = new AbortController();
  let batches = 0;
  for await (const lines of readLogBatches(path, { signal: stop.signal })) {
    assert.ok(lines.length > 0);
    batches++;
    stop.abort();
  }
  assert.equal(batches, 1);
  assert.deepEqual(await texts({ signal: AbortSignal.abort() }), []);
});

test("every descriptor is closed, however the reading ends", async () => {
  put(".1", records("a"));
  put("", `${records("b")}nonsense\n`);
  const leftOver = watchDescriptors();
  await texts({ onFault: () => {} });
  await assert.rejects(texts());
  for await (const line of readLogs(path)) if (line.text.length > 0) break;
  assert.deepEqual(leftOver(), []);
});

/** Bytes that this process has read by now. */
function bytesRead(): number {
  return Number(/^rchar: (\d+)$/m.exec(fs.readFileSync("/proc/self/io", "utf8"))?.[1]);
}

test("the last lines are found without reading the whole log", async () => {
  const block = records(...Array(20_000).fill("x".repeat(60)));
  for (const suffix of [".2.gz", ".1", ""]) put(suffix, block.repeat(4));
  // The other stream's line has no line before it that would end the search.
  fs.appendFileSync(path, `${TIME} stderr F e\n${records("last")}`);
  const before = bytesRead();
  const lines = await read({ tail: 1000 });
  const read_ = bytesRead() - before;
  assert.equal(lines.length, 1000);
  assert.deepEqual(
    lines.slice(-2).map(({ text }) => text.toString()),
    ["e", "last"],
  );
  assert.ok(read_ < 2_000_000 && block.length * 4 > 7_000_000, `${read_} of ${block.length}`);
});

// ---- the same from random logs, compared with what simple code makes of them ----

interface Piece {
  readonly stream: "stdout" | "stderr";
  readonly text: string;
  readonly partial: boolean;
  readonly nanoseconds: number;
}

interface Expected {
  readonly stream: "stdout" | "stderr";
  text: string;
  readonly nanoseconds: number;
  complete: boolean;
  /** Where its last record is. */
  last: number;
}

function random(below: number): number {
  return Math.floor(Math.random() * below);
}

function randomPieces(): Piece[] {
  const wild = random(2) === 0;
  return Array.from({ length: random(60) }, (_, index) => ({
    stream: random(3) === 0 ? "stderr" : "stdout",
    text: "abcdefghij".slice(0, 1 + random(10)),
    partial: random(3) === 0,
    // Clocks are set back now and then.
    nanoseconds: wild ? random(20) : index,
  }));
}

function timeOf(nanoseconds: number): string {
  return `2026-11-24T04:13:35.${String(nanoseconds).padStart(9, "0")}Z`;
}

function recordOf({ stream, text, partial, nanoseconds }: Piece): string {
  if (random(2) === 0) {
    return `${timeOf(nanoseconds)} ${stream} ${partial ? "P" : "F"} ${text}\n`;
  }
  const log = partial ? text : `${text}\n`;
  return `${JSON.stringify({ log, stream, time: timeOf(nanoseconds) })}\n`;
}

/** Cuts the records into files with names of all kinds. */
function putRandomly(pieces: readonly Piece[]): void {
  const dated = random(2) === 0;
  const count = random(4);
  const cuts = Array.from({ length: count }, () => random(pieces.length + 1));
  cuts.sort((a, b) => a - b);
  cuts.push(pieces.length);
  let from = 0;
  cuts.forEach((to, index) => {
    const content = pieces.slice(from, to).map(recordOf).join("");
    const gz = random(2) === 0 ? ".gz" : "";
    const place = dated ? `.20260102-00000${index}${gz}` : `.${count - index}${gz}`;
    put(index === count ? "" : place, content);
    from = to;
  });
}

function join_(pieces: readonly Piece[]): Expected[] {
  const lines: Expected[] = [];
  const open: Partial<Record<string, Expected>> = {};
  pieces.forEach(({ stream, text, partial, nanoseconds }, index) => {
    const line = open[stream] ?? { stream, text: "", nanoseconds, complete: false, last: 0 };
    line.text += text;
    line.last = index;
    open[stream] = partial ? line : undefined;
    if (!partial) lines.push({ ...line, complete: true });
  });
  return [...lines, ...[open.stdout, open.stderr].flatMap((line) => line ?? [])];
}

function shown(lines: readonly (LogLine | Expected)[]): string[] {
  return lines.map((line) => `${line.stream} ${line.text} ${line.complete}`);
}

/** The lines that are last, in the order in which they are delivered. */
function lastOf(lines: readonly Expected[], count: number): Expected[] {
  const ends = lines.map(({ last }) => last).sort((a, b) => b - a);
  const first = ends[count - 1] ?? -1;
  return count === 0 ? [] : lines.filter(({ last }) => last >= first);
}

test("any log: tail N is the last N lines, since and until are a filter", async () => {
  const seconds = Date.parse("2026-11-24T04:13:35Z") / 1000;
  for (let round = 0; round < 60; round++) {
    for (const name of fs.readdirSync(directory)) fs.rmSync(join(directory, name));
    const pieces = randomPieces();
    putRandomly(pieces);
    const all = join_(pieces);
    const context = JSON.stringify(pieces);
    assert.deepEqual(shown(await read()), shown(all), context);
    const since = { seconds, nanoseconds: random(20) };
    const until = { seconds, nanoseconds: random(30) };
    const selections: ReadOptions[] = [{}, { stream: "stdout" }, { stream: "stderr" }];
    selections.push({ since }, { until }, { since, until, stream: "stdout" });
    for (const selection of selections) {
      const { stream = "", since, until } = selection;
      const wanted = all.filter(({ nanoseconds, ...line }) => {
        const time = { seconds, nanoseconds };
        const isIn = since === undefined || compareTimes(time, since) >= 0;
        const isOut = until !== undefined && compareTimes(time, until) > 0;
        return line.stream.includes(stream) && isIn && !isOut;
      });
      assert.deepEqual(shown(await read(selection)), shown(wanted), context);
      for (const tail of [0, 1, 2, 3, 1 + random(30), wanted.length, wanted.length + 1]) {
        const found = await read({ ...selection, tail });
        const why = `${context} ${JSON.stringify(selection)} tail ${tail}`;
        assert.deepEqual(shown(found), shown(lastOf(wanted, tail)), why);
      }
    }
  }
});

test("any output that the sink logs: tail N is the last N lines for all N", async () => {
  for (const recordSize of [3, 40, 16384]) {
    for (const suffix of ["", ".1", ".2", ".3"]) fs.rmSync(`${path}${suffix}`, { force: true });
    const sink = new K8sFileSink({ path, recordSize, maxSize: 9000, rotate: true, maxFiles: 99 });
    let output = "";
    for (let number = 0; number < 150; number++) {
      output += `${number} ${"x".repeat(random(4) === 0 ? random(300) : random(20))}\n`;
    }
    for (let from = 0; from < output.length; ) {
      const to = from + 1 + random(200);
      sink.write("stdout", Buffer.from(output.slice(from, to)), { seconds: to, nanoseconds: 0 });
      from = to;
    }
    sink.close();
    const lines = output.split("\n").slice(0, -1);
    assert.deepEqual(await texts(), lines);
    for (let tail = 0; tail <= lines.length + 1; tail++) {
      const expected = tail === 0 ? [] : lines.slice(-tail);
      assert.deepEqual(await texts({ tail, maxLine: 1000 }), expected, `tail ${tail}`);
    }
    for (const name of fs.readdirSync(directory)) fs.rmSync(join(directory, name));
  }
});

test("a line in pieces counts as one", async () => {
  put("", `${records("a", "bcdefgh")}${TIME} stdout P ijk\n${TIME} stdout F l\n`);
  assert.deepEqual(await texts({ tail: 2, maxLine: 3 }), ["bcd...", "efg...", "h", "ijk...", "l"]);
  assert.deepEqual(await texts({ tail: 1, maxLine: 3 }), ["ijk...", "l"]);
});
