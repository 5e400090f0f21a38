import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { endianness } from "node:os";
import { describe, it } from "node:test";
import { decodeContext } from "../../src/shim/context.ts";
import {
  decodeShimMessage,
  decodeWaitStatus,
  encodeArguments,
  encodeKill,
  encodeTell,
  exitStatus,
  MESSAGE_MAX,
  ProtocolError,
} from "../../src/shim/messages.ts";

const LITTLE = endianness() === "LE";

function words(...fields: number[]): Buffer {
  const bytes = Buffer.alloc(4 * fields.length);
  fields.forEach((field, index) => {
    if (LITTLE) bytes.writeInt32LE(field, 4 * index);
    else bytes.writeInt32BE(field, 4 * index);
  });
  return bytes;
}

/** A hello of a session whose runtime ended with status 3 and whose container runs. */
const HELLO = [1, 1, 2 | 8, 100, 99, 2, 101, 3 << 8, 1, 102, 0, 0, 0, 0, 15, 2, 1, 5];

describe("decodeShimMessage", () => {
  it("reads a hello with all its fields", () => {
    const hello = decodeShimMessage(words(...HELLO), 3);
    assert.deepEqual(hello, {
      type: "hello",
      version: 1,
      sync: false,
      released: true,
      inheritedClosed: false,
      resumed: true,
      shimPid: 100,
      callerPid: 99,
      processes: {
        runtime: { state: "ended", pid: 101, ending: { code: 3 } },
        container: { state: "running", pid: 102 },
        "exit-command": { state: "none" },
      },
      unheededSignal: 15,
      slots: [1, 5],
    });
  });

  it("reads how processes ended", () => {
    const exited = (state: number, status: number) =>
      decodeShimMessage(words(4, 2, state, 7, status), 0);
    assert.deepEqual(exited(2, 42 << 8), {
      type: "exited",
      role: "container",
      pid: 7,
      ending: { code: 42 },
    });
    assert.deepEqual(exited(2, 9), {
      type: "exited",
      role: "container",
      pid: 7,
      ending: { signal: 9 },
    });
    assert.deepEqual(exited(3, 0), {
      type: "exited",
      role: "container",
      pid: 7,
      ending: "unknown",
    });
  });

  it("reads a failure with its text", () => {
    const message = decodeShimMessage(
      Buffer.concat([words(3, 18, 12), Buffer.from("starting")]),
      0,
    );
    assert.deepEqual(message, { type: "failed", request: 18, errno: 12, text: "starting" });
  });

  it("refuses another version before anything else of the hello", () => {
    assert.throws(() => decodeShimMessage(words(1, 2), 0), {
      name: "ProtocolError",
      message: /the shim speaks version 2 .* this conmond version 1/,
    });
  });

  it("refuses what is cut, too long, unknown or has the wrong descriptors", () => {
    const bad: [Buffer, number][] = [
      [Buffer.alloc(0), 0],
      [Buffer.alloc(3), 0],
      [words(0), 0],
      [words(7), 0],
      [words(16, 1), 0],
      [words(...HELLO).subarray(0, 60), 3],
      [words(...HELLO), 2],
      [words(...HELLO, 9), 3],
      [words(...HELLO.slice(0, 15), 1000, 1, 5), 1001],
      [words(2, 1, 5, 2, 5, 6, 0), 1],
      [words(2, 1, 5, 4, 5, 6, 0), 4],
      [words(2, 9, 5, 0, 0, 0, 0), 0],
      [words(4, 1, 1, 5, 0), 0],
      [words(4, 0, 2, 5, 0), 0],
      [words(6, 0), 0],
      [words(6), 1],
    ];
    for (const [bytes, descriptors] of bad) {
      assert.throws(
        () => decodeShimMessage(bytes, descriptors),
        ProtocolError,
        bytes.toString("hex"),
      );
    }
  });

  it("throws nothing but protocol errors, whatever the bytes", () => {
    for (let i = 0; i < 5000; i++) {
      const bytes = randomBytes(i % 100);
      if (bytes.length > 4) bytes.fill(0, LITTLE ? 1 : 0, LITTLE ? 4 : 3);
      if (bytes.length > 4) bytes[LITTLE ? 0 : 3] = i % 8;
      try {
        decodeShimMessage(bytes, i % 4);
      } catch (error) {
        assert.ok(error instanceof ProtocolError, `${bytes.toString("hex")}: ${error}`);
      }
    }
  });
});

describe("exit statuses", () => {
  it("are the code, or 128 and the signal, or -1 when nobody knows", () => {
    assert.equal(exitStatus(decodeWaitStatus(0)), 0);
    assert.equal(exitStatus(decodeWaitStatus(255 << 8)), 255);
    assert.equal(exitStatus(decodeWaitStatus(9)), 137);
    assert.equal(exitStatus(decodeWaitStatus(11 | 0x80)), 139, "with a core dump");
    assert.equal(exitStatus("unknown"), -1);
  });
});

describe("messages to the shim", () => {
  it("split a long text without losing a byte", () => {
    const text = "ä".repeat(10_000);
    const messages = encodeTell("stderr", text);
    assert.ok(messages.every((message) => message.length <= MESSAGE_MAX));
    assert.equal(Buffer.concat(messages.map((message) => message.subarray(8))).toString(), text);
  });

  it("number the targets of a signal as the protocol does", () => {
    assert.deepEqual(encodeKill("runtime", 15), words(20, 1, 15));
    assert.deepEqual(encodeKill("container", 9), words(20, 2, 9));
    assert.deepEqual(encodeKill("container-group", 9), words(20, 4, 9));
  });

  it("hold an argument vector as a count and terminated strings", () => {
    const vector = encodeArguments([Buffer.from("a"), Buffer.from(""), Buffer.from([0xff])]);
    assert.deepEqual(vector, Buffer.concat([words(3), Buffer.from("a\0\0\xff\0", "latin1")]));
  });
});

describe("decodeContext", () => {
  const context = (counts: [number, number], text: string) =>
    decodeContext(Buffer.concat([words(...counts), Buffer.from(text, "latin1")]));

  it("reads arguments, environment and directory", () => {
    const read = context([3, 3], "conmon\0-c\0x\0A=1\0B=\0=odd=\0/dir\0");
    assert.deepEqual(read.arguments, ["-c", "x"]);
    assert.deepEqual(
      [...read.environment],
      [
        ["A", "1"],
        ["B", ""],
        ["=odd", ""],
      ],
    );
    assert.equal(read.workingDirectory, "/dir");
    assert.equal(read.undecodable, undefined);
  });

  it("says which argument is no UTF-8", () => {
    assert.equal(context([3, 0], "conmon\0ok\0\xff\0/\0").undecodable, 2);
  });

  it("refuses counts that do not fit the strings", () => {
    assert.throws(() => context([4, 0], "conmon\0a\0/\0"), ProtocolError);
    assert.throws(() => context([1, 0], "conmon\0a\0/\0"), ProtocolError);
    assert.throws(() => context([1, 0], "conmon\0/"), ProtocolError);
    assert.throws(() => decodeContext(Buffer.alloc(7)), ProtocolError);
  });
});
