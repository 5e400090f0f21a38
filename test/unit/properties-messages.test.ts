/** What must hold of everything that comes from outside as bytes: shims, control fifos, clients, the kernel. */
import assert from "node:assert/strict";
import { endianness } from "node:os";
import { describe, test } from "node:test";
import fc from "fast-check";
import { Backlog } from "../../src/attach/backlog.ts";
import {
  LineAssembler,
  MAX_CONTROL_LINE,
  parseControlLine,
  parseWindowSizeLine,
} from "../../src/attach/control-line.ts";
import {
  fillPacket,
  MAX_PACKET_DATA,
  MAX_PACKET_SIZE,
  readPacket,
} from "../../src/attach/packet.ts";
import { directoryIn, parseCgroupMounts, parseMembership } from "../../src/events/cgroup.ts";
import { linesForHost } from "../../src/events/notify-filter.ts";
import { parseOomState } from "../../src/events/oom-counter.ts";
import { encodeSyncMessage, SYNC_MESSAGE_MAX } from "../../src/session/sync-message.ts";
import { decodeContext } from "../../src/shim/context.ts";
import {
  decodeShimMessage,
  type Ending,
  encodeArguments,
  encodeTell,
  MESSAGE_MAX,
  type ProcessReport,
  ProtocolError,
  type Role,
  type ShimMessage,
} from "../../src/shim/messages.ts";
import { cutAt, cuts, output } from "../support/any-bytes.ts";
import { makeScratch } from "../support/scratch.ts";

const LITTLE = endianness() === "LE";

/** 32-bit fields as native/shim/protocol.h lays them out. */
function words(...fields: readonly number[]): Buffer {
  const bytes = Buffer.alloc(4 * fields.length);
  fields.forEach((field, n) => {
    if (LITTLE) bytes.writeInt32LE(field | 0, 4 * n);
    else bytes.writeInt32BE(field | 0, 4 * n);
  });
  return bytes;
}

