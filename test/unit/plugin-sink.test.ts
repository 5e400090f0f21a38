import assert from "node:assert/strict";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import { PluginSink, type PluginSinkOptions } from "../../src/logging/plugin/sink.ts";
import { endThreads, hasThreads } from "../../src/logging/plugin/thread.ts";
import type { PluginRecord } from "../../src/logging/plugin-api.ts";
import type { SinkFault } from "../../src/logging/sink.ts";
import { projectRoot } from "../support/programs.ts";
import { inTime, PATIENCE, textOf } from "../support/waiting.ts";

const AT = { seconds: 1_700_000_000, nanoseconds: 5 };
const TIME = "2023-11-14T22:13:20.000000005Z";
const container = { id: "abc", name: "web", tag: "a tag", labels: { TEAM: "red" } };

let directory: string;
let faults: SinkFault[];
/** Who waits for the next fault. */
let onFault: () => void;
const open = new Set<PluginSink>();

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "plugin-sink-"));
  faults = [];
  onFault = () => {};
});

afterEach(async () => {
  for (const sink of open) sink.close();
  open.clear();
  assert.ok(await endThreads(10_000), "all threads have ended");
  rmSync(directory, { recursive: true });
});

/** A plug-in whose sink has these methods; `out` is the path of its output. */
function plugin(methods: string, { name = "sink.mjs", before = "" } = {}): string {
  const path = join(directory, name);
  const head =
    'import { appendFileSync } from "node:fs";\nimport { setTimeout } from "node:timers/promises";';
  writeFileSync(
    path,
    `${head}\nexport default (out, container) => {\n${before}\nreturn {\n${methods}\n}; };`,
  );
  return path;
}

const APPEND =
  "write(records) { for (const r of records) appendFileSync(out, JSON.stringify(r) + '\\n'); },";

const output = (): string => join(directory, "out");

function sinkWith(path: string, options: Partial<PluginSinkOptions> = {}): PluginSink {
  const sink = new PluginSink({
    // A flush ends when all has been taken, not when a busy machine has not come to it in time.
    ...{ path, options: output(), container, firstPause: 1, flushTime: PATIENCE },
    onError: (fault) => {
      faults.push(fault);
      onFault();
    },
    ...options,
  });
  open.add(sink);
  return sink;
}

/** Resolves when so many faults have been told. */
async function told(count: number): Promise<void> {
  const enough = new Promise<void>((resolve) => {
    onFault = () => {
      if (faults.length >= count) resolve();
    };
    onFault();
  });
  await inTime(enough, () => `${count} faults; there were ${JSON.stringify(faults)}`);
}

function print(sink: PluginSink, ...lines: string[]): void {
  for (const line of lines) sink.write("stdout", Buffer.from(`${line}\n`), AT);
}

async function endOf(sink: PluginSink): Promise<void> {
  sink.end("stdout");
  sink.end("stderr");
  await inTime(sink.flush(), "the end of the flush");
}

const record = (text: string, stream = "stdout", partial = false): PluginRecord =>
  ({ stream, time: TIME, text, partial }) as PluginRecord;

/** What a plug-in wrote with {@link APPEND}. */
async function records(accept?: (text: string) => boolean): Promise<PluginRecord[]> {
  const lines = (await textOf(output(), accept)).split("\n").slice(0, -1);
  return lines.map((line) => JSON.parse(line));
}

const reasonOf = (fault: SinkFault | undefined): string =>
  fault?.state === "failing" ? fault.error.message : `${fault?.state}`;

test("a plug-in gets whole lines of both streams, and is closed at the end", async () => {
  const sink = sinkWith(plugin(`${APPEND} close() { appendFileSync(out, '"closed"\\n'); }`));
  await sink.opened();
  sink.write("stdout", Buffer.from("one\ntw"), AT);
  sink.write("stderr", Buffer.from("err\n\nend"), AT);
  sink.write("stdout", Buffer.from("o €").subarray(0, 4), {
    seconds: 1_800_000_000,
    nanoseconds: 0,
  });
  sink.write("stdout", Buffer.from("€\n").subarray(2), AT);
  await endOf(sink);
  assert.deepEqual(await records(), [
    record("one"),
    record("err", "stderr"),
    record("", "stderr"),
    record("two €"),
    record("end", "stderr", true),
    "closed",
  ]);
  assert.deepEqual(sink.counters, {
    ...{ bytes: 20, records: 5, pendingBytes: 0, rotations: 0 },
    ...{ stdout: { bytes: 12, records: 2 }, stderr: { bytes: 8, records: 3 } },
    ...{ droppedBytes: 0, droppedRecords: 0, writeErrors: 0, lastError: undefined },
  });
  assert.deepEqual(faults, []);
});

