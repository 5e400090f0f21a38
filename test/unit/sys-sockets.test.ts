import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, afterEach, beforeEach, describe, test } from "node:test";
import * as sys from "../../src/sys/mod.ts";
import { watchDescriptors } from "../support/open-descriptors.ts";

const NOT_OPEN = 1_000_000;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;
const TYPES: readonly sys.SocketType[] = ["stream", "seqpacket", "dgram"];

const directory = mkdtempSync(join(tmpdir(), "sys-"));
after(() => rmSync(directory, { recursive: true }));

function flagsOf(fd: number): number {
  const text = readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
  return Number.parseInt(/^flags:\s+(\d+)$/m.exec(text)?.[1] ?? "", 8);
}

function closeAll(...descriptors: (number | undefined)[]): void {
  for (const fd of descriptors) if (fd !== undefined) sys.close(fd);
}

let leftOver = watchDescriptors();
beforeEach(() => {
  leftOver = watchDescriptors();
});
afterEach(() => {
  assert.deepEqual(leftOver(), [], "descriptors are left over");
});

describe("sockets", () => {
  test("of each type are non-blocking and close-on-exec, alone and in pairs", () => {
    for (const type of TYPES) {
      for (const fd of [sys.unixSocket(type), ...sys.unixSocketPair(type)]) {
        assert.equal(flagsOf(fd) & (O_CLOEXEC | O_NONBLOCK), O_CLOEXEC | O_NONBLOCK);
        sys.close(fd);
      }
    }
  });

  test("of another type are refused", () => {
    for (const type of ["raw", "", "streams", "a name that is far too long to be a type", 1]) {
      assert.throws(() => sys.unixSocket(type as sys.SocketType), TypeError);
      assert.throws(() => sys.unixSocketPair(type as sys.SocketType), TypeError);
    }
  });

  test("throw EBADF from every function when they are not open", () => {
    const data = new Uint8Array(1);
    const calls: [syscall: string, call: () => unknown][] = [
      ["bind", () => sys.bindUnix(NOT_OPEN, "@x")],
      ["connect", () => sys.connectUnix(NOT_OPEN, "@x")],
      ["listen", () => sys.listen(NOT_OPEN, 1)],
      ["accept4", () => sys.accept(NOT_OPEN)],
      ["shutdown", () => sys.shutdownWrite(NOT_OPEN)],
      ["SO_PEERCRED", () => sys.peerCredentials(NOT_OPEN)],
      ["sendmsg", () => sys.send(NOT_OPEN, data)],
      ["recv", () => sys.receive(NOT_OPEN, data)],
      ["recv", () => sys.peek(NOT_OPEN, data)],
      ["poll", () => sys.hasHungUp(NOT_OPEN)],
      ["SO_TYPE", () => sys.describeSocket(NOT_OPEN)],
      ["recvmsg", () => sys.receiveWithDescriptors(NOT_OPEN, data, 1)],
    ];
    for (const [syscall, call] of calls) assert.throws(call, { code: "EBADF", syscall });
  });

  test("throw ENOTSOCK for what is no socket", () => {
    const event = sys.eventFd(0);
    assert.throws(() => sys.send(event, new Uint8Array(1)), { code: "ENOTSOCK" });
    sys.close(event);
  });
});

