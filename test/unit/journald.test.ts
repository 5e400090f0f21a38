/** The sink for journald with a datagram socket in journald's place. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { afterEach, beforeEach, describe, test } from "node:test";
import { type JournaldOptions, JournaldSink } from "../../src/logging/journald.ts";
import type { SinkFault } from "../../src/logging/sink.ts";
import { JournalReceiver } from "../support/journal.ts";
import { watchDescriptors } from "../support/open-descriptors.ts";
import { Scratch } from "../support/scratch.ts";
import { inTime } from "../support/waiting.ts";

const LINE = `${"x".repeat(99)}\n`;
/** So long that no test gets there. */
const ENDLESS = 2 ** 30;

let scratch: Scratch;
let path: string;
let faults: SinkFault[];
let leftOver: () => string[];
let relieved: () => void;
const sinks: JournaldSink[] = [];
const receivers: JournalReceiver[] = [];

beforeEach(() => {
  leftOver = watchDescriptors();
  scratch = new Scratch();
  path = scratch.path("socket");
  faults = [];
  relieved = () => {};
});

afterEach(async () => {
  for (const sink of sinks.splice(0)) sink.close();
  for (const receiver of receivers.splice(0)) receiver.close();
  await scratch.close();
  assert.deepEqual(leftOver(), [], "descriptors are left over");
});

function receive(): JournalReceiver {
  const receiver = new JournalReceiver(path);
  receivers.push(receiver);
  return receiver;
}

function open(options: Partial<JournaldOptions> = {}): JournaldSink {
  const sink = new JournaldSink({
    containerId: "0123456789abcdef",
    socketPath: path,
    patience: ENDLESS,
    onError: (fault) => faults.push(fault),
    onRelief: () => relieved(),
    ...options,
  });
  sinks.push(sink);
  return sink;
}

function nextRelief(): Promise<void> {
  return inTime(
    new Promise((resolve) => {
      relieved = resolve;
    }),
    "the sink's relief",
  );
}

const states = (): string[] => faults.map(({ state }) => state);

/** Writes lines until journald's queue is full, and returns them. */
function fill(sink: JournaldSink, line = (n: number) => `${n}\n`): string[] {
  const lines: string[] = [];
  while (!sink.behind) {
    const text = line(lines.length);
    sink.write("stdout", Buffer.from(text));
    lines.push(text);
  }
  return lines;
}

function checkBooks(sink: JournaldSink, written: number): void {
  const { bytes, droppedBytes, pendingBytes } = sink.counters;
  assert.equal(bytes + droppedBytes + pendingBytes, written);
}

