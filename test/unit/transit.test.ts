import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, copyFileSync, mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import { build } from "esbuild";
import { INPUT_SIZE } from "../../src/logging/cri-framing.ts";
import { READ_SIZE, Transit } from "../../src/session/transit.ts";
import * as sys from "../../src/sys/mod.ts";
import { watchDescriptors } from "../support/open-descriptors.ts";
import { projectRoot } from "../support/programs.ts";

/** A user whose pipes nobody else needs. */
const NOBODY_ELSE = 54_321;

function nonBlockingPipe(): [number, number] {
  const [readEnd, writeEnd] = sys.pipe();
  sys.setNonBlocking(readEnd, true);
  sys.setNonBlocking(writeEnd, true);
  return [readEnd, writeEnd];
}

describe("Transit", () => {
  it("gives what is in the pipe, then nothing, then the end", () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    const transit = Transit.create();
    const got: string[] = [];
    const read = () => transit.read(readEnd, 1000, (data) => got.push(String(data)) > 0);
    sys.write(writeEnd, Buffer.from("some text"), 0, 9);
    assert.deepEqual([read(), read()], [9, -1]);
    sys.close(writeEnd);
    assert.equal(read(), 0);
    assert.deepEqual(got, ["some text"]);
    transit.close();
    sys.close(readEnd);
  });

  it("gives large amounts whole and in order, in small pieces and large", () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    sys.setPipeSize(readEnd, 1024 * 1024);
    const transit = Transit.create();
    const sent = randomBytes(8 * 1024 * 1024);
    const got: Buffer[] = [];
    const take = (data: Uint8Array) => got.push(Buffer.from(data)) > 0;
    for (let at = 0; at < sent.length; ) {
      const size = Math.min(sent.length - at, 1 + Math.floor(Math.random() * 300_000));
      const count = sys.write(writeEnd, sent, at, size);
      if (count > 0) at += count;
      if (at > sent.length / 2) transit.enlarge();
      transit.read(readEnd, 256 * 1024, take);
    }
    while (transit.read(readEnd, 256 * 1024, take) > 0);
    assert.ok(Buffer.concat(got).equals(sent));
    assert.ok(
      got.some((data) => data.length > 65536),
      "more at a time once it is enlarged",
    );
    transit.close();
    [readEnd, writeEnd].forEach(sys.close);
  });

  it("gives a large read in several pieces, and what one that failed had left to nobody else", () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    sys.setPipeSize(readEnd, 1024 * 1024);
    const [first, second] = [Transit.create(), Transit.create()];
    for (const transit of [first, second]) transit.enlarge();
    const sent = randomBytes(READ_SIZE);
    assert.equal(sys.write(writeEnd, sent, 0, sent.length), sent.length);
    const fail = () => {
      throw new Error("no more");
    };
    assert.throws(() => first.read(readEnd, READ_SIZE, fail), /no more/);
    const next = randomBytes(READ_SIZE);
    assert.equal(sys.write(writeEnd, next, 0, next.length), next.length);
    const got: Buffer[] = [];
    second.read(readEnd, READ_SIZE, (data) => got.push(Buffer.from(data)) > 0);
    assert.equal(got.length, READ_SIZE / INPUT_SIZE);
    assert.ok(Buffer.concat(got).equals(next));
    const left: Buffer[] = [];
    first.resume((data) => left.push(Buffer.from(data)) > 0);
    assert.equal(left.length, 1, "as one piece, as it was logged");
    assert.ok(left[0]?.equals(sent));
    for (const transit of [first, second]) transit.close();
    [readEnd, writeEnd].forEach(sys.close);
  });

  it("keeps what was being logged for whoever takes over, and nothing else", () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    const transit = Transit.create();
    const copies = [0, 1, 2].map(() => sys.duplicate(transit.fd));
    const next = (onData: (text: string) => boolean): Transit => {
      const adopted = Transit.adopt(copies.pop() ?? -1);
      adopted.resume((data) => onData(String(data)));
      return adopted;
    };
    sys.write(writeEnd, Buffer.from("one"), 0, 3);
    transit.read(readEnd, 100, () => true);
    next(() => assert.fail("it has been logged")).close();
    sys.write(writeEnd, Buffer.from("two"), 0, 3);
    const killed = () => {
      throw new Error("killed here");
    };
    assert.throws(() => transit.read(readEnd, 100, killed), /killed here/);
    transit.close();
    sys.write(writeEnd, Buffer.from("three"), 0, 5);
    const left: string[] = [];
    const taken = next((text) => left.push(text) > 0);
    assert.deepEqual(left, ["two"]);
    taken.read(readEnd, 100, (data) => left.push(String(data)) > 0);
    assert.deepEqual(left, ["two", "three"]);
    taken.close();
    [readEnd, writeEnd, ...copies].forEach(sys.close);
  });

  it("keeps a piece that could not be logged until it is let go, and takes no other", () => {
    const [readEnd, writeEnd] = nonBlockingPipe();
    const transit = Transit.create();
    const copy = sys.duplicate(transit.fd);
    sys.write(writeEnd, Buffer.from("one"), 0, 3);
    assert.equal(
      transit.read(readEnd, 100, () => false),
      3,
    );
    assert.ok(transit.holds);
    sys.write(writeEnd, Buffer.from("two"), 0, 3);
    assert.equal(
      transit.read(readEnd, 100, () => assert.fail("there is no room")),
      -1,
    );
    transit.close();
    const next = Transit.adopt(copy);
    const got: string[] = [];
    next.resume((data) => got.push(String(data)) === 0);
    assert.deepEqual([got, next.holds], [["one"], true]);
    next.release();
    next.read(readEnd, 100, (data) => got.push(String(data)) > 0);
    assert.deepEqual([got, next.holds], [["one", "two"], false]);
    next.close();
    [readEnd, writeEnd].forEach(sys.close);
  });

  const skip = process.getuid?.() === 0 ? false : "only root can become another user";
  it(
    "goes on with more than can be copied, as a user who may not have more in pipes",
    { skip },
    async (t) => {
      const directory = mkdtempSync(join(tmpdir(), "transit-"));
      t.after(() => rmSync(directory, { recursive: true }));
      chmodSync(directory, 0o755);
      // All that it needs in a place where everybody can read it.
      await build({
        entryPoints: [join(projectRoot, "test/support/transit-without-room.ts")],
        outfile: join(directory, "program.mjs"),
        ...{ bundle: true, platform: "node", format: "esm", logLevel: "error" },
      });
      for (const file of ["sys.node", "cri-framing.wasm"]) {
        copyFileSync(join(projectRoot, "dist", file), join(directory, file));
      }
      const { stdout, stderr } = spawnSync(process.execPath, [join(directory, "program.mjs")], {
        uid: NOBODY_ELSE,
        encoding: "utf8",
        timeout: 30_000,
      });
      assert.equal(stderr, "");
      const { room, resumed, read } = JSON.parse(stdout);
      assert.ok(room < READ_SIZE / 2, `a new pipe has room for ${room} bytes`);
      assert.deepEqual(resumed, { pieces: 1, right: true }, "as one piece, as it was logged");
      assert.ok(read, "and what comes then");
    },
  );

  it("takes what comes from a terminal as well", { timeout: 30_000 }, async () => {
    // Not node-pty's: that one reads a piece itself, paused or not.
    const [master, slave] = sys.openTerminal();
    sys.setNonBlocking(master, true);
    const cat = spawn("cat", { stdio: [slave, slave, slave] });
    sys.close(slave);
    const transit = Transit.create();
    sys.write(master, Buffer.from("typed\r"), 0, 6);
    let got = "";
    while (!got.includes("typed\r\ntyped\r\n")) {
      const count = transit.read(master, 1000, (data) => {
        got += data;
        return true;
      });
      if (count < 0) await new Promise(setImmediate);
    }
    cat.kill();
    sys.close(master);
    transit.close();
  });

  it("needs two descriptors, and leaves none", () => {
    const open = watchDescriptors();
    const transit = Transit.create();
    assert.equal(open().length, 2);
    transit.close();
    transit.close();
    assert.deepEqual(open(), []);
  });
});
