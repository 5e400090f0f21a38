/** The parts of a session that need no shim: pipes, files, held-back text, milestones. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Syslog } from "../../src/conmond/syslog.ts";
import { ExitFiles, type ExitReport, writeAtomically } from "../../src/session/exit-report.ts";
import { StandardInput } from "../../src/session/input.ts";
import { Journal } from "../../src/session/journal.ts";
import { OutputStream } from "../../src/session/output-stream.ts";
import { OwnMessages } from "../../src/session/own-messages.ts";
import { StartupText } from "../../src/session/startup-text.ts";
import * as sys from "../../src/sys/mod.ts";

let directory: string;
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "session-parts-"));
});
afterEach(() => {
  rmSync(directory, { recursive: true, force: true });
});

function nonBlockingPipe(): [number, number] {
  const ends = sys.pipe();
  for (const fd of ends) sys.setNonBlocking(fd, true);
  return ends;
}

function readOnce(fd: number, most: number, onData: (data: Buffer) => void): number {
  const buffer = Buffer.alloc(most);
  const count = sys.read(fd, buffer, 0, most);
  if (count > 0) onData(buffer.subarray(0, count));
  return count;
}

describe("OutputStream", () => {
  it("hands on every byte in order, and then the end", async () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    const sent = randomBytes(40_000);
    sys.write(writeEnd, sent, 0, sent.length);
    sys.close(writeEnd);
    const got: Buffer[] = [];
    await new Promise<void>((resolve) => {
      const output = new OutputStream("stdout", readEnd, {
        read: (_, fd, most) => readOnce(fd, most, (data) => got.push(data)),
        onBusy: () => {},
        onEnd: (_, error) => {
          assert.equal(error, undefined);
          resolve();
        },
      });
      output.start();
    });
    assert.deepEqual(Buffer.concat(got), sent);
  });

  it("drains what is in the pipe at that moment, though somebody goes on writing", () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    sys.write(writeEnd, Buffer.from("before"), 0, 6);
    let got = "";
    const output = new OutputStream("stderr", readEnd, {
      read: (_, fd, most) =>
        readOnce(fd, most, (data) => {
          got += data.toString();
          sys.write(writeEnd, Buffer.from("more"), 0, 4);
        }),
      onBusy: () => {},
      onEnd: () => assert.fail("it has not ended"),
    });
    output.drain();
    assert.equal(got, "before");
    output.close();
    sys.close(writeEnd);
  });

  it("reads twice in a turn when it is alone, and no more once it has been paused", async () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    // It is never taken: so there is always something to read.
    sys.write(writeEnd, Buffer.alloc(1), 0, 1);
    const turns: number[] = [];
    let reads = 0;
    await new Promise<void>((resolve) => {
      const output = new OutputStream("stdout", readEnd, {
        read: (_, _fd, most) => {
          // What is behind the callback of the event loop is the next turn.
          if (reads === 0) {
            queueMicrotask(() => {
              turns.push(reads);
              reads = 0;
              if (turns.length < 5) return;
              output.close();
              resolve();
            });
          }
          reads++;
          if (turns.length === 4) output.pause();
          return most;
        },
        onBusy: () => {},
        onEnd: () => assert.fail("it has not ended"),
      });
      output.start();
    });
    // In the first ones there may be others from before.
    assert.deepEqual(turns.slice(3), [2, 1]);
    sys.close(writeEnd);
  });
});

describe("StandardInput", () => {
  it("holds back what the container does not read yet, and loses nothing", async () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    const sent = randomBytes(300_000);
    let closed = 0;
    await new Promise<void>((resolve, reject) => {
      const input = new StandardInput({
        onDrained: () => input.end(),
        onClosed: () => {
          closed++;
        },
      });
      input.connect(writeEnd);
      assert.equal(input.write(sent), false, "more than a pipe holds");
      const got: Buffer[] = [];
      const buffer = Buffer.alloc(10_000);
      const readiness = new sys.Readiness(readEnd, () => {
        const count = sys.read(readEnd, buffer, 0, buffer.length);
        if (count > 0) got.push(Buffer.from(buffer.subarray(0, count)));
        if (count !== 0) return;
        readiness.close();
        try {
          assert.deepEqual(Buffer.concat(got), sent);
          resolve();
        } catch (error) {
          reject(error);
        }
      });
      readiness.watch(sys.READABLE);
    });
    assert.equal(closed, 1);
    sys.close(readEnd);
  });

  it("is closed, not broken, when the container closes its stdin", () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    sys.close(readEnd);
    const faults: unknown[] = [];
    const input = new StandardInput({
      onDrained: () => undefined,
      onClosed: (error) => faults.push(error),
    });
    input.connect(writeEnd);
    assert.equal(input.write(Buffer.from("x")), true);
    assert.equal(input.write(Buffer.from("x")), true, "and later data goes nowhere");
    assert.deepEqual(faults, [undefined]);
  });

  it("writes what is held back before it ends", async () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    const sent = Buffer.alloc(100_000, 7);
    const closed = new Promise<void>((resolve) => {
      const input = new StandardInput({
        onDrained: () => undefined,
        onClosed: () => resolve(),
      });
      input.connect(writeEnd);
      input.write(sent);
      input.end();
    });
    const buffer = Buffer.alloc(200_000);
    let total = sys.read(readEnd, buffer, 0, buffer.length);
    await closed;
    total += sys.read(readEnd, buffer, 0, buffer.length);
    assert.equal(total, sent.length);
    sys.close(readEnd);
  });
});

describe("StandardInput before there is a stdin", () => {
  it("keeps what comes and writes it first, then the end", async () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    const events: string[] = [];
    const input = new StandardInput({
      onDrained: () => events.push("drained"),
      onClosed: () => events.push("closed"),
    });
    assert.equal(input.write(Buffer.from("early")), false, "one packet is enough for now");
    input.end();
    input.connect(writeEnd);
    const buffer = Buffer.alloc(100);
    assert.equal(buffer.toString("latin1", 0, sys.read(readEnd, buffer, 0, 100)), "early");
    assert.equal(sys.read(readEnd, buffer, 0, 100), 0);
    assert.deepEqual(events, ["closed"]);
    sys.close(readEnd);
  });

  it("ends at once where the end came first", () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    let closed = 0;
    const input = new StandardInput({ onDrained: () => {}, onClosed: () => closed++ });
    input.end();
    input.connect(writeEnd);
    assert.equal(sys.read(readEnd, Buffer.alloc(1), 0, 1), 0);
    assert.equal(closed, 1);
    sys.close(readEnd);
  });
});

describe("exit files", () => {
  it("hold the bare number", () => {
    const files = new ExitFiles(report({ status: 137 }));
    assert.deepEqual(files.write(), []);
    assert.deepEqual(readdirSync(directory).sort(), ["abc.7.tmp", "exit.7.tmp"]);
    assert.deepEqual(files.putInPlace(false), []);
    assert.equal(readFileSync(join(directory, "exit"), "utf8"), "137");
    assert.equal(readFileSync(join(directory, "abc"), "utf8"), "137");
    assert.deepEqual(readdirSync(directory).sort(), ["abc", "exit"], "and nothing else is left");
    assert.equal(statSync(join(directory, "exit")).mode & 0o777, 0o644);
  });

  it("are each tried, whatever becomes of the other", () => {
    const files = new ExitFiles(report({ persistDir: join(directory, "gone") }));
    const errors = files.write();
    assert.equal(errors.length, 1);
    assert.match(errors[0]?.message ?? "", /Failed to write .*gone\/exit: ENOENT/);
    assert.deepEqual(files.putInPlace(false), []);
    assert.equal(readFileSync(join(directory, "abc"), "utf8"), "1");
  });

  it("do not come back once they have been there, whoever puts them in place", () => {
    new ExitFiles(report({})).write();
    // Killed between the two, and the caller was quick.
    renameSync(join(directory, "exit.7.tmp"), join(directory, "exit"));
    rmSync(join(directory, "exit"));
    assert.deepEqual(new ExitFiles(report({})).putInPlace(true), []);
    assert.deepEqual(readdirSync(directory), ["abc"]);
    assert.equal(new ExitFiles(report({})).putInPlace(false).length, 2);
  });

  it("are not written into what somebody has put in their way", () => {
    execFileSync("mkfifo", [join(directory, "abc"), join(directory, "abc.7.tmp")]);
    symlinkSync("elsewhere", join(directory, "exit.7.tmp"));
    const files = new ExitFiles(report({}));
    assert.deepEqual([files.write(), files.putInPlace(false)], [[], []]);
    assert.deepEqual(readdirSync(directory).sort(), ["abc", "exit"]);
    assert.ok(statSync(join(directory, "abc")).isFile());
  });

  it("leave the old content alone when they cannot be replaced", () => {
    assert.throws(
      () => writeAtomically(join(directory, "no", "file"), "x", 1),
      /Failed to write .*no\/file: ENOENT/,
    );
    assert.deepEqual(readdirSync(directory), []);
  });

  it("leave nothing beside a place that something else has", () => {
    for (const name of ["pidfile", "exit", "abc"]) mkdirSync(join(directory, name));
    assert.throws(() => writeAtomically(join(directory, "pidfile"), "1", 7), /pidfile: EISDIR/);
    const files = new ExitFiles(report({}));
    assert.deepEqual(files.write(), []);
    assert.equal(files.putInPlace(false).length, 2);
    assert.deepEqual(readdirSync(directory).sort(), ["abc", "exit", "pidfile"]);
  });
});

/** For this test's directory, of session 7. */
function report(settings: Partial<ExitReport>): ExitReport {
  const places = { persistDir: directory, exitDir: directory };
  return { status: 1, containerId: "abc", session: 7, ...places, ...settings };
}