describe("entries", () => {
  test("have the streams' priorities, the identity, and come in order", () => {
    const receiver = receive();
    const sink = open({ containerName: "web", labels: ["TEAM=red"] });
    sink.write("stdout", Buffer.from("one\ntwo\n"));
    sink.write("stderr", Buffer.from("three\n"));
    const [first, ...others] = receiver.read().entries.map(({ fields }) => fields);
    assert.deepEqual(
      first,
      new Map([
        ["CONTAINER_ID_FULL", "0123456789abcdef"],
        ["CONTAINER_ID", "0123456789ab"],
        ["SYSLOG_IDENTIFIER", "web"],
        ["CONTAINER_NAME", "web"],
        ["TEAM", "red"],
        ["PRIORITY", "6"],
        ["MESSAGE", "one\n"],
      ]),
    );
    assert.deepEqual(
      others.map((fields) => [fields.get("PRIORITY"), fields.get("MESSAGE")]),
      [
        ["6", "two\n"],
        ["3", "three\n"],
      ],
    );
    assert.deepEqual([sink.counters.bytes, sink.counters.records], [14, 3]);
  });

  test("of several containers keep their own fields", () => {
    const receiver = receive();
    const [a, b] = ["a", "b"].map((containerName) => open({ containerName }));
    for (const sink of [a, b, a, a, b]) sink?.write("stdout", Buffer.from("\n"));
    const names = receiver.read().entries.map(({ fields }) => fields.get("CONTAINER_NAME"));
    assert.deepEqual(names, ["a", "b", "a", "a", "b"]);
  });

  test("of unfinished lines are held apart, by stream, and sent at the stream's end", () => {
    const receiver = receive();
    const sink = open();
    sink.write("stdout", Buffer.from("out"));
    sink.write("stderr", Buffer.from("err"));
    assert.deepEqual(receiver.read().messages, []);
    assert.equal(sink.counters.pendingBytes, 6);
    sink.write("stdout", Buffer.from("put\n"));
    sink.end("stderr");
    sink.end("stderr");
    sink.end("stdout");
    assert.deepEqual(receiver.read().messages, ["output\n", "err"]);
    assert.equal(receiver.entries[1]?.fields.get("CONTAINER_PARTIAL_MESSAGE"), "true");
    assert.equal(sink.counters.pendingBytes, 0);
  });

  test("of unfinished lines are sent by close(), for the next conmond has the rest", () => {
    const receiver = receive();
    const sink = open();
    sink.write("stdout", Buffer.from("half a l"));
    sink.close();
    sink.close();
    const next = open();
    next.write("stdout", Buffer.from("ine\n"));
    assert.deepEqual(receiver.read().messages, ["half a l", "ine\n"]);
  });

  test("are not marked as pieces if that is not wanted", () => {
    const receiver = receive();
    const sink = open({ markPartials: false, pieceSize: 3 });
    sink.write("stdout", Buffer.from("123456"));
    sink.end("stdout");
    assert.deepEqual(receiver.read().messages, ["123", "456"]);
    const marked = receiver.entries.filter(({ fields }) => fields.has("CONTAINER_PARTIAL_MESSAGE"));
    assert.deepEqual(marked, []);
  });

  test("that are too large for a datagram go as a sealed file", () => {
    const receiver = receive();
    const label = "x".repeat(250_000);
    const sink = open({ labels: [`LONG=${label}`] });
    sink.write("stdout", Buffer.from("text\n"));
    const [entry] = receiver.read().entries;
    assert.equal(entry?.asFile, true);
    assert.equal(entry?.fields.get("LONG"), label);
    assert.equal(entry?.fields.get("MESSAGE"), "text\n");
    assert.deepEqual([sink.counters.records, faults.length], [1, 0]);
  });

  test("written after close() are dropped and counted", () => {
    const receiver = receive();
    const sink = open();
    sink.close();
    sink.write("stdout", Buffer.from("one\ntwo"));
    sink.end("stdout");
    assert.deepEqual(receiver.read().messages, []);
    assert.deepEqual([sink.counters.droppedRecords, sink.counters.droppedBytes], [2, 7]);
  });
});

