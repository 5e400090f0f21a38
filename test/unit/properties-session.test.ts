/** What must hold of a session's options and of what it takes over, whatever callers and predecessors wrote. */
import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { MAX_RECORD_SIZE } from "../../src/logging/cri-framing.ts";
import { CLIENTS_MAX, ClientDeposit, DEPOSIT } from "../../src/session/deposit.ts";
import { ConmonError } from "../../src/session/errors.ts";
import { Journal, LOGS_MAX, MILESTONES } from "../../src/session/journal.ts";
import { LOG_OPTION_NAMES, parseLogOptions } from "../../src/session/log-options.ts";
import { OPTION_TABLE, type OptionEntry } from "../../src/session/option-table.ts";
import { parseOptions } from "../../src/session/options.ts";
import { StartupText } from "../../src/session/startup-text.ts";
import { ShimConnection } from "../../src/shim/connection.ts";
import { REQUEST } from "../../src/shim/messages.ts";
import * as sys from "../../src/sys/mod.ts";
import { output } from "../support/any-bytes.ts";

describe("options", () => {
  const entries = fc.constantFrom(...OPTION_TABLE.filter(({ key }) => key !== "help"));
  const values = fc.oneof(fc.string({ unit: "binary" }), fc.constantFrom("", "-", "--", "--sync"));

  /** An option as callers write it, with the value that it stands for. */
  const given = fc
    .tuple(entries, values, fc.bigInt({ min: -(2n ** 31n), max: 2n ** 31n - 1n }), fc.nat(2))
    .map(([entry, text, number, spelling]) => {
      const isNumber = entry.kind !== "string" && entry.kind !== "list";
      const value = isNumber ? String(number) : text;
      return { entry, value, argv: spell(entry, value, spelling) };
    });

  function spell(entry: OptionEntry, value: string, spelling: number): string[] {
    const long = `--${entry.long}`;
    if (entry.kind === "flag") return [spelling === 0 && entry.short ? `-${entry.short}` : long];
    if (entry.kind === "optional-int") return [`${long}=${value}`];
    if (spelling === 0 && entry.short !== undefined) return [`-${entry.short}`, value];
    return spelling === 1 ? [long, value] : [`${long}=${value}`];
  }

  /** What all values of an option mean together. */
  function meaning(kind: OptionEntry["kind"], values: readonly string[]): unknown {
    if (kind === "list") return values;
    const last = values.at(-1);
    if (kind === "flag") return last !== undefined;
    if (kind === "string" || last === undefined) return last;
    return kind === "int64" ? BigInt(last) : Number(last);
  }

  test("say what was given: the last of each, or all where several count", () => {
    fc.assert(
      fc.property(fc.array(given), fc.array(fc.constantFrom("word", "-")), (some, words) => {
        const argv = [...some.flatMap((option) => option.argv), ...words];
        const options = parseOptions(argv) as unknown as Record<string, unknown>;
        for (const { key, kind } of OPTION_TABLE) {
          const mine = some.filter(({ entry }) => entry.key === key).map(({ value }) => value);
          assert.deepEqual(options[key], meaning(kind, mine), key);
        }
      }),
      { numRuns: 500 },
    );
  });

  test("of any other kind are options all the same, or one line that says what is wrong", () => {
    const argument = fc.oneof(
      entries.map(({ long }) => `--${long}`),
      entries.map(({ short = "-" }) => `-${short}`),
      entries.map(({ long }) => `--${long}=x`),
      fc.stringMatching(/^-[a-zA-Z?]{1,4}$/),
      fc.stringMatching(/^[+-]?(0x)?[0-9a-f]{1,40}$/),
      fc.constantFrom("--", "-", "", "--__proto__", "--constructor=1"),
      fc.string(),
    );
    fc.assert(
      fc.property(fc.array(argument, { maxLength: 8 }), (argv) => {
        try {
          const options = parseOptions(argv);
          assert.equal(Object.keys(options).length, new Set(OPTION_TABLE.map((e) => e.key)).size);
          for (const { key, kind } of OPTION_TABLE) {
            const value = (options as unknown as Record<string, unknown>)[key];
            if (kind === "int" && value !== undefined) assert.equal(value, (value as number) | 0);
          }
        } catch (error) {
          assert.ok(error instanceof ConmonError, String(error));
          assert.ok(error.message.startsWith("conmon: option parsing failed: "));
        }
      }),
      { numRuns: 2000 },
    );
  });
});