describe("a shim's messages", () => {
  const ROLES = ["runtime", "container", "exit-command"] as const;
  const int = fc.integer({ min: -(2 ** 31), max: 2 ** 31 - 1 });
  const unsigned = fc.nat(0xffffffff);
  const role = fc.constantFrom<Role[]>(...ROLES);
  const endings = fc.oneof(
    fc.record({ code: fc.nat(255) }),
    fc.record({ signal: fc.integer({ min: 1, max: 64 }) }),
    fc.constant("unknown" as const),
  );
  const reports = fc.oneof(
    fc.constant<ProcessReport>({ state: "none" }),
    fc.record({ state: fc.constant("running" as const), pid: int }),
    fc.record({ state: fc.constant("ended" as const), pid: int, ending: endings }),
  );
  const slots = (most: number) =>
    fc.uniqueArray(fc.integer({ min: 1, max: 2 ** 31 }), { maxLength: most });
  const any: fc.Arbitrary<ShimMessage> = fc.oneof(
    fc.record({
      type: fc.constant("hello" as const),
      version: fc.constant(1),
      sync: fc.boolean(),
      released: fc.boolean(),
      inheritedClosed: fc.boolean(),
      resumed: fc.boolean(),
      shimPid: int,
      callerPid: int,
      processes: fc.record({ runtime: reports, container: reports, "exit-command": reports }),
      unheededSignal: int,
      slots: slots(96),
    }),
    fc.record({ type: fc.constant("spawned" as const), role, pid: int, slots: slots(3) }),
    fc.record({
      type: fc.constant("failed" as const),
      request: unsigned,
      errno: int,
      text: fc.string({ maxLength: 64 }),
    }),
    fc.record({ type: fc.constant("exited" as const), role, pid: int, ending: endings }),
    fc.record({
      type: fc.constant("signal" as const),
      signal: int,
      forwardedTo: fc.option(role, { nil: undefined }),
    }),
    fc.constant({ type: "inherited-closed" as const }),
    fc.record({ type: fc.constant("reported" as const), report: unsigned, errno: int }),
  );

  function waitStatus(ending: Ending): [number, number] {
    if (ending === "unknown") return [3, 0];
    return [2, "code" in ending ? ending.code << 8 : ending.signal];
  }

  function reportWords(report: ProcessReport): number[] {
    if (report.state === "none") return [0, 0, 0];
    if (report.state === "running") return [1, report.pid, 0];
    const [state, status] = waitStatus(report.ending);
    return [state, report.pid, status];
  }

  const number = (who: Role | undefined): number =>
    who === undefined ? 0 : ROLES.indexOf(who) + 1;

  /** As the shim encodes it. Returns how many descriptors go along as well. */
  function encode(message: ShimMessage): [Buffer, number] {
    switch (message.type) {
      case "hello": {
        const { sync, released, inheritedClosed, resumed, processes } = message;
        const flags = +sync | (+released << 1) | (+inheritedClosed << 2) | (+resumed << 3);
        return [
          words(
            ...[1, message.version, flags, message.shimPid, message.callerPid],
            ...ROLES.flatMap((who) => reportWords(processes[who])),
            ...[message.unheededSignal, message.slots.length, ...message.slots],
          ),
          message.slots.length + 1,
        ];
      }
      case "spawned": {
        const padded = [...message.slots, 0, 0, 0].slice(0, 3);
        const { length } = message.slots;
        return [words(2, number(message.role), message.pid, length, ...padded), length];
      }
      case "failed":
        return [
          Buffer.concat([words(3, message.request, message.errno), Buffer.from(message.text)]),
          0,
        ];
      case "exited": {
        const [state, status] = waitStatus(message.ending);
        return [words(4, number(message.role), state, message.pid, status), 0];
      }
      case "signal":
        return [words(5, message.signal, number(message.forwardedTo)), 0];
      case "inherited-closed":
        return [words(6), 0];
      case "reported":
        return [words(7, message.report, message.errno), 0];
    }
  }

  test("are read as they were meant", () => {
    fc.assert(
      fc.property(any, (message) => {
        const [bytes, descriptors] = encode(message);
        assert.deepEqual(decodeShimMessage(bytes, descriptors), structuredClone(message));
      }),
      { numRuns: 500 },
    );
  });

  test("are refused when a byte, a field or a descriptor is missing or too many", () => {
    fc.assert(
      fc.property(any, fc.nat(), fc.integer({ min: -3, max: 3 }), (message, cut, more) => {
        const [bytes, descriptors] = encode(message);
        if (more !== 0) {
          assert.throws(() => decodeShimMessage(bytes, descriptors + more), ProtocolError);
        }
        if (message.type === "failed") return; // Its text goes to the end of the packet.
        const shorter = bytes.subarray(0, cut % bytes.length);
        assert.throws(() => decodeShimMessage(shorter, descriptors), ProtocolError);
        const longer = Buffer.concat([bytes, Buffer.alloc(1 + (cut % 9))]);
        assert.throws(() => decodeShimMessage(longer, descriptors), ProtocolError);
      }),
      { numRuns: 300 },
    );
  });

  test("of other bytes are protocol errors, or mean just these bytes", () => {
    const bytes = fc
      .tuple(fc.nat(9), fc.array(fc.oneof(fc.nat(4), int), { maxLength: 24 }))
      .map(([type, rest]) => words(type, ...rest));
    fc.assert(
      fc.property(fc.oneof(bytes, fc.uint8Array({ maxLength: 80 })), fc.nat(5), (some, count) => {
        let message: ShimMessage;
        try {
          message = decodeShimMessage(some, count);
        } catch (error) {
          assert.ok(error instanceof ProtocolError, String(error));
          return;
        }
        const [, descriptors] = encode(message);
        assert.equal(descriptors, count, "each descriptor has its place");
        if ("slots" in message) assert.equal(new Set(message.slots).size, message.slots.length);
      }),
      { numRuns: 3000 },
    );
  });

  test("carry any arguments, environment and directory", () => {
    const text = fc
      .string({ unit: "binary", maxLength: 30 })
      .map((some) => some.replaceAll("\0", ""));
    const environment = fc.dictionary(
      text.filter((name) => name !== "" && !name.includes("=")),
      text,
    );
    fc.assert(
      fc.property(fc.array(text), environment, text, (argv, variables, directory) => {
        const pairs = Object.entries(variables).map(([name, value]) => `${name}=${value}`);
        const strings = ["conmon", ...argv, ...pairs, directory].map((some) => `${some}\0`);
        const bytes = Buffer.concat([
          words(argv.length + 1, pairs.length),
          Buffer.from(strings.join("")),
        ]);
        const context = decodeContext(bytes);
        assert.deepEqual(context.arguments, argv.map(roundTrip));
        assert.equal(context.workingDirectory, roundTrip(directory));
        for (const [name, value] of Object.entries(variables)) {
          assert.equal(context.environment.get(roundTrip(name)), roundTrip(value));
        }
      }),
      { numRuns: 200 },
    );
  });

  test("that hold anything else as context are protocol errors", () => {
    fc.assert(
      fc.property(fc.nat(9), fc.nat(9), fc.uint8Array({ maxLength: 60 }), (some, others, bytes) => {
        for (const context of [bytes, Buffer.concat([words(some, others), bytes])]) {
          try {
            const read = decodeContext(Buffer.from(context));
            assert.ok(read.arguments.length <= Math.max(0, some - 1) || context === bytes);
          } catch (error) {
            assert.ok(error instanceof ProtocolError, String(error));
          }
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("to it split any text and join any vector without a byte lost", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary", maxLength: 30_000, size: "max" }), (text) => {
        const packets = encodeTell("stderr", text);
        assert.ok(packets.every(({ length }) => length > 8 && length <= MESSAGE_MAX));
        const bytes = Buffer.concat(packets.map((packet) => packet.subarray(8)));
        assert.equal(bytes.toString("utf8"), roundTrip(text));
      }),
      { numRuns: 20 },
    );
    const bytes = fc.uint8Array().map((some) => some.filter((byte) => byte !== 0));
    fc.assert(
      fc.property(fc.array(bytes), (vector) => {
        const [encoded] = [encodeArguments(vector)];
        assert.ok(encoded.subarray(0, 4).equals(words(vector.length)));
        const strings = encoded.toString("latin1", 4).split("\0").slice(0, -1);
        assert.deepEqual(
          strings,
          vector.map((some) => Buffer.from(some).toString("latin1")),
        );
      }),
    );
  });
});

/** What becomes of a text in UTF-8: half a surrogate pair has none. */
function roundTrip(text: string): string {
  return Buffer.from(text).toString("utf8");
}

describe("control lines", () => {
  const numbers = fc.oneof(fc.nat(1100), fc.constantFrom("0x10", "1.5", "-1", "1e2", "", "٣"));
  const lines = fc.oneof(
    output(4),
    fc.array(numbers, { maxLength: 5 }).map((some) => Buffer.from(some.join(" "))),
  );

  test("ask for a size within the limits, for a reopen, or are named as invalid", () => {
    fc.assert(
      fc.property(lines, (line) => {
        for (const request of [parseControlLine(line), parseWindowSizeLine(line)]) {
          if (request.kind === "resize") {
            assert.ok(/^[ \t\r\v\f]*[0-9]/.test(line.toString("latin1")));
            for (const size of [request.rows, request.columns]) {
              assert.ok(Number.isInteger(size) && size >= 0 && size <= 1000);
            }
          }
          // One line of printable text, whatever it came from.
          if (request.kind === "invalid") assert.doesNotMatch(request.reason, /\p{Cc}/u);
        }
      }),
      { numRuns: 1000 },
    );
  });

  test("mean what they say", () => {
    const spaces = fc.stringMatching(/^[ \t]{1,3}$/);
    fc.assert(
      fc.property(fc.nat(1000), fc.nat(1000), spaces, fc.nat(5), (rows, columns, space, zeros) => {
        const size = `${"0".repeat(zeros)}${rows}${space}${columns}`;
        const expected = { kind: "resize", rows, columns };
        assert.deepEqual(parseControlLine(Buffer.from(`1${space}${size}`)), expected);
        assert.deepEqual(parseWindowSizeLine(Buffer.from(`${size}${space}7`)), expected);
        assert.deepEqual(parseControlLine(Buffer.from(`2${space}${size}`)), { kind: "reopen" });
      }),
    );
  });

  test("are put together the same however they come in pieces", () => {
    const text = fc.array(
      fc.oneof(
        output(3),
        fc.nat(450).map((n) => Buffer.alloc(n, "y")),
      ),
      {
        maxLength: 12,
      },
    );
    fc.assert(
      fc.property(text, cuts, (parts, places) => {
        const bytes = Buffer.concat(parts);
        const got: string[] = [];
        let dropped = 0;
        const assembler = new LineAssembler();
        for (const piece of cutAt(bytes, places)) {
          assembler.push(
            piece,
            (line) => got.push(Buffer.from(line).toString("latin1")),
            () => dropped++,
          );
        }
        const all = bytes.toString("latin1").split("\n");
        const complete = all.slice(0, -1);
        assert.deepEqual(
          got,
          complete.filter(({ length }) => length <= MAX_CONTROL_LINE),
        );
        assert.equal(dropped, all.filter(({ length }) => length > MAX_CONTROL_LINE).length);
      }),
      { numRuns: 300 },
    );
  });
});

describe("attach packets", () => {
  const streams = fc.constantFrom("stdout" as const, "stderr" as const);

  test("give a client all of the output, each packet no longer than it can take", () => {
    const packet = new Uint8Array(MAX_PACKET_SIZE);
    fc.assert(
      fc.property(streams, output(), fc.nat(4), (stream, some, copies) => {
        const data = Buffer.concat(Array.from({ length: 1 + copies * 20 }, () => some));
        const got: Buffer[] = [];
        for (let offset = 0; offset < data.length; offset += MAX_PACKET_DATA) {
          const length = fillPacket(packet, stream, data, offset);
          assert.ok(length >= 2 && length <= MAX_PACKET_SIZE);
          const read = readPacket(packet.subarray(0, length));
          assert.equal(read.stream, stream);
          got.push(Buffer.from(read.data));
        }
        assert.ok(Buffer.concat(got).equals(data));
      }),
    );
  });

  test("that are none are refused", () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 5 }), (bytes) => {
        const isPacket = bytes.length >= 2 && (bytes[0] === 2 || bytes[0] === 3);
        if (isPacket) assert.equal(readPacket(bytes).data.length, bytes.length - 1);
        else assert.throws(() => readPacket(bytes), /an attach packet/);
      }),
      { numRuns: 300 },
    );
  });

  test("that wait for a client come out as they went in, within the memory that is allowed", (t) => {
    const scratch = makeScratch(t);
    const memoryLimit = 64 * 1024;
    const spillLimit = 256 * 1024;
    // Positive: a packet of that length comes. Negative: the client takes so many. 0: another conmond goes on.
    const steps = fc.array(
      fc.oneof(
        fc.integer({ min: 1, max: MAX_PACKET_SIZE }),
        fc.integer({ min: -12, max: -1 }),
        fc.constant(0),
      ),
      {
        maxLength: 120,
        size: "max",
      },
    );
    fc.assert(
      fc.property(steps, (script) => {
        const settings = { memoryLimit, spillLimit, spillDirectories: [scratch.directory] };
        let backlog = new Backlog(settings);
        const expected: Buffer[] = [];
        let serial = 0;
        const take = (): void => {
          const front = backlog.front();
          const wanted = expected.shift();
          assert.equal(front === undefined, wanted === undefined);
          if (front === undefined || wanted === undefined) return;
          const { bytes, offset, length } = front;
          assert.ok(Buffer.from(bytes.subarray(offset, offset + length)).equals(wanted));
          backlog.shift();
        };
        try {
          for (const step of script) {
            for (let n = 0; n < -step; n++) take();
            if (step === 0) {
              const packed = backlog.pack();
              backlog.close();
              backlog = Backlog.unpack(settings, packed);
            }
            if (step > 0) {
              const packet = Buffer.alloc(step, `${serial++}.`);
              try {
                backlog.push(packet, step);
                expected.push(packet);
              } catch (error) {
                assert.match(String(error), /limit of 262144 bytes/);
                assert.ok(backlog.size > spillLimit - memoryLimit, "it is full");
              }
            }
            const waiting = expected.reduce((sum, { length }) => sum + length, 0);
            assert.equal(backlog.size, waiting);
            assert.ok(backlog.memory <= memoryLimit + 32 * 1024, `${backlog.memory} bytes`);
          }
          while (expected.length > 0) take();
          take();
        } finally {
          backlog.close();
        }
      }),
      { numRuns: 40 },
    );
  });
});