describe("a journald that is away", () => {
  test("is told once, with what it cost when it is back", () => {
    const sink = open();
    sink.write("stdout", Buffer.from("lost\nlost too\n"));
    sink.write("stderr", Buffer.from("and this\n"));
    assert.deepEqual(states(), ["failing"]);
    assert.match(sink.counters.lastError?.message ?? "", /^connect: ENOENT: .*\/socket$/);
    assert.deepEqual(
      [sink.counters.droppedRecords, sink.counters.droppedBytes, sink.counters.writeErrors],
      [3, 23, 3],
    );
    const receiver = receive();
    sink.write("stdout", Buffer.from("it is back\n"));
    assert.deepEqual(receiver.read().messages, ["it is back\n"]);
    const recovered = { state: "recovered", task: "write", droppedBytes: 23, droppedRecords: 3 };
    assert.deepEqual(faults.slice(1), [recovered]);
    assert.equal(sink.behind, false);
  });

  test("loses no unfinished line that is complete only when it is back", () => {
    const sink = open();
    sink.write("stdout", Buffer.from("lost\nhalf "));
    const receiver = receive();
    sink.write("stdout", Buffer.from("a line\n"));
    assert.deepEqual(receiver.read().messages, ["half a line\n"]);
  });

  test("may be replaced by another between two entries, and nothing is lost", () => {
    const sink = open();
    for (const message of ["one\n", "two\n", "three\n"]) {
      const receiver = receive();
      sink.write("stdout", Buffer.from(message));
      assert.deepEqual(receiver.read().messages, [message]);
      receiver.close();
    }
    assert.deepEqual(faults, []);
  });

  test("may leave a socket behind that nobody listens at", () => {
    const sink = open();
    const first = receive();
    sink.write("stdout", Buffer.from("one\n"));
    first.abandon();
    sink.write("stdout", Buffer.from("two\n"));
    assert.deepEqual(states(), ["failing"]);
    assert.match(sink.counters.lastError?.message ?? "", /ECONNREFUSED/);
    rmSync(path);
    const second = receive();
    sink.write("stdout", Buffer.from("three\n"));
    assert.deepEqual(second.read().messages, ["three\n"]);
    assert.deepEqual(states(), ["failing", "recovered"]);
  });

  test("takes what waited for it with it, and the books say so", async () => {
    const sink = open();
    const receiver = receive();
    const lines = fill(sink);
    sink.write("stdout", Buffer.from("\n".repeat(1000)));
    const relief = nextRelief();
    receiver.close();
    await relief;
    assert.equal(sink.behind, false);
    assert.ok(sink.counters.droppedRecords > 1000);
    assert.equal(sink.counters.records + sink.counters.droppedRecords, lines.length + 1000);
    assert.equal(sink.counters.pendingBytes, 0);
    assert.deepEqual(states(), ["failing"]);
    checkBooks(sink, lines.join("").length + 1000);
  });
});