test("a plug-in may print as much as it likes", async () => {
  const sink = sinkWith(
    plugin("write() { for (let i = 0; i < 1000; i++) process.stdout.write('x'.repeat(100)); }"),
  );
  await sink.opened();
  // More than a thread has memory for, if it were kept.
  for (let round = 0; round < 600; round++) {
    print(sink, "line");
    await inTime(sink.flush(), "the end of the flush");
  }
  assert.deepEqual(faults, []);
  assert.equal(sink.counters.records, 600);
});

test("a plug-in gets its options and the container's description", async () => {
  const before = "appendFileSync(out, JSON.stringify(container) + '\\n');";
  const sink = sinkWith(plugin("write() {}", { before }));
  await sink.opened();
  assert.deepEqual(await records(), [container]);
});

for (const [what, name, text] of [
  ["a CommonJS module", "a.cjs", "module.exports = () => ({ write() {} });"],
  ["a CommonJS module of a compiler", "b.cjs", "exports.default = () => ({ write() {} });"],
  [
    "an ES module that opens asynchronously",
    "c.mjs",
    "export default async () => ({ write() {} });",
  ],
] as const) {
  test(`${what} loads`, async () => {
    writeFileSync(join(directory, name), text);
    const sink = sinkWith(join(directory, name));
    await inTime(sink.opened(), "the plug-in to open");
    print(sink, "a");
    await endOf(sink);
    assert.equal(sink.counters.records, 1);
  });
}

for (const [what, text, reason] of [
  ["exports nothing", "", /its default export is no function/],
  ["opens nothing", "export default () => {};", /has no write function/],
  [
    "throws as it opens",
    "export default () => { throw new Error('no such host'); };",
    /Error: no such host/,
  ],
  ["throws something odd", "export default async () => { throw null; };", /^null$/],
  ["does not parse", "export default (", /SyntaxError/],
  ["ends its thread", "process.exit(3);", /ended by itself with status 3/],
  ["runs for ever as it opens", "for (;;);", /its open has not come to an end within 500 ms/],
] as const) {
  test(`one that ${what} cannot be opened, and is not tried again`, async () => {
    writeFileSync(join(directory, "bad.mjs"), text);
    // Only the one that is waited for in vain may be told so, however slow the machine is.
    const patience = what === "runs for ever as it opens" ? 500 : PATIENCE;
    const sink = sinkWith(join(directory, "bad.mjs"), { patience });
    await assert.rejects(inTime(sink.opened(), "the refusal"), { message: reason });
    print(sink, "a");
    await sink.flush();
    assert.deepEqual([sink.counters.droppedBytes, sink.counters.pendingBytes], [2, 0]);
    assert.deepEqual(faults, []);
  });
}

test("a long line comes in pieces, and no character is cut", async () => {
  const sink = sinkWith(plugin(APPEND));
  const text = `${"x".repeat(16383)}€${"y".repeat(40_000)}`;
  for (let at = 0; at < Buffer.byteLength(text); at += 5000) {
    sink.write("stdout", Buffer.from(text).subarray(at, at + 5000), AT);
  }
  print(sink, "", "z".repeat(16384), "z".repeat(16385));
  await endOf(sink);
  const got = await records();
  assert.deepEqual(
    got.map(({ text, partial }) => [Buffer.byteLength(text), partial]),
    [
      [16383, true],
      [16384, true],
      [16384, true],
      [7235, false],
      [16384, false],
      [16384, true],
      [1, false],
    ],
  );
  assert.equal(
    got
      .slice(0, 4)
      .map((r) => r.text)
      .join(""),
    text,
  );
});

test("much output goes in few batches, in order and without loss", async () => {
  const sink = sinkWith(
    plugin("write(records) { appendFileSync(out, records.map((r) => r.text + '\\n').join('')); },"),
  );
  await sink.opened();
  const text = Array.from({ length: 100_000 }, (_, n) => `${n}\n`).join("");
  for (let at = 0; at < text.length; at += 65536) {
    sink.write("stdout", Buffer.from(text.slice(at, at + 65536)), AT);
  }
  await endOf(sink);
  assert.ok((await textOf(output())) === text);
  assert.deepEqual([sink.counters.bytes, sink.counters.records], [text.length, 100_000]);
});

