/** Attach clients that do everything wrong: the container, other clients and other sessions go on. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import * as sys from "../../src/sys/mod.ts";
import { AttachClient } from "../support/attach-client.ts";
import { makeBundle } from "../support/bundle.ts";
import { startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { CountingContainer } from "../support/counting-container.ts";
import { eventually } from "../support/private-conmond.ts";
import { socketsOf } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { inTime } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");

/** What the kernel lets wait in a socket at most, with room to spare, in bytes. */
const MORE_THAN_A_SOCKET = 4 * 1024 * 1024;

/** A container with hostile clients and one without, both of one conmond. */
async function prepare(t: TestContext) {
  const scratch = makeScratch(t);
  const conmond = await startConmond(scratch);
  const shared = { conmond: conmond.socket };
  const victim = new CountingContainer(scratch, { ...shared, arguments: ["-i"] });
  const other = new CountingContainer(scratch, shared);
  await Promise.all([victim.run.created(), other.run.created()]);
  const path = join(victim.bundle.directory, "attach");
  const fds = new Set<number>();
  scratch.atEnd(() => {
    for (const fd of fds) sys.close(fd);
  });
  return {
    scratch,
    conmond,
    victim,
    other,
    path,
    /** A connection that does nothing by itself. */
    connect: (): number => {
      const fd = sys.unixSocket("seqpacket");
      try {
        sys.connectUnix(fd, path);
      } catch (error) {
        sys.close(fd);
        throw error;
      }
      fds.add(fd);
      return fd;
    },
    hangUp: (fd: number): void => {
      fds.delete(fd);
      sys.close(fd);
    },
    /** Both containers log on, nothing was taken over, and both end as they should. */
    finish: async (): Promise<void> => {
      await Promise.all([victim.countsOn(), other.countsOn()]);
      await Promise.all([victim.end(), other.end()]);
      assert.doesNotMatch(conmond.log(), /Lost the shim|Internal error|go on elsewhere/);
    },
  };
}

/** Private and anonymous memory of a process, in bytes. */
function memoryOf(pid: number): number {
  const [, kilobytes = "0"] =
    /^RssAnon:\s+(\d+) kB/m.exec(readFileSync(`/proc/${pid}/status`, "latin1")) ?? [];
  return Number(kilobytes) * 1024;
}

/** Reads from an attach socket until there were so many bytes. */
async function readBytes(fd: number, bytes: number): Promise<void> {
  const packet = Buffer.alloc(8193);
  let left = bytes;
  let readiness: sys.Readiness | undefined;
  const read = new Promise<void>((resolve) => {
    readiness = new sys.Readiness(fd, () => {
      left -= sys.receive(fd, packet);
      if (left <= 0) resolve();
    });
    readiness.watch(sys.READABLE);
  });
  await inTime(read, () => `${left} more bytes`);
  readiness?.close();
}