describe("sd-notify messages", () => {
  const lines = fc.oneof(
    fc.constantFrom("READY=1", "READY=0", "STATUS=", "MAINPID=1", "FDSTORE=1", "WATCHDOG=trigger"),
    fc.constantFrom("ERRNO=2\0READY=1", "X_STATUS=1", "STATUS=€", "BARRIER=1", ""),
    fc.string({ unit: "binary", maxLength: 20 }),
  );
  const ALLOWED =
    /^((READY|RELOADING|STOPPING)=1|WATCHDOG=(1|trigger)|(STATUS|ERRNO|BUSERROR|MONOTONIC_USEC)=[^\0\n]*)$/;

  test("let through exactly the lines that a container may say, in order and unchanged", () => {
    fc.assert(
      fc.property(fc.array(lines), fc.uint8Array({ maxLength: 9 }), (some, rest) => {
        const datagram = Buffer.concat([Buffer.from(some.join("\n")), rest]);
        const text = datagram.toString("latin1").split("\0", 1)[0] ?? "";
        const expected = text.split("\n").filter((line) => ALLOWED.test(line));
        const got = linesForHost(datagram);
        assert.deepEqual(got?.toString("latin1").split("\n") ?? [], expected);
        if (got !== undefined) assert.ok(linesForHost(got)?.equals(got), "twice is once");
      }),
      { numRuns: 500 },
    );
  });
});

