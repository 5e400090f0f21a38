/** Where a shared conmond listens: one for each socket, in a directory that is nobody else's. */
import assert from "node:assert/strict";
import {
  chmodSync,
  chownSync,
  existsSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import * as sys from "../../src/sys/mod.ts";
import { newSocketPath, startConmond, tryConmond } from "../support/conmond.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { mountTmpfs } from "../support/tmpfs.ts";

const skip = unlessRootWith();

describe("the socket of a shared conmond", { skip }, () => {
  it("is one conmond's: a second one says which one is there", async (t) => {
    const scratch = makeScratch(t);
    const first = await startConmond(scratch);
    const second = tryConmond(scratch, ["--socket", first.socket]);
    assert.equal(second.status, 1);
    assert.equal(
      second.stderr,
      `conmond: Cannot listen on ${first.socket}: another conmond listens there (process ${first.pid}); conmond --replace takes its place\n`,
    );
  });

  it("is not taken from one who has only lost its name", async (t) => {
    const scratch = makeScratch(t);
    const first = await startConmond(scratch);
    rmSync(first.socket);
    const { status, stderr } = tryConmond(scratch, ["--socket", first.socket, "--replace"]);
    assert.equal(status, 1);
    assert.match(
      stderr,
      new RegExp(`process ${first.pid} has locked .*\\.lock and does not listen`),
    );
  });

  it("is served though the disk that it is on has no room for a pid", async (t) => {
    const scratch = makeScratch(t);
    const directory = mountTmpfs(scratch, 64);
    chmodSync(directory, 0o700);
    assert.throws(() => writeFileSync(join(directory, "full"), Buffer.alloc(1 << 20)), /ENOSPC/);
    const socket = join(directory, "conmond.sock");
    await startConmond(scratch, { socket });
    const { stderr } = tryConmond(scratch, ["--socket", socket]);
    assert.match(stderr, /another conmond listens there \(another process\)/);
    const next = await startConmond(scratch, { socket, arguments: ["--replace"] });
    assert.equal(existsSync(socket), true);
    await next.stop();
  });

  it("is not taken from somebody who is no conmond", async (t) => {
    const scratch = makeScratch(t);
    const socket = newSocketPath(scratch);
    const listener = sys.unixSocket("seqpacket");
    sys.bindUnix(listener, socket);
    sys.listen(listener, 64);
    try {
      const { status, stderr } = tryConmond(scratch, ["--socket", socket]);
      assert.equal(status, 1);
      assert.match(stderr, /a process that does not hold its lock listens there/);
      const forced = tryConmond(scratch, ["--socket", socket, "--replace"]);
      assert.equal(forced.status, 1);
      assert.match(forced.stderr, /has not answered for 5000 ms, and process \d+ is no conmond/);
    } finally {
      sys.close(listener);
      rmSync(socket);
    }
  });

  it("is made anew where one that was killed has left it, whatever its lock says", async (t) => {
    const scratch = makeScratch(t);
    const socket = newSocketPath(scratch);
    const first = await startConmond(scratch, { socket });
    process.kill(first.pid, "SIGKILL");
    await first.ended;
    assert.equal(readFileSync(`${socket}.lock`, "latin1"), `${first.pid}\n`);
    const second = await startConmond(scratch, { socket });
    assert.equal(readFileSync(`${socket}.lock`, "latin1"), `${second.pid}\n`);
    await second.stop();
    assert.ok(!existsSync(socket));
  });

  it("is in a directory that is made for this user alone", async (t) => {
    const scratch = makeScratch(t);
    const socket = scratch.path("new", "directory", "conmond.sock");
    const conmond = await startConmond(scratch, { socket });
    assert.equal(statSync(dirname(socket)).mode & 0o777, 0o700);
    await conmond.stop();
  });

  it("is not put where others could replace it", (t) => {
    const scratch = makeScratch(t);
    const refusal = (socket: string) => {
      const { status, stderr } = tryConmond(scratch, ["--socket", socket]);
      assert.equal(status, 1);
      return stderr;
    };
    const socket = newSocketPath(scratch);
    const directory = dirname(socket);
    for (const mode of [0o701, 0o770, 0o777, 0o1777]) {
      chmodSync(directory, mode);
      assert.match(refusal(socket), /is open to other users \(mode 0\d+\): run chmod 700 /);
    }
    chmodSync(directory, 0o700);
    chownSync(directory, 12345, 0);
    assert.match(refusal(socket), /belongs to user 12345, not to user 0/);
    chownSync(directory, 0, 0);
    const link = scratch.path("link");
    symlinkSync(directory, link);
    assert.match(refusal(join(link, "conmond.sock")), /is a symbolic link/);
    rmSync(link);
    assert.ok(!existsSync(socket));
  });
});