describe("a journald whose queue is full", () => {
  test("gets all of it later, in order, of both streams and with their ends", async () => {
    const receiver = receive();
    const sink = open();
    const lines = fill(sink);
    const more = Buffer.from(LINE.repeat(1500));
    sink.write("stdout", more.subarray(0, 100_050));
    sink.write("stderr", Buffer.from("in "));
    sink.write("stderr", Buffer.from("between"));
    sink.end("stderr");
    sink.write("stdout", more.subarray(100_050));
    checkBooks(sink, lines.join("").length + more.length + 10);
    const relief = nextRelief();
    await receiver.until(lines.length + 1501);
    await relief;
    assert.deepEqual(receiver.messages.slice(0, lines.length), lines);
    const rest = receiver.messages.slice(lines.length);
    assert.equal(rest.indexOf("in between"), 1000);
    assert.equal(rest.filter((message) => message === LINE).length, 1500);
    assert.deepEqual([sink.counters.droppedRecords, sink.counters.pendingBytes], [0, 0]);
    assert.deepEqual(faults, []);
  });

  test("is waited for by flush(), also when there is an end to be sent", async () => {
    const receiver = receive();
    const sink = open();
    await sink.flush();
    sink.write("stdout", Buffer.from("rest"));
    const lines = fill(sink, () => "line\n");
    sink.end("stdout");
    let flushed = false;
    const flush = sink.flush().then(() => {
      flushed = true;
    });
    await new Promise(setImmediate);
    assert.equal(flushed, false);
    receiver.readOn();
    await inTime(flush, "the flush");
    const text = receiver.read().messages.join("");
    assert.equal(text, `rest${lines.join("")}`);
  });

  test("is no longer waited for when it takes nothing at all", async () => {
    receive();
    const sink = open({ patience: 1 });
    const relief = nextRelief();
    fill(sink);
    await relief;
    assert.equal(sink.behind, false);
    assert.ok(sink.counters.pendingBytes > 0);
    assert.deepEqual(faults, []);
  });

  test("is waited for again as soon as it has taken something", async () => {
    const receiver = receive();
    const sink = open({ patience: 1 });
    const relief = nextRelief();
    fill(sink);
    sink.write("stdout", Buffer.from(LINE.repeat(1000)));
    await relief;
    receiver.read();
    // There is news in the first turns, if at all.
    for (let turn = 0; turn < 100 && !sink.behind; turn++) await new Promise(setImmediate);
    assert.equal(sink.behind, true);
  });

  test("costs the oldest entries where memory ends, and no more", async () => {
    const receiver = receive();
    const sink = open({ patience: 1, queueSize: 5000 });
    const relief = nextRelief();
    let written = 0;
    const number = (n: number): string => String(n).padStart(99, "0");
    fill(sink, (n) => `${number(n)}\n`);
    written = sink.counters.bytes + sink.counters.pendingBytes;
    const queued = sink.counters.records;
    await relief;
    for (let n = written / 100; n < queued + 500; n++, written += 100) {
      sink.write("stdout", Buffer.from(`${number(n)}\n`));
    }
    assert.deepEqual(states(), ["failing"]);
    assert.match(sink.counters.lastError?.message ?? "", /not taken anything for 1 ms/);
    assert.ok(sink.counters.pendingBytes <= 5000);
    assert.ok(sink.counters.pendingBytes >= 4800, "as much as possible is kept");
    checkBooks(sink, written);
    const kept = sink.counters.pendingBytes / 100;
    const dropped = sink.counters.droppedRecords;
    await receiver.until(queued + kept);
    const expected = Array.from({ length: queued + kept }, (_, i) =>
      i < queued ? i : i + dropped,
    );
    assert.deepEqual(receiver.messages.map(Number), expected);
    assert.equal(dropped, 500 - kept);
    // It reads again, and has all there was.
    sink.write("stdout", Buffer.from(LINE));
    await receiver.until(queued + kept + 1);
    assert.equal(states().at(-1), "recovered");
    assert.equal(sink.counters.droppedRecords, dropped);
  });

  test("is waited for at the end, but not for ever", async () => {
    receive();
    const sink = open({ patience: 1 });
    const lines = fill(sink);
    await inTime(sink.flush(), "the end of the flush");
    assert.equal(sink.counters.pendingBytes, 0);
    assert.equal(sink.counters.records + sink.counters.droppedRecords, lines.length);
    assert.ok(sink.counters.droppedRecords > 0);
    assert.deepEqual(states(), ["failing"]);
  });

  test("is waited for by a conmond that has been stopped meanwhile, and did not see it take anything", async () => {
    const patience = 2000;
    const receiver = receive();
    const sink = open({ patience });
    const lines = fill(sink);
    const flush = sink.flush();
    // The timers come next then, before anything that has become possible.
    await new Promise(setImmediate);
    const taken = receiver.read().messages.length;
    assert.ok(taken < lines.length, "something waits");
    Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, patience);
    receiver.readOn();
    await inTime(flush, "the flush");
    assert.deepEqual(receiver.read().messages, lines);
    assert.equal(sink.counters.droppedRecords, 0);
  });

  test("does not hold up a close(), which counts what is lost", () => {
    receive();
    const sink = open();
    const lines = fill(sink);
    sink.write("stderr", Buffer.from("unfinished"));
    sink.close();
    assert.equal(sink.counters.pendingBytes, 0);
    assert.ok(sink.counters.droppedRecords >= 2);
    checkBooks(sink, lines.join("").length + 10);
  });

  test("may take large entries later as well", async () => {
    const receiver = receive();
    const label = "x".repeat(250_000);
    const sink = open({ labels: [`LONG=${label}`] });
    const lines = fill(sink);
    await receiver.until(lines.length);
    assert.deepEqual(receiver.messages, lines);
    assert.ok(receiver.entries.every(({ asFile }) => asFile));
  });
});

test("one read gives others their turn: not all of many lines are sent at once", async () => {
  const receiver = receive();
  const sink = open();
  sink.write("stdout", Buffer.from("\n".repeat(65_536)));
  assert.ok(sink.behind);
  assert.ok(sink.counters.records <= 256);
  await receiver.until(65_536);
  assert.equal(sink.counters.records, 65_536);
});

test("sizes out of range are refused", () => {
  for (const pieceSize of [0, 1.5, 131_073]) {
    assert.throws(() => open({ pieceSize }), /^RangeError: The piece size must be 1 to 131072/);
  }
  assert.throws(() => open({ queueSize: 5 }), RangeError);
});