test("a plug-in that throws is told of once, and started again after a pause", async () => {
  const sink = sinkWith(
    plugin(
      `write(records) { if (records[0].text === "bad") throw new TypeError("boo"); ${"for (const r of records) appendFileSync(out, JSON.stringify(r) + '\\n');"} },`,
    ),
  );
  await sink.opened();
  print(sink, "bad");
  await told(1);
  assert.equal(reasonOf(faults[0]), "TypeError: boo");
  print(sink, "good");
  await told(2);
  assert.deepEqual(faults[1], {
    state: "recovered",
    task: "write",
    droppedBytes: 4,
    droppedRecords: 1,
  });
  await endOf(sink);
  assert.deepEqual(await records(), [record("good")]);
  assert.deepEqual(
    [sink.counters.bytes, sink.counters.droppedBytes, sink.counters.pendingBytes],
    [5, 4, 0],
  );
});

test("one that fails in the background ends its thread only", async () => {
  const before = "setTimeout(1).then(() => { throw new Error('in the background'); });";
  sinkWith(plugin(APPEND, { before }));
  await told(1);
  assert.match(reasonOf(faults[0]), /in the background/);
});

test("one that takes too much memory ends its thread only", async () => {
  sinkWith(
    plugin(APPEND, {
      before: "const all = []; for (;;) all.push(new Array(1e6).fill(all.length));",
    }),
  );
  await told(1);
  assert.match(reasonOf(faults[0]), /memory limit/);
});

test("one that goes on failing is given up, which is told as well", async () => {
  const sink = sinkWith(plugin("write() { throw new Error('always'); },"));
  await sink.opened();
  for (let failures = 0; failures < 5; failures++) {
    const before = sink.counters.writeErrors;
    print(sink, "line");
    await inTime(
      (async () => {
        while (sink.counters.writeErrors === before) await new Promise(setImmediate);
      })(),
      "the next failure",
    );
  }
  await told(2);
  assert.match(reasonOf(faults[1]), /failed 5 times and is not started again: Error: always/);
  assert.equal(faults.length, 2);
  print(sink, "for nobody");
  assert.deepEqual([sink.counters.droppedRecords, sink.counters.pendingBytes], [6, 0]);
  await endOf(sink);
});

for (const [what, loop] of [
  ["in an endless loop", "for (;;);"],
  ["in a promise that nobody keeps", "return new Promise(() => {});"],
] as const) {
  test(`one that hangs ${what} is ended and started again`, async () => {
    const body = `write(records) { if (records[0].text === "hang") { ${loop} } appendFileSync(out, records[0].text); },`;
    // Enough for a thread to start on a busy machine.
    const sink = sinkWith(plugin(body), { patience: 2000 });
    await sink.opened();
    print(sink, "hang");
    await told(1);
    assert.match(reasonOf(faults[0]), /its write has not come to an end within 2000 ms/);
    print(sink, "after");
    assert.equal(await textOf(output()), "after");
  });
}

test("one that answers in time is not given up by a conmond that has been stopped meanwhile", async () => {
  const patience = 2000;
  const sink = sinkWith(plugin(APPEND), { patience });
  await sink.opened();
  // The timers come next then, before anything that has arrived.
  await new Promise(setImmediate);
  print(sink, "line");
  const cell = new Int32Array(new SharedArrayBuffer(4));
  // Nothing is done here, until the plug-in has written and its time would be over.
  for (const end = Date.now() + PATIENCE; !existsSync(output()) && Date.now() < end; ) {
    Atomics.wait(cell, 0, 0, 10);
  }
  Atomics.wait(cell, 0, 0, patience);
  await endOf(sink);
  assert.deepEqual(faults, []);
  assert.deepEqual(await records(), [record("line")]);
  assert.deepEqual([sink.counters.records, sink.counters.droppedRecords], [1, 0]);
});

test("the memory for what waits is bounded: the oldest goes, counted and told", async () => {
  const gate = join(directory, "gate");
  const wait = `while (!existsSync(${JSON.stringify(gate)})) await setTimeout(5);`;
  const path = plugin(
    `async write(records) { ${wait} for (const r of records) appendFileSync(out, r.text + (r.partial ? '' : '\\n')); },`,
  );
  writeFileSync(path, `import { existsSync } from "node:fs";\n${await textOf(path)}`);
  const sink = sinkWith(path, { queueSize: 300_000 });
  await sink.opened();
  const line = "x".repeat(99_999);
  for (let n = 0; n < 50; n++) {
    print(sink, `${String(n).padStart(2, "0")}${line}`);
    // Two batches at most are beyond the queue: what is with the plug-in and what is being filled.
    assert.ok(sink.counters.pendingBytes <= 300_000 + 2 * 128 * 1024);
  }
  assert.equal(faults.length, 1);
  assert.match(reasonOf(faults[0]), /too slowly/);
  writeFileSync(gate, "");
  await endOf(sink);
  const got = await textOf(output());
  assert.ok(got.endsWith(`49${line}\n`), "the newest is there");
  const { bytes, droppedBytes, pendingBytes } = sink.counters;
  assert.deepEqual([bytes + droppedBytes, pendingBytes], [50 * 100_002, 0]);
  assert.ok(droppedBytes > 4_000_000);
});

