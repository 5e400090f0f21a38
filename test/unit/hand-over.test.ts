import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { HandOverConnection } from "../../src/conmond/hand-over/connection.ts";
import {
  decodeHandOver,
  encodeAsk,
  encodeDecline,
  encodeGive,
  encodeTaken,
  HAND_OVER_MAX,
  HAND_OVER_VERSION,
  isAsk,
} from "../../src/conmond/hand-over/messages.ts";
import { encodeRefuse, encodeWatch } from "../../src/shim/messages.ts";
import * as sys from "../../src/sys/mod.ts";

describe("the messages of a hand-over", () => {
  it("come out as they went in", () => {
    assert.deepEqual(decodeHandOver(encodeAsk()), { type: "ask", version: HAND_OVER_VERSION });
    assert.deepEqual(decodeHandOver(encodeGive(42)), { type: "give", pid: 42 });
    assert.deepEqual(decodeHandOver(encodeTaken()), { type: "taken" });
    for (const retry of [true, false]) {
      const message = { type: "decline", retry, reason: "not now, ü" };
      assert.deepEqual(decodeHandOver(encodeDecline(retry, "not now, ü")), message);
    }
  });

  it("understand the refusal of a conmond that knows nothing of them", () => {
    assert.deepEqual(decodeHandOver(encodeRefuse("what?")), { type: "refused", reason: "what?" });
  });

  it("are told from what a shim says by their first bytes", () => {
    assert.ok(isAsk(encodeAsk(99).subarray(0, 4)));
    for (const other of [Buffer.alloc(0), Buffer.from([64]), Buffer.from([1, 0, 0, 0])]) {
      assert.ok(!isAsk(other));
    }
  });

  it("are never longer than what is received at once", () => {
    assert.equal(encodeDecline(false, "x".repeat(10_000)).length, HAND_OVER_MAX);
  });

  it("are refused when they are anything else", () => {
    for (const bytes of [
      Buffer.alloc(0),
      Buffer.from([64, 0, 0, 0]),
      encodeGive(1).subarray(0, 6),
      Buffer.concat([encodeTaken(), Buffer.alloc(4)]),
      encodeWatch(5),
    ]) {
      assert.throws(() => decodeHandOver(bytes), /are no message of a hand-over/);
    }
  });
});

describe("the connection of a hand-over", () => {
  it("keeps no descriptor that comes with an empty packet, and takes that for the end", async () => {
    const [ours, theirs] = sys.unixSocketPair("seqpacket");
    const [readEnd, writeEnd] = sys.pipe();
    sys.send(theirs, new Uint8Array(0), 0, 0, [writeEnd]);
    sys.close(writeEnd);
    const error = await new Promise<Error | undefined>((resolve) => {
      new HandOverConnection(ours, {
        onMessage: ({ type }) => assert.fail(`a message of type ${type}`),
        onLost: resolve,
      });
    });
    assert.equal(error, undefined);
    sys.setNonBlocking(readEnd, true);
    assert.equal(sys.read(readEnd, Buffer.alloc(1), 0, 1), 0, "nobody can write any more");
    sys.close(readEnd);
    sys.close(theirs);
  });
});
