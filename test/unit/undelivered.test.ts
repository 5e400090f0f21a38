import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { writeSync } from "node:fs";
import { tmpdir } from "node:os";
import { afterEach, beforeEach, describe, test } from "node:test";
import { Backlog } from "../../src/attach/backlog.ts";
import type { PackedBacklog } from "../../src/attach/mod.ts";
import {
  dropUndelivered,
  packUndelivered,
  unpackUndelivered,
} from "../../src/session/undelivered.ts";
import * as sys from "../../src/sys/mod.ts";
import { watchDescriptors } from "../support/open-descriptors.ts";

const SETTINGS = {
  memoryLimit: 64 * 1024,
  spillLimit: 16 * 1024 * 1024,
  spillDirectories: [tmpdir()],
};

let leftOpen: () => string[];

beforeEach(() => {
  leftOpen = watchDescriptors();
});

afterEach(() => assert.deepEqual(leftOpen(), []));

/** A packed backlog of so many bytes. */
function packed(content: Uint8Array): PackedBacklog {
  const backlog = new Backlog(SETTINGS);
  for (let at = 0; at < content.length; at += 8000) {
    const packet = content.subarray(at, at + 8000);
    backlog.push(packet, packet.length);
  }
  const result = backlog.pack();
  backlog.close();
  return result;
}

function contentOf(from: PackedBacklog): Buffer {
  const backlog = Backlog.unpack(SETTINGS, from);
  const packets: Buffer[] = [];
  for (let front = backlog.front(); front !== undefined; front = backlog.front()) {
    packets.push(Buffer.from(front.bytes.subarray(front.offset, front.offset + front.length)));
    backlog.shift();
  }
  backlog.close();
  return Buffer.concat(packets);
}

/** A memory file with these numbers, as a backlog begins with. */
function numbers(...all: number[]): number {
  const fd = sys.memoryFile("test");
  writeSync(fd, new Uint8Array(Float64Array.from(all).buffer));
  return fd;
}

describe("what has yet to be delivered", () => {
  test("is the same for the next conmond, for as many clients as there can be", () => {
    const contents = Array.from({ length: 64 }, (_, client) => randomBytes(1 + client * 4000));
    const backlogs = new Map(contents.map((content, client) => [32 + client, packed(content)]));
    const input = randomBytes(500_000);
    const fd = packUndelivered({ backlogs, input }) ?? assert.fail();
    const { backlogs: got, input: gotInput } = unpackUndelivered(fd);
    assert.deepEqual(
      [...got.keys()],
      [...contents.keys()].map((client) => 32 + client),
    );
    for (const [slot, backlog] of got) {
      assert.ok(contentOf(backlog).equals(contents[slot - 32] ?? assert.fail()));
    }
    assert.ok(input.equals(gotInput ?? assert.fail()));
  });

  test("is nothing where nobody is behind", () => {
    assert.equal(packUndelivered({ backlogs: new Map(), input: undefined }), undefined);
  });

  test("is closed with the descriptor that it waits in", () => {
    const fd = packUndelivered({
      backlogs: new Map([[32, packed(randomBytes(300_000))]]),
      input: randomBytes(10),
    });
    sys.close(fd ?? assert.fail());
  });

  test("is refused as a whole where something else is among it", () => {
    for (const [message, descriptors] of [
      [Uint32Array.of(2, 1, 33), 1],
      [Uint32Array.of(1, 3, 33), 1],
      [Uint32Array.of(1, 1, 33), 0],
      [Uint32Array.of(1, 1, 33), 3],
      [Uint32Array.of(1, 1, 32), 1],
      [Uint32Array.of(1, 2, 0), 2],
      [Uint32Array.of(1, 1), 1],
      [Uint32Array.of(1, 1, 33, 0), 1],
    ] as const) {
      const [ours, theirs] = sys.unixSocketPair("seqpacket");
      const good = packed(randomBytes(1000));
      const file = sys.memoryFile("test");
      sys.send(ours, new Uint8Array(Uint32Array.of(1, 1, 32).buffer), 0, 12, [good.memory]);
      const bytes = new Uint8Array(message.buffer);
      sys.send(ours, bytes, 0, bytes.length, Array(descriptors).fill(file));
      sys.close(ours);
      sys.close(file);
      dropUndelivered({ backlogs: new Map([[32, good]]), input: undefined });
      assert.throws(() => unpackUndelivered(theirs), /^Error: a message of /, `${message}`);
    }
  });
});

describe("a backlog that another process has packed", () => {
  test("is refused where it is none, and nothing of it stays open", () => {
    for (const [memory, reason] of [
      [numbers(), /shorter than it says/],
      [numbers(2, 20_000, 0, 0, 0, 0), /of version 2, not 1/],
      [numbers(1, 100, 0, 0, 0, 0), /chunks of 100 bytes/],
      [numbers(1, 1e9, 0, 0, 0, 0), /chunks of 1000000000 bytes/],
      [numbers(1, 20_000, 0, -1, 0, 0), /numbers in it that are none/],
      [numbers(1, 20_000, 0, 0.5, 0, 0), /numbers in it that are none/],
      [numbers(1, 20_000, 0, 1e12, 0, 0), /shorter than it says/],
      [numbers(1, 20_000, 8, 1, 0, 0, 8), /shorter than it says/],
      [numbers(1, 20_000, 8, 0, 0, 8), /shorter than it says/],
      [numbers(1, 20_000, 0, 1, 0, 0, 0), /empty or too long/],
      [numbers(1, 20_000, 0, 0, 0, 20_001), /empty or too long/],
      [numbers(1, 20_000, 8, 0, 1, 0, 0, 8), /does not hold what is said to be in it/],
    ] as const) {
      const spill = sys.memoryFile("empty");
      assert.throws(() => Backlog.unpack(SETTINGS, { memory, spill }), reason);
    }
    const memory = numbers(1, 20_000, 8, 0, 1, 0, 0, 8);
    assert.throws(
      () => Backlog.unpack(SETTINGS, { memory, spill: undefined }),
      /without its spill/,
    );
  });
});