describe("messages to the caller", () => {
  const keys = fc.constantFrom("data" as const, "pid" as const, "exit_code" as const);
  const texts = fc.oneof(
    output(200),
    fc.string({ unit: "binary" }),
    fc.nat(9000).map((n) => "\x01".repeat(n)),
    fc.nat(4000).map((n) => "😀".repeat(n)),
  );

  test("are one line of JSON that the caller can take, with the end of what was said", () => {
    fc.assert(
      fc.property(keys, fc.integer({ min: -1, max: 2 ** 22 }), texts, (key, value, said) => {
        const bytes = encodeSyncMessage(key, value, said);
        assert.ok(bytes.length <= SYNC_MESSAGE_MAX);
        assert.equal(bytes.indexOf("\n"), bytes.length - 1);
        const read = JSON.parse(bytes.toString("utf8")) as Record<string, unknown>;
        assert.equal(read[key], value);
        const all = Buffer.from(said).toString("utf8");
        const { message = "" } = read as { message?: string };
        assert.ok(all.endsWith(message), "it is the end of what was said");
        assert.ok(
          message === all || bytes.length > SYNC_MESSAGE_MAX - 12,
          "no more was cut than had to be",
        );
      }),
      { numRuns: 300 },
    );
  });
});

describe("the kernel's files about cgroups", () => {
  const name = fc
    .string({ unit: "grapheme-ascii", minLength: 1, maxLength: 12 })
    .map((some) => some.replaceAll("/", "_").replace(/^\.+$/, "dots"));
  const path = fc.array(name, { maxLength: 5 }).map((names) => `/${names.join("/")}`);

  function escapeOctal(text: string): string {
    return text.replace(
      /[ \t\n\\]/g,
      (found) => `\\${found.charCodeAt(0).toString(8).padStart(3, "0")}`,
    );
  }

  test("give the memory cgroup that they name", () => {
    fc.assert(
      fc.property(path, path, fc.boolean(), (memory, unified, hybrid) => {
        const lines = [`4:cpu,memory:${memory}`, "2:name=systemd:/x"];
        if (hybrid) lines.push(`0::${unified}`);
        const expected = { memory, unified: hybrid ? unified : undefined };
        assert.deepEqual(parseMembership(`${lines.join("\n")}\n`), expected);
      }),
    );
  });

  test("give each mount as it is, white space and backslashes included", () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(path, path, fc.boolean())), (mounts) => {
        const lines = mounts.map(([root, point, second], n) => {
          const type = second ? "cgroup2" : "cgroup";
          const optional = "shared:1 ".repeat(n % 3);
          return `${n} 1 0:${n} ${escapeOctal(root)} ${escapeOctal(point)} rw ${optional}- ${type} x rw,memory`;
        });
        assert.deepEqual(
          parseCgroupMounts(lines.join("\n")),
          mounts.map(([root, point, second]) => ({
            ...{ version: second ? 2 : 1, root, point },
            options: new Set(["rw", "memory"]),
          })),
        );
      }),
    );
  });

  test("lead to no directory outside of the mount", () => {
    const steps = fc.array(fc.oneof(name, fc.constantFrom("..", ".", "")), { maxLength: 5 });
    fc.assert(
      fc.property(steps, path, path, (names, root, point) => {
        const mount = { version: 1 as const, root, point, options: new Set<string>() };
        const found = directoryIn(mount, `${root === "/" ? "" : root}/${names.join("/")}`);
        if (found === undefined) return;
        const below = point === "/" ? "/" : `${point}/`;
        assert.ok(found === point || found.startsWith(below), found);
      }),
      { numRuns: 500 },
    );
  });

  test("of any other kind say nothing", () => {
    fc.assert(
      fc.property(output(), (bytes) => {
        const text = bytes.toString("utf8");
        const { memory = "/", unified = "/" } = parseMembership(text);
        assert.ok(memory.startsWith("/") && unified.startsWith("/"));
        for (const { version } of parseCgroupMounts(text))
          assert.ok(version === 1 || version === 2);
        for (const version of [1, 2] as const) {
          assert.ok(parseOomState(version, text).count >= 0);
        }
      }),
      { numRuns: 300 },
    );
  });
});