describe("addresses", () => {
  test("a client connects to a path, is accepted, and the two talk", () => {
    const path = join(directory, "seqpacket");
    for (const type of ["stream", "seqpacket"] as const) {
      const listener = sys.unixSocket(type);
      const client = sys.unixSocket(type);
      sys.bindUnix(listener, path);
      sys.listen(listener, 5);
      assert.equal(sys.accept(listener), undefined);
      sys.connectUnix(client, path);
      const accepted = sys.accept(listener);
      assert.ok(accepted !== undefined);
      assert.equal(flagsOf(accepted) & (O_CLOEXEC | O_NONBLOCK), O_CLOEXEC | O_NONBLOCK);
      assert.equal(sys.send(client, Buffer.from("hello")), 5);
      const into = Buffer.alloc(10);
      assert.equal(sys.receive(accepted, into), 5);
      assert.equal(into.toString("utf8", 0, 5), "hello");
      closeAll(listener, client, accepted);
      rmSync(path);
    }
  });

  test("a path that is taken, missing or without a listener throws, and tells the path", () => {
    const path = join(directory, "taken");
    const first = sys.unixSocket("seqpacket");
    const second = sys.unixSocket("seqpacket");
    sys.bindUnix(first, path);
    assert.throws(() => sys.bindUnix(second, path), {
      message: `bind: EADDRINUSE: Address already in use: ${path}`,
      code: "EADDRINUSE",
      syscall: "bind",
      path,
    });
    assert.throws(() => sys.connectUnix(second, path), { code: "ECONNREFUSED", path });
    assert.throws(() => sys.connectUnix(second, `${path}/x`), { code: "ENOTDIR" });
    assert.throws(() => sys.connectUnix(second, `${path}x`), {
      code: "ENOENT",
      syscall: "connect",
    });
    closeAll(first, second);
  });

  test("an abstract name is in no directory, without padding, and free again when closed", () => {
    const name = `@sys-abstract-${process.pid}`;
    const listed = () =>
      readFileSync("/proc/net/unix", "utf8")
        .split("\n")
        .some((line) => line.endsWith(` ${name}`));
    const first = sys.unixSocket("stream");
    const second = sys.unixSocket("stream");
    sys.bindUnix(first, name);
    sys.listen(first, 1);
    assert.equal(listed(), true);
    assert.equal(existsSync(name), false);
    assert.throws(() => sys.bindUnix(second, name), { code: "EADDRINUSE", path: name });
    sys.connectUnix(second, name);
    closeAll(sys.accept(first), first, second);
    assert.equal(listed(), false);
  });

  test("a name of 107 bytes fits, of 108 bytes not; characters may have several bytes", () => {
    const umlauts = `${directory}/${"ü".repeat(53)}`.slice(0, 107);
    const paths = [
      `${directory}/`.padEnd(107, "n"),
      `@${"n".repeat(107)}`,
      `${directory}/${"ü".repeat(Math.floor((106 - Buffer.byteLength(directory)) / 2))}`,
    ];
    for (const path of paths) {
      const socket = sys.unixSocket("dgram");
      sys.bindUnix(socket, path);
      sys.close(socket);
      if (!path.startsWith("@")) rmSync(path);
    }
    const socket = sys.unixSocket("dgram");
    for (const path of [
      ...paths.slice(0, 2).map((path) => `${path}n`),
      umlauts,
      "n".repeat(9999),
    ]) {
      assert.throws(() => sys.bindUnix(socket, path), { code: "ENAMETOOLONG", syscall: "bind" });
      assert.throws(() => sys.connectUnix(socket, path), { code: "ENAMETOOLONG" });
    }
    sys.close(socket);
  });

  test("no name at all is refused, where the kernel would make one up", () => {
    const socket = sys.unixSocket("dgram");
    for (const path of ["", "@"]) {
      assert.throws(() => sys.bindUnix(socket, path), { code: "EINVAL" });
    }
    assert.throws(() => sys.bindUnix(socket, "/tmp/a\0b"), TypeError);
    assert.throws(() => sys.bindUnix(socket, undefined as unknown as string), TypeError);
    sys.close(socket);
  });

  test("a full backlog throws EAGAIN", () => {
    const name = `@sys-backlog-${process.pid}`;
    const listener = sys.unixSocket("stream");
    sys.bindUnix(listener, name);
    sys.listen(listener, 0);
    const clients = [sys.unixSocket("stream"), sys.unixSocket("stream")] as const;
    sys.connectUnix(clients[0], name);
    assert.throws(() => sys.connectUnix(clients[1], name), { code: "EAGAIN", errno: 11 });
    assert.throws(() => sys.listen(listener, -1), RangeError);
    closeAll(listener, ...clients);
  });

  test("a peer tells who it is", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    assert.deepEqual(sys.peerCredentials(here), {
      pid: process.pid,
      uid: process.getuid?.(),
      gid: process.getgid?.(),
    });
    closeAll(here, there);
  });
});

describe("a socket", () => {
  test("tells its type, whether it listens, and its path", () => {
    for (const type of TYPES) {
      const path = join(directory, `described-${type}`);
      const fd = sys.unixSocket(type);
      assert.deepEqual(sys.describeSocket(fd), { type, listening: false, path: "" });
      sys.bindUnix(fd, path);
      assert.deepEqual(sys.describeSocket(fd), { type, listening: false, path });
      if (type !== "dgram") {
        sys.listen(fd, 1);
        assert.deepEqual(sys.describeSocket(fd), { type, listening: true, path });
      }
      sys.close(fd);
    }
    const abstract = sys.unixSocket("dgram");
    sys.bindUnix(abstract, `@sys-${process.pid}`);
    assert.equal(sys.describeSocket(abstract).path, "", "it has a name, but no path");
    sys.close(abstract);
  });
});