test("at the end a plug-in that hangs gets no longer than it is given", async () => {
  const sink = sinkWith(plugin("write() { for (;;); },"), { flushTime: 300 });
  await sink.opened();
  print(sink, "a", "b");
  const before = performance.now();
  await endOf(sink);
  assert.ok(performance.now() - before < 5000);
  assert.match(reasonOf(faults[0]), /not taken everything within 300 ms/);
  assert.deepEqual([sink.counters.droppedBytes, sink.counters.pendingBytes], [4, 0]);
});

test("a flush before the end waits for what is there, and the plug-in stays open", async () => {
  const sink = sinkWith(plugin(APPEND));
  print(sink, "a");
  await sink.flush();
  assert.deepEqual(await records(), [record("a")]);
  print(sink, "b");
  await endOf(sink);
  assert.deepEqual(await records(), [record("a"), record("b")]);
});

test("close ends the thread, and what comes later is dropped", async () => {
  const sink = sinkWith(plugin(APPEND));
  const opened = sink.opened();
  sink.close();
  sink.close();
  await assert.rejects(opened, /it was closed/);
  print(sink, "a");
  sink.end("stdout");
  await sink.flush();
  assert.equal(sink.counters.droppedBytes, 2);
  assert.equal(hasThreads() && !(await endThreads(10_000)), false);
});

describe("whose code is run", () => {
  const refused = (path: string, reason: RegExp): void => {
    assert.throws(() => sinkWith(path), { message: reason });
  };

  test("a module that is not there, or is no file, is named with the reason", () => {
    const missing = join(directory, "missing.mjs");
    assert.throws(() => sinkWith(missing), {
      message: `The log plug-in ${missing} cannot be used: No such file or directory`,
      code: "ENOENT",
    });
    refused(directory, /it is no regular file/);
  });

  test("one that others can write, or whose directory they can, is refused", () => {
    const path = plugin(APPEND);
    for (const mode of [0o666, 0o664, 0o646]) {
      chmodSync(path, mode);
      refused(path, new RegExp(`its mode 0${mode.toString(8)} lets others write`));
    }
    chmodSync(path, 0o644);
    chmodSync(directory, 0o777);
    refused(path, /the mode 0777 lets others write of its directory/);
    chmodSync(directory, 0o1777);
    sinkWith(path).close();
  });

  test("a link is followed before it is looked at", () => {
    const path = plugin(APPEND);
    mkdirSync(join(directory, "links"));
    symlinkSync(path, join(directory, "links", "sink.mjs"));
    sinkWith(join(directory, "links", "sink.mjs")).close();
    chmodSync(path, 0o666);
    refused(join(directory, "links", "sink.mjs"), /lets others write/);
  });
});

describe("the examples", () => {
  /** A copy, whose owner and mode do not depend on how the sources were checked out. */
  async function example(name: string): Promise<string> {
    const path = join(directory, name);
    writeFileSync(path, await textOf(join(projectRoot, "examples/sinks", name)));
    return path;
  }

  test("count-lines counts", async () => {
    const sink = sinkWith(await example("count-lines.mjs"));
    await sink.opened();
    print(sink, "one", "€");
    sink.write("stderr", Buffer.from("end"), AT);
    await endOf(sink);
    assert.deepEqual(JSON.parse(await textOf(output())), {
      container: "web",
      stdout: { lines: 2, bytes: 8 },
      stderr: { lines: 0, bytes: 3 },
      last: TIME,
    });
  });

  test("count-lines wants to know where to", async () => {
    const sink = sinkWith(await example("count-lines.mjs"), { options: "" });
    await assert.rejects(sink.opened(), /say where the counts go/);
  });

  test("forward-lines forwards to a socket", async () => {
    const socket = join(directory, "lines.sock");
    let got = "";
    const server = createServer((connection) => {
      connection.setEncoding("utf8").on("data", (text) => {
        got += text;
      });
    });
    await new Promise<void>((resolve) => server.listen(socket, resolve));
    try {
      const sink = sinkWith(await example("forward-lines.cjs"), { options: socket });
      await sink.opened();
      print(sink, "one", "two");
      await endOf(sink);
      assert.equal(sink.counters.records, 2);
    } finally {
      await new Promise((resolve) => server.close(resolve));
    }
    const lines = got
      .split("\n")
      .slice(0, -1)
      .map((line) => JSON.parse(line));
    assert.deepEqual(
      lines,
      [record("one"), record("two")].map((r) => ({ container: "abc", ...r })),
    );
  });
});
