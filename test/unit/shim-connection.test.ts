/** The connection to a shim that is behind, has gone, or says too much. */
import assert from "node:assert/strict";
import { ftruncateSync, readdirSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ShimConnection } from "../../src/shim/connection.ts";
import { REQUEST, SLOT } from "../../src/shim/messages.ts";
import * as sys from "../../src/sys/mod.ts";
import { inTime } from "../support/waiting.ts";

let shim: number;
let connection: ShimConnection;
let lost: (Error | undefined)[];
let onLost: () => void;

beforeEach(() => {
  const [ours, theirs] = sys.unixSocketPair("seqpacket");
  shim = theirs;
  lost = [];
  onLost = () => {};
  const nothing = (): void => {};
  connection = new ShimConnection(ours, {
    ...{ onHello: nothing, onSpawned: nothing, onFailed: nothing, onExited: nothing },
    ...{ onSignal: nothing, onInheritedClosed: nothing, onReported: nothing },
    onLost: (error) => {
      lost.push(error);
      onLost();
    },
  });
});
afterEach(() => {
  void connection.close();
  sys.close(shim);
});

/** The next request, its type and its first field; undefined: there is none just now. */
function receive(): { type: number; field: number; descriptors: number } | undefined {
  const packet = new Uint32Array(2048);
  const received = sys.receiveWithDescriptors(shim, new Uint8Array(packet.buffer), 4);
  if (received === undefined) return undefined;
  received.descriptors.forEach(sys.close);
  return { type: packet[0] ?? 0, field: packet[1] ?? 0, descriptors: received.descriptors.length };
}

/** Waits for so many requests. */
async function receiveAll(count: number): Promise<{ field: number; descriptors: number }[]> {
  const all: { field: number; descriptors: number }[] = [];
  let readiness: sys.Readiness | undefined;
  const done = new Promise<void>((resolve) => {
    readiness = new sys.Readiness(shim, () => {
      const request = receive();
      if (request !== undefined) all.push(request);
      if (all.length === count) resolve();
    });
    readiness.watch(sys.READABLE);
  });
  await inTime(done, () => `${count - all.length} more requests`);
  readiness?.close();
  return all;
}

/** Makes the shim be behind. Returns how many requests it has to read. */
function fill(): number {
  const large = Buffer.alloc(4000, 32);
  let sent = 0;
  while (connection.tryKeep(SLOT.free, shim)) sent++;
  connection.report(SLOT.syncPipe, 0, large);
  return sent + 1;
}

describe("a shim that takes no messages just now", () => {
  it("gets them later, in order and with their descriptors", async () => {
    const before = fill();
    const [readEnd, writeEnd] = sys.pipe();
    for (let n = 0; n < 200; n++) {
      if (n % 2 === 0) connection.drop(n);
      else connection.keep(n, readEnd);
    }
    // What waits has a descriptor of its own.
    sys.close(readEnd);
    sys.close(writeEnd);
    const requests = (await receiveAll(before + 200)).slice(before);
    requests.forEach((request, n) => {
      assert.deepEqual([request.field, request.descriptors], [n, n % 2]);
    });
    assert.deepEqual(lost, []);
    assert.ok(connection.tryKeep(SLOT.free, shim), "what may come without end is taken again");
  });

  it("gets the last of them although the session has ended", async () => {
    const before = fill();
    connection.exit(3);
    let isShut = false;
    const shut = connection.close().then(() => {
      isShut = true;
    });
    connection.exit(4);
    await new Promise(setImmediate);
    assert.ok(!isShut, "this process is still needed");
    const requests = await receiveAll(before + 1);
    assert.equal(requests.at(-1)?.field, 3);
    await inTime(shut, "the connection to be shut");
  });

  it("is not waited for when it has gone", async () => {
    fill();
    connection.exit(3);
    const shut = connection.close();
    sys.shutdownBoth(shim);
    await inTime(shut, "the connection to be shut");
    assert.deepEqual(lost, []);
  });

  it("is given up when it is far behind, and nothing of what waits stays open", async () => {
    const gone = new Promise<void>((resolve) => {
      onLost = resolve;
    });
    const open = readdirSync("/proc/self/fd").length;
    fill();
    for (let n = 0; n < 600; n++) connection.keep(SLOT.free, shim);
    assert.deepEqual(lost, [], "whoever is sending has not been interrupted");
    await inTime(gone, "the loss to be told");
    assert.match(String(lost), /does not take any more messages/);
    assert.ok(readdirSync("/proc/self/fd").length <= open);
  });
});

describe("a shim that has gone", () => {
  it("is told when the sender is done, and once", async () => {
    const gone = new Promise<void>((resolve) => {
      onLost = resolve;
    });
    sys.shutdownBoth(shim);
    connection.drop(1);
    connection.drop(2);
    assert.deepEqual(lost, []);
    await inTime(gone, "the loss to be told");
    await new Promise(setImmediate);
    assert.equal(lost.length, 1);
  });
});

describe("a context that no process can have", () => {
  it("is refused unread", async () => {
    const gone = new Promise<void>((resolve) => {
      onLost = resolve;
    });
    const file = sys.memoryFile("huge");
    // A hole of nearly 9 MiB.
    sys.write(file, Buffer.alloc(1), 0, 1);
    ftruncateSync(file, 9_000_000);
    const hello = Int32Array.from([1, 1, 0, 5, 5, ...Array(9).fill(0), 0, 0]);
    sys.send(shim, new Uint8Array(hello.buffer), 0, hello.byteLength, [file]);
    sys.close(file);
    await inTime(gone, "the loss to be told");
    assert.match(String(lost), /a context of 9000000 bytes/);
    assert.equal(receive()?.type, REQUEST.refuse);
  });
});