describe("attach clients of a shared conmond", { skip }, () => {
  it("that never read cost neither time nor memory without bounds", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const other = new CountingContainer(scratch, { conmond: conmond.socket });
    const bundle = makeBundle(scratch, { args: ["true"] });
    const flood = startConmon(scratch, {
      bundle,
      runtime: makeStandInRuntime(scratch, behaviours.runs("exec yes")).path,
      arguments: ["--full-attach", "--log-size-max=1000000"],
      ...{ apiVersion: 1, conmond: conmond.socket },
    });
    const [, pid] = await Promise.all([other.run.created(), flood.created()]);
    const connect = (): number => {
      const fd = sys.unixSocket("seqpacket");
      sys.connectUnix(fd, join(bundle.directory, "attach"));
      return fd;
    };
    const reader = connect();
    await readBytes(reader, 1);
    const before = memoryOf(conmond.pid);
    const idle = Array.from({ length: 8 }, connect);
    // Each of them keeps a mebibyte in memory, and the rest of what it has not read in a file.
    await readBytes(reader, 16 * 1024 * 1024);
    const grown = memoryOf(conmond.pid) - before;
    assert.ok(grown < 64 * 1024 * 1024, `${grown} bytes more`);
    await other.countsOn();
    process.kill(pid, "SIGKILL");
    assert.equal(await flood.exitStatus(), 137);
    for (const fd of [reader, ...idle]) sys.close(fd);
    await flood.ended();
    await other.end();
  });

  it("that send without end to a container that does not read wait, and nobody else does", async (t) => {
    const { scratch, path, connect, finish } = await prepare(t);
    const senders = Array.from({ length: 4 }, connect);
    const packet = Buffer.alloc(30_000, "x");
    let sent = 0;
    const reader = new AttachClient(scratch, path);
    for (let round = 1; round <= 5; round++) {
      for (const fd of senders) while (sys.send(fd, packet) >= 0) sent += packet.length;
      await reader.until((text) => text.split("\n").length > 20 * round);
    }
    assert.ok(sent < senders.length * MORE_THAN_A_SOCKET, `${sent} bytes were taken`);
    reader.close();
    await finish();
  });

  it("that come and go ten thousand times are no burden to anybody", async (t) => {
    const { scratch, conmond, path, connect, hangUp, finish } = await prepare(t);
    const reader = new AttachClient(scratch, path);
    for (let n = 0; n < 10_000; ) {
      try {
        hangUp(connect());
        n++;
      } catch (error) {
        // So many wait to be accepted already.
        if (!sys.isSystemError(error, "EAGAIN")) throw error;
        await new Promise(setImmediate);
      }
    }
    const from = reader.output().length;
    await reader.until(() => reader.output().length > from + 50);
    reader.close();
    await finish();
    await eventually(() => socketsOf(conmond.pid) <= 3, "the clients' sockets to be closed");
  });

  it("beyond the limit are turned away, which is told, and there is room when others have left", async (t) => {
    const { scratch, conmond, path, connect, hangUp, finish } = await prepare(t);
    const clients = Array.from({ length: 80 }, connect);
    await conmond.logged("Turned an attach client away: there are 64 already");
    clients.forEach(hangUp);
    await eventually(() => socketsOf(conmond.pid) < 64, "the clients' sockets to be closed");
    const reader = new AttachClient(scratch, path);
    await reader.until((text) => text.split("\n").length > 20);
    reader.close();
    await finish();
  });

  it("that half-close, leave and send in any order are soon forgotten", async (t) => {
    const { scratch, conmond, path, connect, hangUp, finish } = await prepare(t);
    const reader = new AttachClient(scratch, path);
    await reader.until((text) => text.length > 0);
    const sockets = socketsOf(conmond.pid);
    const acts: Record<string, (fd: number) => void> = {
      send: (fd) => void sys.send(fd, Buffer.from("hello\n")),
      nothing: (fd) => void sys.send(fd, Buffer.alloc(0)),
      close: (fd) => sys.shutdownWrite(fd),
      break: (fd) => sys.shutdownBoth(fd),
      giant: (fd) => void sys.send(fd, Buffer.alloc(180_000)),
    };
    const orders = Object.keys(acts).flatMap((first) =>
      Object.keys(acts).flatMap((second) =>
        Object.keys(acts).map((third) => [first, second, third]),
      ),
    );
    for (const order of orders) {
      const fd = connect();
      for (const act of order) {
        try {
          acts[act]?.(fd);
        } catch (error) {
          // Its own doing: it has left, or what it sent was not read when conmond hung up.
          const codes = ["EPIPE", "ECONNRESET"];
          if (!codes.some((code) => sys.isSystemError(error, code))) throw error;
        }
      }
      hangUp(fd);
    }
    await eventually(() => socketsOf(conmond.pid) <= sockets, "the sockets to be closed");
    const from = reader.output().length;
    await reader.until(() => reader.output().length > from + 50);
    reader.close();
    await finish();
  });
});
