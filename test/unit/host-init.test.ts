/** native/host-init as it is: what it does with orders that make no sense, and without a runtime. */
import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { closeSync, existsSync, openSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { describe, it } from "node:test";
import fc from "fast-check";
import { decodeAnswer, encodeOrder, type Order } from "../../src/host-runtime/order.ts";
import { projectRoot } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";

const program = join(projectRoot, "dist/host-init");

/** Starts it with an order; it is given no word and so ends by itself. */
async function carryOut(scratch: Scratch, bytes: Uint8Array) {
  const path = scratch.path("order");
  writeFileSync(path, bytes);
  const file = openSync(path, "r");
  const child = spawn(program, ["3"], { stdio: ["ignore", "ignore", "inherit", file, "pipe"] });
  closeSync(file);
  const socket = child.stdio[4] as Readable & { end(): void };
  const packets: Buffer[] = [];
  socket.on("data", (packet) => packets.push(packet));
  socket.end();
  const end = await new Promise((resolve) => {
    child.on("close", (status, signal) => resolve(signal ?? status));
  });
  return { end, answer: decodeAnswer(Buffer.concat(packets)) };
}

const order: Order = {
  gated: false,
  terminal: false,
  ids: undefined,
  groups: [],
  umask: 0o22,
  limits: [{ resource: 4, soft: 0n, hard: 0n }],
  oomScoreAdj: undefined,
  noNewPrivileges: false,
  listenPid: false,
  cwd: "/",
  args: ["touch", "made"],
  env: ["PATH=/bin"],
};

describe("host-init", () => {
  it("executes nothing without the word", async (t) => {
    const scratch = makeScratch(t);
    const args = ["touch", scratch.path("made")];
    const { end, answer } = await carryOut(scratch, encodeOrder({ ...order, args }, true));
    assert.deepEqual([end, answer.step], [125, "ready"]);
    assert.equal(existsSync(scratch.path("made")), false);
  });

  it("refuses an order that is cut anywhere", async (t) => {
    const scratch = makeScratch(t);
    const whole = encodeOrder(order, true);
    // A cut in the last string makes it a shorter one.
    const last = whole.length - "PATH=/bin".length;
    for (let length = 0; length < last; length++) {
      const part = whole.slice(0, length);
      if (length > 0) part[length - 1] = 0;
      const { end, answer } = await carryOut(scratch, part);
      assert.deepEqual([end, answer.step], [125, "order"], `${length} bytes`);
    }
  });

  it("survives orders of random numbers", async (t) => {
    const scratch = makeScratch(t);
    const whole = encodeOrder(order, true);
    const header = fc.uint8Array({ minLength: 40, maxLength: 40 });
    await fc.assert(
      fc.asyncProperty(header, async (random) => {
        const bytes = whole.slice();
        // The flags stay: to become somebody else, or to wait for a start, is no fault.
        bytes.set(random.subarray(20), 20);
        const { end } = await carryOut(scratch, bytes);
        assert.ok([125, 126, 127].includes(end as number), String(end));
      }),
      { numRuns: 50 },
    );
  });

  it("says what it is to those who run it by hand", () => {
    for (const args of [[], ["2"], ["x"], ["3", "4"]]) {
      const { status, stderr } = spawnSync(program, args, { encoding: "utf8" });
      assert.equal(status, 125);
      assert.match(stderr, /a part of conmon-host-runtime, not to be run by hand/);
    }
  });
});