describe("StartupText", () => {
  it("holds back what comes, and remembers its end", () => {
    const text = StartupText.create(() => undefined);
    assert.equal(text.add(Buffer.from("one ")), true);
    assert.equal(text.add(Buffer.from("two")), true);
    assert.equal(text.tail.toString(), "one two");
    assert.equal(text.held().toString(), "one two");
    text.drop();
    assert.deepEqual([text.held().length, text.size], [0, 0]);
    assert.equal(text.tail.toString(), "one two");
    text.close();
  });

  it("is bounded, and keeps the end of what is longer", () => {
    const text = StartupText.create(() => undefined);
    let handedOn = 0;
    for (let i = 0; i < 2048; i++) {
      const piece = Buffer.alloc(1024, i & 0xff);
      if (text.add(piece)) continue;
      handedOn += text.held().length + piece.length;
      text.drop();
    }
    assert.ok(handedOn > 0);
    assert.equal(handedOn + text.held().length, 2048 * 1024);
    assert.equal(text.tail.length, 8192);
    assert.equal(text.tail.at(-1), 0xff);
    text.close();
  });

  it("makes a file when there is something to hold, and not before", () => {
    const made: number[] = [];
    const text = StartupText.create((fd) => made.push(fd));
    assert.deepEqual(
      [text.fd, text.size, text.held().length, text.tail.length],
      [undefined, 0, 0, 0],
    );
    text.drop();
    text.add(Buffer.from("one"));
    text.add(Buffer.from("two"));
    assert.deepEqual(made, [text.fd]);
    text.close();
  });

  it("is gone on with by the next conmond, but for what comes again", () => {
    const copies: number[] = [];
    const text = StartupText.create((fd) => copies.push(sys.duplicate(fd), sys.duplicate(fd)));
    text.add(Buffer.from("one "));
    const { size } = text;
    text.add(Buffer.from("two"));
    text.close();
    const whole = StartupText.adopt(copies[0] ?? -1, Number.POSITIVE_INFINITY);
    assert.deepEqual([String(whole.held()), String(whole.tail)], ["one two", "one two"]);
    whole.close();
    const next = StartupText.adopt(copies[1] ?? -1, size);
    assert.deepEqual([String(next.held()), String(next.tail)], ["one ", "one "]);
    next.close();
  });
});

