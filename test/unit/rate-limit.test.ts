import assert from "node:assert/strict";
import { mock, test } from "node:test";
import { parseLossNotice, type UntoldLoss } from "../../src/logging/loss-notice.ts";
import { RateGate, type RateGateSettings } from "../../src/logging/rate-gate.ts";
import { RateLimit } from "../../src/logging/rate-limit.ts";

test("a second's worth passes at once, more has to wait for its time", () => {
  const limit = new RateLimit({ bytesPerSecond: 100 }, 0);
  assert.equal(limit.charge(100, 1, 0), 0);
  assert.equal(limit.charge(50, 1, 0), 0.5);
  assert.equal(limit.charge(0, 0, 0.5), 0);
  assert.equal(limit.charge(25, 1, 0.75), 0);
});

test("what is not used is kept for one second only", () => {
  const limit = new RateLimit({ bytesPerSecond: 100 }, 0);
  limit.charge(100, 1, 0);
  assert.equal(limit.charge(150, 1, 1000), 0.5);
});

test("of two limits the one that takes longer counts", () => {
  const limit = new RateLimit({ bytesPerSecond: 100, linesPerSecond: 2 }, 0);
  assert.equal(limit.charge(110, 6, 0), 2);
  assert.equal(limit.charge(900, 0, 2), 8);
});

test("over a long time the rate is kept exactly", () => {
  const limit = new RateLimit({ linesPerSecond: 7 }, 0);
  let now = 0;
  for (let lines = 0; lines < 7007; lines++) now += limit.charge(10, 1, now);
  assert.ok(Math.abs(now - 1000) < 1e-6, `${now}`);
});

test("lines are admitted as long as there are tokens for all of one", () => {
  const limit = new RateLimit({ bytesPerSecond: 10, linesPerSecond: 3 }, 0);
  assert.deepEqual([limit.admit(4, 1), limit.admit(4, 1), limit.admit(4, 1)], [true, true, false]);
  assert.deepEqual([limit.admit(2, 1), limit.admit(0, 0)], [true, false]);
  limit.refill(1);
  assert.equal(limit.admit(4, 0), true);
});

test("a line that is larger than what comes in a second passes when nothing else has", () => {
  const limit = new RateLimit({ bytesPerSecond: 10 }, 0);
  assert.equal(limit.admit(1000, 1), true);
  limit.refill(99);
  assert.equal(limit.admit(1, 1), false);
  limit.refill(100.5);
  assert.equal(limit.admit(1, 1), true);
});

const AT = { seconds: 1_700_000_000, nanoseconds: 0 };
const AT_ONCE = { from: AT, to: AT, reason: "more than 1 lines per second" };

/** A gate whose time stands still until `pass` is called. */
function gate(settings: Partial<RateGateSettings>) {
  mock.timers.enable({ apis: ["setTimeout"] });
  const logged = { stdout: "", stderr: "" };
  const state = { now: 0, relieved: 0 };
  const made = new RateGate({
    onLimit: "drop",
    log: (stream, data) => {
      logged[stream] += Buffer.from(data).toString();
    },
    onRelief: () => {
      state.relieved++;
    },
    wallClock: () => AT,
    now: () => state.now,
    ...settings,
  });
  const write = (text: string, stream: "stdout" | "stderr" = "stdout"): void =>
    made.write(stream, Buffer.from(text), AT);
  /** Milliseconds at a time, as the real clock would show them to the timers. */
  const pass = (milliseconds: number): void => {
    for (let rest = milliseconds; rest > 0; rest -= 10) {
      state.now += Math.min(10, rest);
      mock.timers.tick(Math.min(10, rest));
    }
  };
  return { made, logged, state, write, pass };
}

function withGate(name: string, body: () => void): void {
  test(name, () => {
    try {
      body();
    } finally {
      mock.timers.reset();
    }
  });
}

withGate("block: all is logged, and nothing more is read until its time has come", () => {
  const { made, logged, state, write, pass } = gate({ onLimit: "block", linesPerSecond: 2 });
  write("1\n2\n");
  assert.equal(made.behind, false);
  write("3\n4\n5\n");
  assert.equal(logged.stdout, "1\n2\n3\n4\n5\n");
  assert.equal(made.behind, true);
  pass(1490);
  assert.deepEqual([made.behind, state.relieved], [true, 0]);
  pass(10);
  assert.deepEqual([made.behind, state.relieved], [false, 1]);
  write("6\n");
  assert.equal(made.behind, true);
  made.finish();
  assert.deepEqual([made.behind, logged.stderr], [false, ""]);
});