describe("log options", () => {
  test("are within their limits, or refused with the name and what is allowed", () => {
    const value = fc.oneof(
      fc.string(),
      fc.stringMatching(/^[0-9]{1,20}[kmgKMG]?$/),
      fc.stringMatching(/^([0-9]{1,12}[smhdw]){1,4}$/),
      fc.constantFrom("none", "gzip", "drop", "block"),
    );
    const words = fc
      .tuple(fc.oneof(fc.constantFrom(...LOG_OPTION_NAMES), fc.string()), value)
      .map(([name, text]) => `${name}=${text}`);
    fc.assert(
      fc.property(fc.array(words), fc.option(words, { nil: undefined }), (given, variable) => {
        try {
          const options = parseLogOptions(given, variable);
          assert.ok(options.recordSize >= 1 && options.recordSize <= MAX_RECORD_SIZE);
          const { bytesPerSecond, linesPerSecond } = options.rate;
          const { maxAge, maxFiles, maxTotalSize } = options;
          for (const limit of [maxAge, maxFiles, maxTotalSize, bytesPerSecond, linesPerSecond]) {
            assert.ok(limit === undefined || (Number.isSafeInteger(limit) && limit >= 1));
          }
        } catch (error) {
          assert.ok(error instanceof ConmonError, String(error));
          assert.match(error.message, /^\[conmon:e\]: (--log-opt |CONMON_LOG_OPTS: )/);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("of sizes and times mean what their units say", () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 9999 }), fc.nat(59), fc.nat(4), (n, minutes, which) => {
        const [unit, factor] = (
          [
            ["", 1],
            ["k", 1024],
            ["M", 1024 ** 2],
            ["g", 1024 ** 3],
            ["K", 1024],
          ] as const
        )[which] ?? ["", 1];
        const { maxTotalSize, maxAge } = parseLogOptions(
          [`max-total-size=${n}${unit}`, `max-age=${n}h${minutes}m`],
          undefined,
        );
        assert.equal(maxTotalSize, n * factor);
        assert.equal(maxAge, n * 3600 + minutes * 60);
      }),
    );
  });
});

/** A memory file with these bytes. */
function fileOf(bytes: Uint8Array): number {
  const fd = sys.memoryFile("any");
  if (bytes.length > 0) sys.write(fd, bytes, 0, bytes.length);
  return fd;
}

describe("the journal", () => {
  const size = fc.nat(Number.MAX_SAFE_INTEGER);
  const mark = fc.record({
    inode: fc.bigInt({ min: 0n, max: 2n ** 64n - 1n }),
    size,
    done: size,
    renewing: fc.boolean(),
    stderrOpen: fc.boolean(),
    allowance: fc.oneof(size, fc.constant(Number.POSITIVE_INFINITY)),
  });
  const time = fc.record({
    seconds: fc.integer({ min: -9_000_000_000, max: 9_000_000_000 }),
    nanoseconds: fc.nat(999_999_999),
  });
  const loss = fc.record({
    records: fc.integer({ min: 1, max: Number.MAX_SAFE_INTEGER }),
    ...{ bytes: size, from: time, to: time, reason: fc.stringMatching(/^[a-zö ]{0,30}$/) },
  });

  test("tells the next conmond what was written to it, in whatever order that was", () => {
    const notes = fc.oneof(
      fc.record({ milestone: fc.constantFrom(...MILESTONES) }),
      fc.record({
        piece: fc.constantFrom("stdout" as const, "stderr" as const, "startup" as const),
      }),
      fc.record({ startupSize: size }),
      fc.record({ log: fc.nat(LOGS_MAX - 1), mark }),
      fc.record({ log: fc.nat(LOGS_MAX - 1), loss: fc.option(loss, { nil: undefined }) }),
      fc.record({ deadline: fc.double({ min: 1, max: 1e12, noNaN: true }) }),
    );
    fc.assert(
      fc.property(fc.array(notes), fc.option(fc.stringMatching(/^\/[^\0]{1,90}$/)), (all, path) => {
        const journal = Journal.create();
        const milestones = new Set<string>();
        const marks = new Map<number, unknown>();
        const losses = new Map<number, unknown>();
        const expected = {
          piece: undefined as unknown,
          startupSize: 0,
          deadline: undefined as unknown,
        };
        for (const note of all) {
          if ("milestone" in note) {
            journal.reach(note.milestone);
            milestones.add(note.milestone);
          } else if ("piece" in note) {
            journal.notePiece(note.piece);
            expected.piece = note.piece;
          } else if ("startupSize" in note) {
            journal.noteStartupSize(note.startupSize);
            expected.startupSize = note.startupSize;
          } else if ("mark" in note) {
            journal.recordMark(note.log, note.mark);
            marks.set(note.log, structuredClone(note.mark));
          } else if ("loss" in note) {
            journal.recordLoss(note.log, note.loss);
            losses.set(note.log, structuredClone(note.loss));
          } else {
            journal.deadline = note.deadline;
            expected.deadline = note.deadline;
          }
        }
        if (path !== null) journal.consolePath = path;
        const next = Journal.adopt(sys.duplicate(journal.fd));
        const { piece, startupSize, deadline } = next;
        assert.deepEqual({ piece, startupSize, deadline }, expected);
        assert.equal(next.consolePath, Buffer.from(path ?? "").toString("utf8"));
        for (const milestone of MILESTONES) {
          assert.equal(next.has(milestone), milestones.has(milestone));
        }
        for (const [log, recorded] of marks) assert.deepEqual(next.markOf(log), recorded);
        for (const [log, recorded] of losses) assert.deepEqual(next.lossOf(log), recorded);
        journal.close();
        next.close();
      }),
      { numRuns: 200 },
    );
  });

  test("with anything else in it tells nothing that makes no sense", () => {
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 6000, size: "max" }),
      fc.nat(6000).map((length) => new Uint8Array(length).fill(255)),
      output(100),
    );
    fc.assert(
      fc.property(bytes, (content) => {
        const journal = Journal.adopt(fileOf(content));
        for (let log = 0; log < LOGS_MAX; log++) {
          const { records = 0, reason = "" } = journal.lossOf(log) ?? {};
          assert.ok(Number.isSafeInteger(records) && records >= 0, `${records} records`);
          assert.ok(!/[\0\n]/.test(reason), reason);
          const found = journal.markOf(log);
          if (found === undefined) continue;
          assert.ok(Number.isSafeInteger(found.size) && found.size >= 0, `size ${found.size}`);
          assert.ok(Number.isSafeInteger(found.done) && found.done >= 0, `done ${found.done}`);
          assert.ok(found.allowance >= 0, `allowance ${found.allowance}`);
        }
        assert.ok(Number.isSafeInteger(journal.startupSize) && journal.startupSize >= 0);
        const { deadline = 1 } = journal;
        assert.ok(Number.isFinite(deadline) && deadline > 0, `deadline ${deadline}`);
        assert.ok(!journal.consolePath.includes("\0"));
        journal.close();
      }),
      { numRuns: 500 },
    );
  });

  test("that is enormous is not read as a whole", () => {
    const fd = fileOf(Buffer.from([1, 1]));
    sys.write(fd, Buffer.alloc(1024 * 1024, "p"), 0, 1024 * 1024);
    const journal = Journal.adopt(fd);
    assert.ok(journal.consolePath.length <= 4096);
    journal.close();
  });
});

