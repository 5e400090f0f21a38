import assert from "node:assert/strict";
import { existsSync, mkdtempSync, openSync, rmSync, statSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ConsoleSocket } from "../../src/session/console-socket.ts";
import * as sys from "../../src/sys/mod.ts";
import { watchDescriptors } from "../support/open-descriptors.ts";

let directory = "";
beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "console-"));
});
afterEach(() => rmSync(directory, { recursive: true }));

interface Told {
  names: string[];
  connected: number;
  masters: number[];
  faults: string[];
}

function open(): { socket: ConsoleSocket; told: Told } {
  const told: Told = { names: [], connected: 0, masters: [], faults: [] };
  const onName = (path: string) => told.names.push(path);
  const socket = ConsoleSocket.open(directory, onName, {
    onConnected: () => told.connected++,
    onTerminal: (master) => told.masters.push(master),
    onFault: (error) => told.faults.push(error.message),
  });
  return { socket, told };
}

function connect(path: string): number {
  const fd = sys.unixSocket("stream");
  sys.connectUnix(fd, path);
  return fd;
}

describe("ConsoleSocket", () => {
  it("is for its owner alone", () => {
    const { socket, told } = open();
    assert.deepEqual(told.names, [socket.path]);
    assert.equal(statSync(socket.path).mode & 0o777, 0o700);
    assert.match(socket.path, /\/conmon-term\.[0-9a-f]{8}$/);
    socket.close();
    assert.equal(existsSync(socket.path), false);
  });

  it("takes one descriptor of one connection, and closes all others", () => {
    const leftOver = watchDescriptors();
    const { socket, told } = open();
    const [first, second] = [connect(socket.path), connect(socket.path)];
    const files = [0, 1, 2].map(() => openSync("/dev/null", "r"));
    sys.send(first, Buffer.from("name"), 0, 4, files);
    files.forEach(sys.close);
    socket.receive();
    assert.equal(told.connected, 1);
    assert.equal(told.masters.length, 1);
    assert.equal(existsSync(socket.path), false, "nobody else can connect");
    assert.throws(() => sys.send(second, Buffer.from("x")), { code: "EPIPE" });
    [first, second, ...told.masters].forEach(sys.close);
    assert.deepEqual(leftOver(), [], "no descriptor is left over");
    assert.deepEqual(told.faults, []);
  });

  it("waits for a descriptor that comes after the connection and after other bytes", () => {
    const { socket, told } = open();
    const client = connect(socket.path);
    socket.receive();
    assert.deepEqual([told.connected, told.masters.length], [1, 0]);
    sys.send(client, Buffer.from("x"));
    socket.receive();
    assert.equal(told.masters.length, 0);
    const file = openSync("/dev/null", "r");
    sys.send(client, Buffer.from("x"), 0, 1, [file]);
    socket.receive();
    assert.equal(told.masters.length, 1);
    [client, file, ...told.masters].forEach(sys.close);
  });

  it("leaves the terminal where it was until its receiver has it", () => {
    const kept = open();
    const client = connect(kept.socket.path);
    const file = openSync("/dev/null", "r");
    sys.send(client, Buffer.from("x"), 0, 1, [file]);
    let copy = -1;
    let next: sys.ReceivedMessage | undefined;
    const listener = sys.duplicate(kept.socket.listenerFd);
    kept.socket.release();
    const open2 = { listener, connection: undefined };
    const socket = ConsoleSocket.adopt(kept.socket.path, open2, {
      onConnected: (connection) => {
        copy = sys.duplicate(connection);
      },
      onTerminal: (master) => {
        sys.close(master);
        // So it would be found by another process if this one were killed now.
        next = sys.receiveWithDescriptors(copy, Buffer.alloc(10), 1);
      },
      onFault: (error) => assert.fail(error),
    });
    socket.receive();
    assert.equal(next?.descriptors.length, 1);
    [client, file, copy, ...(next?.descriptors ?? [])].forEach(sys.close);
  });

  it("tells of a runtime that hangs up without a terminal", () => {
    const { socket, told } = open();
    const client = connect(socket.path);
    sys.close(client);
    socket.receive();
    assert.deepEqual(told.faults, ["The runtime hung up without sending a terminal"]);
    assert.equal(existsSync(socket.path), false);
  });

  it("can be gone on with by another process, at both stages", () => {
    const { socket, told } = open();
    const listener = sys.duplicate(socket.listenerFd);
    socket.release();
    assert.ok(existsSync(socket.path), "the name stays");
    let connection = -1;
    const events = {
      onConnected: (fd: number) => {
        connection = sys.duplicate(fd);
      },
      onTerminal: (master: number) => told.masters.push(master),
      onFault: (error: Error) => told.faults.push(error.message),
    };
    const open2 = { listener, connection: undefined };
    const next = ConsoleSocket.adopt(socket.path, open2, events);
    const client = connect(socket.path);
    next.receive();
    next.release();
    const last = ConsoleSocket.adopt(socket.path, { listener: undefined, connection }, events);
    const file = openSync("/dev/null", "r");
    sys.send(client, Buffer.from("x"), 0, 1, [file]);
    last.receive();
    assert.equal(told.masters.length, 1);
    assert.deepEqual(told.faults, []);
    [client, file, ...told.masters].forEach(sys.close);
  });

  it("names the directory in which it cannot be made", () => {
    rmSync(directory, { recursive: true });
    assert.throws(open, /Failed to make the console socket .*conmon-term\..*No such file/);
    directory = mkdtempSync(join(tmpdir(), "console-"));
  });
});