describe("Journal", () => {
  it("tells the next conmond what has been reached", () => {
    const journal = Journal.create();
    const copy = sys.duplicate(journal.fd);
    journal.reach("timed-out");
    journal.deadline = 1234.5;
    journal.exitCommandDue = 4321.5;
    journal.consolePath = "/tmp/conmon-term.ü";
    journal.workingDirectory = `/${"w".repeat(4000)}`;
    journal.failure = Buffer.from("a longer text");
    journal.failure = Buffer.from("no\0good");
    journal.notePiece("stderr");
    journal.noteStartupSize(77);
    const numbers = { inode: 2n ** 63n, size: 5, done: 6, allowance: Infinity };
    const mark = { ...numbers, renewing: true, stderrOpen: true };
    journal.recordMark(4, mark);
    journal.close();
    const next = Journal.adopt(copy);
    assert.deepEqual(
      (["timed-out", "exit-recorded"] as const).map((name) => next.has(name)),
      [true, false],
    );
    assert.deepEqual([next.deadline, next.consolePath], [1234.5, "/tmp/conmon-term.ü"]);
    assert.deepEqual([next.exitCommandDue, next.workingDirectory.length], [4321.5, 4001]);
    assert.equal(Buffer.from(next.failure).toString(), "no\0good");
    assert.deepEqual([next.piece, next.startupSize, next.markOf(4)], ["stderr", 77, mark]);
    next.reach("exit-recorded");
    const third = Journal.adopt(sys.duplicate(next.fd));
    assert.ok(third.has("exit-recorded"));
    next.close();
    third.close();
  });

  it("has nothing to tell when it is new", () => {
    const journal = Journal.create();
    const next = Journal.adopt(sys.duplicate(journal.fd));
    assert.deepEqual(
      [next.has("timed-out"), next.deadline, next.exitCommandDue],
      [false, undefined, undefined],
    );
    assert.deepEqual([next.consolePath, next.workingDirectory, next.failure.length], ["", "", 0]);
    journal.close();
    next.close();
  });
});

describe("OwnMessages", () => {
  it("follow the level, and say who speaks", () => {
    const told: string[] = [];
    const messages = new OwnMessages({
      tell: (text) => told.push(text),
      log: () => undefined,
      syslog: new Syslog(),
    });
    messages.warn("default");
    messages.info("hidden");
    messages.configure({ level: "debug", syslog: false, containerId: "x" });
    messages.debug("shown");
    messages.configure({ level: "error", syslog: false, containerId: "x" });
    messages.warn("hidden");
    messages.error("bad");
    messages.fatal("conmon: line as it is");
    messages.callerLeft();
    messages.debug("nobody listens");
    assert.deepEqual(told, [
      "[conmon:w]: default\n",
      "[conmon:d]: shown\n",
      "[conmon:e]: bad\n",
      "conmon: line as it is\n",
    ]);
  });
});