test("the text of the start is taken over up to where it counts, and grows from there", () => {
  fc.assert(
    fc.property(output(), output(), fc.nat(400), (before, after, counts) => {
      const text = StartupText.adopt(fileOf(before), counts);
      const known = before.subarray(0, counts);
      assert.ok(text.held().equals(known));
      assert.ok(text.add(after));
      assert.ok(text.held().equals(Buffer.concat([known, after])));
      assert.ok(text.held().subarray(-8192).equals(text.tail));
      text.close();
    }),
    { numRuns: 200 },
  );
});

test("each attach client has one slot as long as it is there, whoever comes and goes", () => {
  const [ours, theirs] = sys.unixSocketPair("seqpacket");
  for (const fd of [ours, theirs]) sys.setNonBlocking(fd, true);
  const nothing = (): void => {};
  const connection = new ShimConnection(ours, {
    ...{ onHello: nothing, onSpawned: nothing, onFailed: nothing, onExited: nothing },
    ...{ onSignal: nothing, onInheritedClosed: nothing, onReported: nothing, onLost: nothing },
  });
  const clients = Array.from({ length: CLIENTS_MAX }, () => sys.duplicate(theirs));
  const packet = new Uint32Array(2);
  /** Does what a shim does with the next request. */
  const obey = (slots: Set<number>): void => {
    const received = sys.receiveWithDescriptors(theirs, new Uint8Array(packet.buffer), 1);
    assert.ok(received !== undefined, "there is one request");
    received.descriptors.forEach(sys.close);
    const [type, slot = 0] = packet;
    const isKept = type === REQUEST.keep;
    assert.equal(
      slots.has(slot),
      !isKept,
      "a slot is filled when it is empty, and emptied when not",
    );
    if (isKept) slots.add(slot);
    else slots.delete(slot);
    assert.ok(slot >= DEPOSIT.firstClient && slot < DEPOSIT.firstClient + CLIENTS_MAX);
  };
  try {
    fc.assert(
      fc.property(fc.array(fc.nat(CLIENTS_MAX - 1), { maxLength: 200, size: "max" }), (toggles) => {
        const deposit = new ClientDeposit(connection);
        const slots = new Set<number>();
        const present = new Set<number>();
        for (const client of toggles) {
          const fd = clients[client] as number;
          if (present.delete(client)) deposit.remove(fd);
          else {
            deposit.add(fd);
            present.add(client);
          }
          obey(slots);
          assert.equal(slots.size, present.size);
        }
      }),
      { numRuns: 50 },
    );
  } finally {
    connection.close();
    clients.forEach(sys.close);
    sys.close(theirs);
  }
});