describe("sending and receiving", () => {
  test("a connection tells that the other end has hung up, whatever is still to be received", () => {
    const [one, other] = sys.unixSocketPair("seqpacket");
    sys.send(one, Buffer.from("last words"));
    assert.equal(sys.hasHungUp(other), false);
    sys.close(one);
    assert.equal(sys.hasHungUp(other), true);
    assert.equal(sys.receive(other, Buffer.alloc(20)), 10);
    sys.close(other);
  });

  test("peeking leaves everything where it is, descriptors included", () => {
    const [one, other] = sys.unixSocketPair("seqpacket");
    const into = Buffer.alloc(2);
    assert.equal(sys.peek(other, into), -1);
    sys.send(one, Buffer.from("packet"), 0, 6, [one]);
    for (let i = 0; i < 3; i++) {
      assert.equal(
        sys.peek(other, into),
        6,
        "the length of the packet, not of what there was room for",
      );
      assert.equal(into.toString(), "pa");
    }
    const received = sys.receiveWithDescriptors(other, Buffer.alloc(10), 1);
    assert.deepEqual([received?.bytes, received?.descriptors.length], [6, 1]);
    closeAll(...(received?.descriptors ?? []), one);
    assert.equal(sys.peek(other, into), 0);
    sys.close(other);
  });

  test("packets keep their bounds, streams do not", () => {
    const into = Buffer.alloc(10);
    for (const [type, lengths] of [
      ["seqpacket", [3, 2, -1]],
      ["dgram", [3, 2, -1]],
      ["stream", [5, -1]],
    ] as const) {
      const [here, there] = sys.unixSocketPair(type);
      sys.send(here, Buffer.from("abc"));
      sys.send(here, Buffer.from("de"));
      for (const length of lengths) assert.equal(sys.receive(there, into), length, type);
      closeAll(here, there);
    }
  });

  test("a part of the data is sent: from the offset, and as long as is said", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    const data = Buffer.from("0123456789");
    const into = Buffer.alloc(10);
    const parts: [offset: number | undefined, length: number | undefined, sent: string][] = [
      [undefined, undefined, "0123456789"],
      [3, undefined, "3456789"],
      [3, 4, "3456"],
      [undefined, 4, "0123"],
    ];
    for (const [offset, length, sent] of parts) {
      assert.equal(sys.send(here, data, offset, length), sent.length);
      assert.equal(into.toString("utf8", 0, sys.receive(there, into)), sent);
    }
    assert.throws(() => sys.send(here, data, 11), RangeError);
    assert.throws(() => sys.send(here, data, 3, 8), RangeError);
    assert.throws(() => sys.send(here, "text" as unknown as Uint8Array), TypeError);
    assert.equal(sys.receive(there, into), -1);
    closeAll(here, there);
  });

  test("a packet that was cut shows its whole length, and the next one is intact", () => {
    for (const type of ["seqpacket", "dgram"] as const) {
      const [here, there] = sys.unixSocketPair(type);
      sys.send(here, Buffer.from("0123456789"));
      sys.send(here, Buffer.from("next"));
      const into = Buffer.alloc(4);
      assert.equal(sys.receive(there, into), 10);
      assert.equal(into.toString(), "0123");
      assert.equal(sys.receive(there, into), 4);
      assert.equal(into.toString(), "next");
      closeAll(here, there);
    }
  });

  test("a stream is never cut: what did not fit comes next", () => {
    const [here, there] = sys.unixSocketPair("stream");
    sys.send(here, Buffer.from("0123456789"));
    const into = Buffer.alloc(6);
    assert.equal(sys.receive(there, into), 6);
    assert.deepEqual(sys.receiveWithDescriptors(there, into, 0), {
      bytes: 4,
      descriptors: [],
      truncated: false,
    });
    closeAll(here, there);
  });

  test("sending says -1 when there is no room, and a stream takes a part before that", () => {
    const data = new Uint8Array(1 << 20);
    const [here, there] = sys.unixSocketPair("stream");
    const sent = sys.send(here, data);
    assert.ok(sent > 0 && sent < data.length, `sent ${sent}`);
    while (sys.send(here, data) !== -1);
    closeAll(here, there);

    const packets = sys.unixSocketPair("seqpacket");
    while (sys.send(packets[0], data, 0, 1000) !== -1);
    closeAll(...packets);
  });

  test("a packet that can never be sent throws EMSGSIZE", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    assert.throws(() => sys.send(here, new Uint8Array(8 << 20)), { code: "EMSGSIZE" });
    closeAll(here, there);
  });

  test("the end is 0, after all that was sent; sending to nobody throws EPIPE", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    sys.send(here, Buffer.from("last"));
    sys.shutdownWrite(here);
    const into = Buffer.alloc(10);
    assert.equal(sys.receive(there, into), 4);
    assert.equal(sys.receive(there, into), 0);
    assert.deepEqual(sys.receiveWithDescriptors(there, into, 1), {
      bytes: 0,
      descriptors: [],
      truncated: false,
    });
    assert.throws(() => sys.send(here, into), { code: "EPIPE", syscall: "sendmsg" });
    assert.equal(sys.send(there, into), 10, "the other direction goes on");
    closeAll(here, there);
  });

  test("receiving into nothing is refused", () => {
    const [here, there] = sys.unixSocketPair("stream");
    assert.throws(() => sys.receive(there, new Uint8Array(0)), RangeError);
    assert.throws(() => sys.receiveWithDescriptors(there, new Uint8Array(0), 1), RangeError);
    closeAll(here, there);
  });
});