withGate("drop: whole lines only, and one line when the flood is over", () => {
  const { made, logged, write, pass } = gate({ linesPerSecond: 2 });
  write("1\n2\n3\n4");
  write("4\n5\n");
  assert.equal(logged.stdout, "1\n2\n");
  pass(990);
  assert.equal(logged.stderr, "");
  pass(20);
  const notice = parseLossNotice(logged.stderr.trimEnd());
  assert.deepEqual([notice?.records, notice?.bytes], [3, 7]);
  assert.equal(notice?.reason, "more than 2 lines per second");
  assert.deepEqual(made.dropped.stdout, { bytes: 7, records: 3 });
  write("6\n");
  assert.equal(logged.stdout, "1\n2\n6\n");
  pass(10_000);
  made.finish();
  assert.equal(logged.stderr.split("\n").length, 2);
});

withGate("drop: nothing is said when nothing was lost", () => {
  const { made, logged, write, pass } = gate({ linesPerSecond: 2 });
  for (let line = 0; line < 50; line++) {
    write("x\n");
    pass(500);
  }
  made.finish();
  assert.deepEqual([logged.stderr, logged.stdout.length], ["", 100]);
});

withGate("drop: a line that was logged in part is ended, and not put together with another", () => {
  const { logged, write, pass } = gate({ bytesPerSecond: 10 });
  write("12345678");
  write("9abc\n");
  pass(1100);
  write("new\n");
  assert.equal(logged.stdout, "12345678\nnew\n");
  write("1234", "stdout");
  write("567", "stdout");
  write("8\n9", "stdout");
  pass(1100);
  write("last\n", "stdout");
  assert.equal(logged.stdout, "12345678\nnew\n1234\n9last\n");
});

withGate("drop: the notice has a line of its own, and the other stream's line goes on", () => {
  const { logged, write, pass } = gate({ bytesPerSecond: 10 });
  write("out", "stdout");
  write("err", "stderr");
  write("too much\n", "stderr");
  pass(1100);
  write("put\n", "stdout");
  assert.equal(logged.stdout, "output\n");
  const [first, second] = logged.stderr.split("\n");
  assert.equal(first, "err");
  assert.deepEqual(parseLossNotice(second ?? "")?.records, 1);
});

withGate("drop: a flood without an end is told of every minute", () => {
  const { logged, write, pass } = gate({ linesPerSecond: 1 });
  for (let half = 0; half < 250; half++) {
    write("a\nb\n");
    pass(500);
  }
  const notices = logged.stderr.trimEnd().split("\n").map(parseLossNotice);
  assert.equal(notices.length, 2);
  assert.ok(notices.every((notice) => notice !== undefined && notice.records >= 59));
});

withGate("drop: what a process before has dropped is told with what comes, once", () => {
  const recorded: (UntoldLoss | undefined)[] = [];
  const record = (loss: UntoldLoss | undefined): void => {
    recorded.push(structuredClone(loss));
  };
  const first = gate({ linesPerSecond: 1, record });
  first.write("1\n2\n3\n");
  // Whoever is killed before that has the same piece again.
  assert.equal(recorded.length, 0);
  first.made.settle();
  const before = recorded.at(-1);
  assert.deepEqual([before?.records, before?.bytes], [2, 4]);
  mock.timers.reset();
  const second = gate({ linesPerSecond: 1, record, before });
  second.write("4\n5\n");
  second.pass(1000);
  assert.equal(second.logged.stdout, "4\n");
  assert.equal(parseLossNotice(second.logged.stderr.trimEnd())?.records, 3);
  assert.equal(recorded.at(-1), undefined);
  // Nor does it have to drop anything itself.
  mock.timers.reset();
  const third = gate({ linesPerSecond: 1, record, before: { ...AT_ONCE, records: 7, bytes: 9 } });
  third.pass(1000);
  assert.equal(parseLossNotice(third.logged.stderr.trimEnd())?.records, 7);
});

withGate("drop: what was lost last is told at the end", () => {
  const { made, logged, write } = gate({ linesPerSecond: 1 });
  write("a\nb\n");
  made.finish();
  assert.equal(parseLossNotice(logged.stderr.trimEnd())?.records, 1);
});