describe("descriptors in messages", () => {
  const into = Buffer.alloc(16);

  /** Sends `count` descriptors of one eventfd with the data. */
  function sendMany(socket: number, data: string, count: number): void {
    const event = sys.eventFd(0);
    const descriptors = Array.from({ length: count }, () => event);
    assert.equal(
      sys.send(socket, Buffer.from(data), undefined, undefined, descriptors),
      data.length,
    );
    sys.close(event);
  }

  test("arrive in order, as the same files, close-on-exec, on each type of socket", () => {
    for (const type of TYPES) {
      const [here, there] = sys.unixSocketPair(type);
      const [readEnd, writeEnd] = sys.pipe();
      sys.send(here, Buffer.from("pipe"), 0, 4, [readEnd, writeEnd]);
      const names = [readEnd, writeEnd].map((fd) => readlinkSync(`/proc/self/fd/${fd}`));
      closeAll(readEnd, writeEnd);

      const message = sys.receiveWithDescriptors(there, into, 4);
      assert.ok(message);
      assert.deepEqual([message.bytes, message.truncated], [4, false]);
      assert.deepEqual(
        message.descriptors.map((fd) => readlinkSync(`/proc/self/fd/${fd}`)),
        names,
      );
      const [r, w] = message.descriptors;
      assert.ok(r !== undefined && w !== undefined);
      assert.equal(flagsOf(r) & O_CLOEXEC, O_CLOEXEC);
      sys.write(w, Buffer.from("through"), 0, 7);
      assert.equal(sys.read(r, into, 0, 16), 7);
      closeAll(here, there, r, w);
    }
  });

  test("are as many as the kernel takes, 253, and not one more", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    sendMany(here, "all", 253);
    const message = sys.receiveWithDescriptors(there, into, 253);
    assert.equal(message?.descriptors.length, 253);
    assert.equal(new Set(message?.descriptors).size, 253);
    closeAll(...(message?.descriptors ?? []));
    const event = sys.eventFd(0);
    const many = Array.from({ length: 254 }, () => event);
    assert.throws(() => sys.send(here, into, 0, 1, many), RangeError);
    assert.throws(() => sys.receiveWithDescriptors(there, into, 254), RangeError);
    assert.throws(() => sys.receiveWithDescriptors(there, into, -1), RangeError);
    closeAll(here, there, event);
  });

  test("come with a message without data, where the socket is of packets", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    sendMany(here, "", 1);
    const message = sys.receiveWithDescriptors(there, into, 1);
    assert.equal(message?.bytes, 0);
    assert.equal(message?.descriptors.length, 1);
    closeAll(here, there, ...(message?.descriptors ?? []));
  });

  test("may be none; an empty socket is undefined", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    assert.equal(sys.receiveWithDescriptors(there, into, 4), undefined);
    sys.send(here, Buffer.from("bare"), 0, 4, []);
    assert.deepEqual(sys.receiveWithDescriptors(there, into, 4), {
      bytes: 4,
      descriptors: [],
      truncated: false,
    });
    closeAll(here, there);
  });

  test("that do not fit are told as truncated, and none of them is left open", () => {
    for (const [sent, most] of [
      [2, 1],
      [3, 2],
      [5, 4],
      [1, 0],
      [253, 100],
    ] as const) {
      const [here, there] = sys.unixSocketPair("seqpacket");
      const open = watchDescriptors();
      sendMany(here, "many", sent);
      assert.deepEqual(sys.receiveWithDescriptors(there, into, most), {
        bytes: 4,
        descriptors: [],
        truncated: true,
      });
      assert.deepEqual(open(), [], `${sent} sent, ${most} taken`);
      closeAll(here, there);
    }
  });

  test("of a packet whose data was cut are closed too, and its whole length is told", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    const open = watchDescriptors();
    sendMany(here, "0123456789", 2);
    assert.deepEqual(sys.receiveWithDescriptors(there, Buffer.alloc(4), 2), {
      bytes: 10,
      descriptors: [],
      truncated: true,
    });
    assert.deepEqual(open(), []);
    closeAll(here, there);
  });

  test("are dropped by a receive that does not ask for them", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    const open = watchDescriptors();
    sendMany(here, "many", 3);
    assert.equal(sys.receive(there, into), 4);
    assert.deepEqual(open(), []);
    closeAll(here, there);
  });

  test("that were never received are closed with the socket", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    const [readEnd, writeEnd] = sys.pipe();
    sys.send(here, Buffer.from("x"), 0, 1, [writeEnd]);
    closeAll(writeEnd, there, here);
    assert.equal(sys.read(readEnd, into, 0, 1), 0, "no writing end is left");
    sys.close(readEnd);
  });

  test("that make no sense are refused before anything is sent", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    const send = (descriptors: unknown) => () =>
      sys.send(here, into, 0, 1, descriptors as readonly number[]);
    for (const descriptors of [null, 3, "3", {}, new Int32Array(1), [undefined], ["3"]]) {
      assert.throws(send(descriptors), TypeError);
    }
    assert.throws(send([Number.NaN]), RangeError);
    assert.throws(send([-1]), RangeError);
    assert.throws(send([NOT_OPEN]), { code: "EBADF" });
    assert.equal(sys.receive(there, into), -1);
    closeAll(here, there);
  });

  test("an array that frees the data while it is read harms nothing", () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    const buffer = new ArrayBuffer(8);
    const event = sys.eventFd(0);
    const trap = Object.defineProperty([], "0", {
      get: () => {
        structuredClone(buffer, { transfer: [buffer] });
        return event;
      },
    });
    assert.throws(() => sys.send(here, new Uint8Array(buffer), 0, 8, trap), RangeError);
    const thrower = Object.defineProperty([], "0", {
      get: () => {
        throw new Error("from the getter");
      },
    });
    assert.throws(() => sys.send(here, into, 0, 1, thrower), { message: "from the getter" });
    closeAll(here, there, event);
  });

  test("for which the process has no number left are told as truncated, and none is left open", () => {
    const door = new URL("../../src/sys/mod.ts", import.meta.url).href;
    const program = `
      import { readdirSync } from "node:fs";
      import * as sys from ${JSON.stringify(door)};
      const [here, there] = sys.unixSocketPair("seqpacket");
      const event = sys.eventFd(0);
      sys.send(here, Buffer.from("many"), 0, 4, Array.from({ length: 8 }, () => event));
      const filling = [];
      try { for (;;) filling.push(sys.eventFd(0)); } catch (error) { if (error.code !== "EMFILE") throw error; }
      for (const fd of filling.splice(0, 4)) sys.close(fd);
      const before = readdirSync("/proc/self/fd").length;
      const message = sys.receiveWithDescriptors(there, Buffer.alloc(4), 8);
      const left = readdirSync("/proc/self/fd").length - before;
      console.log(JSON.stringify({ ...message, left }));
    `;
    const child = spawnSync(
      "sh",
      [
        "-c",
        'ulimit -n 100; exec "$@"',
        "sh",
        process.execPath,
        "--import",
        "tsx",
        "--input-type=module",
        "-e",
        program,
      ],
      { encoding: "utf8", timeout: 30_000 },
    );
    assert.equal(child.stderr, "");
    assert.deepEqual(JSON.parse(child.stdout), {
      bytes: 4,
      descriptors: [],
      truncated: true,
      left: 0,
    });
  });
});
