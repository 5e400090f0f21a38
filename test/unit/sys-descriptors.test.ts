import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  closeSync,
  ftruncateSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readlinkSync,
  readSync,
  rmSync,
  statSync,
} from "node:fs";
import { endianness, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, test } from "node:test";
import * as sys from "../../src/sys/mod.ts";
import { watchDescriptors } from "../support/open-descriptors.ts";

const NOT_OPEN = 1_000_000;
const O_NONBLOCK = 0o4000;
const O_CLOEXEC = 0o2000000;

/** The flags of an open descriptor, as the kernel shows them. */
function flagsOf(fd: number): number {
  const text = readFileSync(`/proc/self/fdinfo/${fd}`, "latin1");
  return Number.parseInt(/^flags:\s+(\d+)$/m.exec(text)?.[1] ?? "", 8);
}

/** What a system call that must fail throws. */
function failure(call: () => unknown): sys.SystemError {
  let thrown: unknown;
  assert.throws(call, (error) => {
    thrown = error;
    return true;
  });
  assert.ok(sys.isSystemError(thrown), `${thrown} is no SystemError`);
  return thrown;
}

let leftOver = watchDescriptors();
beforeEach(() => {
  leftOver = watchDescriptors();
});
afterEach(() => {
  assert.deepEqual(leftOver(), [], "descriptors are left over");
});

describe("errors", () => {
  test("carry name, number and system call, and the path where there is one", () => {
    const error = failure(() => sys.makeFifo("/proc/no/such/fifo", 0o600));
    assert.equal(error.message, "mkfifo: ENOENT: No such file or directory: /proc/no/such/fifo");
    assert.equal(error.code, "ENOENT");
    assert.equal(error.errno, 2);
    assert.equal(error.syscall, "mkfifo");
    assert.equal(error.path, "/proc/no/such/fifo");
    assert.match(error.stack ?? "", /sys-descriptors\.test\.ts/);
  });

  test("have no path where the call is about a descriptor", () => {
    const error = failure(() => sys.close(NOT_OPEN));
    assert.equal(error.message, "close: EBADF: Bad file descriptor");
    assert.equal("path" in error, false);
  });

  test("are told apart by isSystemError", () => {
    const error = failure(() => sys.close(NOT_OPEN));
    assert.equal(sys.isSystemError(error, "EBADF"), true);
    assert.equal(sys.isSystemError(error, "EPIPE"), false);
    assert.equal(sys.isSystemError(new Error("other")), false);
    assert.equal(sys.isSystemError(undefined), false);
    assert.throws(
      () => openSync("/proc/no/such/file", "r"),
      (nodes) => sys.isSystemError(nodes, "ENOENT"),
    );
  });

  test("come from every function that takes a descriptor, when it is not open", () => {
    const buffer = new Uint8Array(8);
    const calls: [name: string, call: () => unknown][] = [
      ["read", () => sys.read(NOT_OPEN, buffer, 0, 8)],
      ["write", () => sys.write(NOT_OPEN, buffer, 0, 8)],
      ["fcntl", () => sys.setNonBlocking(NOT_OPEN, true)],
      ["fcntl", () => sys.setCloseOnExec(NOT_OPEN, true)],
      ["fcntl", () => sys.duplicate(NOT_OPEN)],
      ["dup3", () => sys.duplicateOnto(NOT_OPEN, NOT_OPEN + 1)],
      ["close", () => sys.close(NOT_OPEN)],
      ["F_GETPIPE_SZ", () => sys.getPipeSize(NOT_OPEN)],
      ["F_SETPIPE_SZ", () => sys.setPipeSize(NOT_OPEN, 4096)],
      ["FIONREAD", () => sys.bytesReadable(NOT_OPEN)],
      ["lseek", () => sys.seekEnd(NOT_OPEN)],
      ["F_ADD_SEALS", () => sys.sealMemoryFile(NOT_OPEN)],
      ["flock", () => sys.lockFile(NOT_OPEN)],
    ];
    for (const [syscall, call] of calls) {
      const error = failure(call);
      assert.deepEqual([error.code, error.syscall], ["EBADF", syscall]);
    }
  });
});

describe("arguments", () => {
  test("a descriptor that is no whole number from 0 up is refused, never rounded to another", () => {
    for (const fd of [Number.NaN, -1, 1.5, 2 ** 31, 2 ** 32, Number.POSITIVE_INFINITY]) {
      assert.throws(() => sys.bytesReadable(fd), RangeError, String(fd));
      assert.throws(() => sys.read(fd, new Uint8Array(1), 0, 1), RangeError, String(fd));
    }
    for (const fd of [undefined, null, "0", {}, 0n]) {
      assert.throws(() => sys.bytesReadable(fd as number), TypeError);
    }
  });

  test("an offset or length outside of the array is refused before anything is moved", () => {
    const [readEnd, writeEnd] = sys.pipe();
    const buffer = new Uint8Array(10);
    assert.equal(sys.write(writeEnd, buffer, 0, 10), 10);
    const outside: [offset: number, length: number][] = [
      [-1, 1],
      [11, 0],
      [0, 11],
      [5, 6],
      [10, 1],
      [0.5, 1],
      [0, 1.5],
      [0, -1],
      [Number.NaN, 1],
      [0, Number.NaN],
      [2 ** 53, 1],
      [0, 2 ** 64],
    ];
    for (const [offset, length] of outside) {
      assert.throws(() => sys.read(readEnd, buffer, offset, length), RangeError);
      assert.throws(() => sys.write(writeEnd, buffer, offset, length), RangeError);
    }
    assert.equal(sys.bytesReadable(readEnd), 10);
    sys.close(readEnd);
    sys.close(writeEnd);
  });

  test("data that is no Uint8Array is refused", () => {
    const others: unknown[] = [
      undefined,
      null,
      "text",
      [1],
      new ArrayBuffer(8),
      new Uint16Array(8),
    ];
    for (const data of others) {
      assert.throws(() => sys.write(1, data as Uint8Array, 0, 0), TypeError);
      assert.throws(() => sys.read(0, data as Uint8Array, 0, 1), TypeError);
    }
  });

  test("text with a NUL in it is refused, never cut there", () => {
    assert.throws(() => sys.makeFifo("/tmp/a\0b", 0o600), TypeError);
    assert.throws(() => sys.memoryFile("a\0b"), TypeError);
    assert.throws(() => sys.memoryFile(7 as unknown as string), TypeError);
  });

  test("flags have to be booleans", () => {
    assert.throws(() => sys.setNonBlocking(0, 1 as unknown as boolean), TypeError);
  });
});

describe("pipes", () => {
  test("carry bytes between parts of arrays, and end when the writing end is closed", () => {
    const [readEnd, writeEnd] = sys.pipe();
    assert.equal(sys.write(writeEnd, Buffer.from("<hello>"), 1, 5), 5);
    const into = Buffer.alloc(8, ".");
    assert.equal(sys.read(readEnd, into, 2, 4), 4);
    assert.equal(into.toString(), "..hell..");
    assert.equal(sys.read(readEnd, into, 0, 8), 1);
    sys.close(writeEnd);
    assert.equal(sys.read(readEnd, into, 0, 8), 0);
    sys.close(readEnd);
  });

  test("parts of the memory are written in the order that is asked for", () => {
    const [readEnd, writeEnd] = sys.pipe();
    const memory = Buffer.from("abcdefgh");
    const parts = Uint32Array.of(6, 2, 0, 3, 4, 0, 3, 1, 0, 8);
    assert.equal(sys.writeGathered(writeEnd, memory, parts, 4), 6);
    const buffer = Buffer.alloc(10);
    assert.equal(sys.read(readEnd, buffer, 0, 10), 6);
    assert.equal(String(buffer.subarray(0, 6)), "ghabcd");
    sys.setNonBlocking(writeEnd, true);
    const all = new Uint8Array(100_000);
    assert.equal(sys.writeGathered(writeEnd, all, Uint32Array.of(0, 100_000), 1), 65536);
    assert.equal(sys.writeGathered(writeEnd, all, Uint32Array.of(0, 100_000), 1), -1);
    for (const wrong of [Uint32Array.of(7, 2), Uint32Array.of(0xffffffff, 1)]) {
      assert.throws(() => sys.writeGathered(writeEnd, memory, wrong, 1), RangeError);
    }
    for (const count of [0, 6, 2000]) {
      assert.throws(() => sys.writeGathered(writeEnd, memory, parts, count), RangeError);
    }
    const others = [undefined, [0, 1], new Uint8Array(8)] as unknown as Uint32Array[];
    for (const other of others) {
      assert.throws(() => sys.writeGathered(writeEnd, memory, other, 1), TypeError);
    }
    sys.close(readEnd);
    const last = failure(() => sys.writeGathered(writeEnd, memory, parts, 1));
    assert.deepEqual([last.code, last.syscall], ["EPIPE", "writev"]);
    sys.close(writeEnd);
  });

  test("work on a view into a larger buffer without touching its neighbours", () => {
    const [readEnd, writeEnd] = sys.pipe();
    const whole = Buffer.alloc(6, ".");
    sys.write(writeEnd, Buffer.from("abc"), 0, 3);
    assert.equal(sys.read(readEnd, whole.subarray(2, 4), 0, 2), 2);
    assert.equal(whole.toString(), "..ab..");
    sys.close(readEnd);
    sys.close(writeEnd);
  });

  test("are close-on-exec and in blocking mode", () => {
    const ends = sys.pipe();
    for (const fd of ends) {
      assert.equal(flagsOf(fd) & (O_CLOEXEC | O_NONBLOCK), O_CLOEXEC);
      sys.close(fd);
    }
  });

  test("in non-blocking mode say -1 when empty, take what fits, and say -1 when full", () => {
    const [readEnd, writeEnd] = sys.pipe();
    sys.setNonBlocking(readEnd, true);
    sys.setNonBlocking(writeEnd, true);
    const buffer = new Uint8Array(200_000);
    assert.equal(sys.read(readEnd, buffer, 0, buffer.length), -1);
    assert.equal(sys.write(writeEnd, buffer, 0, buffer.length), sys.getPipeSize(writeEnd));
    assert.equal(sys.write(writeEnd, buffer, 0, buffer.length), -1);
    assert.equal(sys.bytesReadable(readEnd), sys.getPipeSize(readEnd));
    sys.close(readEnd);
    sys.close(writeEnd);
  });

  test("throw EPIPE when nobody reads any more", () => {
    const [readEnd, writeEnd] = sys.pipe();
    sys.close(readEnd);
    const error = failure(() => sys.write(writeEnd, new Uint8Array(1), 0, 1));
    assert.deepEqual([error.code, error.errno, error.syscall], ["EPIPE", 32, "write"]);
    sys.close(writeEnd);
  });

  test("refuse to read into nothing, which would look like the end", () => {
    const [readEnd, writeEnd] = sys.pipe();
    assert.throws(() => sys.read(readEnd, new Uint8Array(4), 4, 0), RangeError);
    assert.throws(() => sys.read(readEnd, new Uint8Array(0), 0, 0), RangeError);
    assert.equal(sys.write(writeEnd, new Uint8Array(0), 0, 0), 0);
    sys.close(readEnd);
    sys.close(writeEnd);
  });

  test("change their size, in steps of the kernel", () => {
    const [readEnd, writeEnd] = sys.pipe();
    assert.equal(sys.setPipeSize(writeEnd, 100_000), 131_072);
    assert.equal(sys.getPipeSize(readEnd), 131_072);
    sys.close(readEnd);
    sys.close(writeEnd);
    const event = sys.eventFd(0);
    assert.equal(failure(() => sys.getPipeSize(event)).code, "EBADF");
    assert.throws(() => sys.setPipeSize(event, -1), RangeError);
    sys.close(event);
  });
});

describe("flags and copies", () => {
  test("non-blocking mode can be set and cleared, and leaves other flags alone", () => {
    const [readEnd, writeEnd] = sys.pipe();
    const original = flagsOf(readEnd);
    sys.setNonBlocking(readEnd, true);
    assert.equal(flagsOf(readEnd), original | O_NONBLOCK);
    sys.setNonBlocking(readEnd, false);
    assert.equal(flagsOf(readEnd), original);
    sys.close(readEnd);
    sys.close(writeEnd);
  });

  test("close-on-exec can be cleared and set again", () => {
    const event = sys.eventFd(0);
    sys.setCloseOnExec(event, false);
    assert.equal(flagsOf(event) & O_CLOEXEC, 0);
    sys.setCloseOnExec(event, true);
    assert.equal(flagsOf(event) & O_CLOEXEC, O_CLOEXEC);
    sys.close(event);
  });

  test("a copy is the same file, close-on-exec, with a number from 3 up", () => {
    const [readEnd, writeEnd] = sys.pipe();
    const copy = sys.duplicate(writeEnd);
    assert.ok(copy >= 3);
    assert.equal(flagsOf(copy) & O_CLOEXEC, O_CLOEXEC);
    assert.equal(readlinkSync(`/proc/self/fd/${copy}`), readlinkSync(`/proc/self/fd/${writeEnd}`));
    for (const fd of [readEnd, writeEnd, copy]) sys.close(fd);
  });

  test("a copy onto an open number replaces it, close-on-exec", () => {
    const [readEnd, writeEnd] = sys.pipe();
    const target = sys.eventFd(0);
    sys.setCloseOnExec(target, false);
    sys.duplicateOnto(writeEnd, target);
    sys.write(target, Buffer.from("x"), 0, 1);
    assert.equal(sys.bytesReadable(readEnd), 1);
    assert.equal(flagsOf(target) & O_CLOEXEC, O_CLOEXEC);
    assert.equal(failure(() => sys.duplicateOnto(target, target)).code, "EINVAL");
    for (const fd of [readEnd, writeEnd, target]) sys.close(fd);
  });

  test("a copy onto standard input, output or error stays open in children", () => {
    const door = new URL("../../src/sys/mod.ts", import.meta.url).href;
    const program = `
      import { execFileSync } from "node:child_process";
      import * as sys from ${JSON.stringify(door)};
      const [readEnd, writeEnd] = sys.pipe();
      const output = sys.duplicate(1);
      sys.duplicateOnto(writeEnd, 1);
      execFileSync("sh", ["-c", "echo from the child"], { stdio: "inherit" });
      sys.duplicateOnto(output, 1);
      const into = Buffer.alloc(100);
      const count = sys.read(readEnd, into, 0, 100);
      sys.write(1, Buffer.from("got " + into.toString("utf8", 0, count)), 0, count + 4);
    `;
    const args = ["--import", "tsx", "--input-type=module", "-e", program];
    const child = spawnSync(process.execPath, args, { encoding: "utf8", timeout: 30_000 });
    assert.deepEqual([child.stdout, child.stderr], ["got from the child\n", ""]);
  });

  test("a closed descriptor is closed", () => {
    const event = sys.eventFd(0);
    sys.close(event);
    assert.equal(failure(() => sys.close(event)).code, "EBADF");
  });
});

describe("new kinds of files", () => {
  function counter(value: bigint): Buffer {
    const bytes = Buffer.alloc(8);
    if (endianness() === "LE") bytes.writeBigUInt64LE(value);
    else bytes.writeBigUInt64BE(value);
    return bytes;
  }

  test("an eventfd counts, is non-blocking and close-on-exec", () => {
    const event = sys.eventFd(4_000_000_000);
    assert.equal(flagsOf(event) & (O_CLOEXEC | O_NONBLOCK), O_CLOEXEC | O_NONBLOCK);
    const into = Buffer.alloc(8);
    assert.equal(sys.write(event, counter(3n), 0, 8), 8);
    assert.equal(sys.read(event, into, 0, 8), 8);
    assert.deepEqual(into, counter(4_000_000_003n));
    assert.equal(sys.read(event, into, 0, 8), -1);
    assert.equal(failure(() => sys.read(event, into, 0, 7)).code, "EINVAL");
    sys.close(event);
    assert.throws(() => sys.eventFd(-1), RangeError);
    assert.throws(() => sys.eventFd(2 ** 32), RangeError);
  });

  test("a memory file is written, read and has its name", () => {
    const file = sys.memoryFile("journal of ü");
    assert.equal(flagsOf(file) & O_CLOEXEC, O_CLOEXEC);
    assert.equal(sys.write(file, Buffer.from("kept"), 0, 4), 4);
    const into = Buffer.alloc(10);
    assert.equal(readSync(file, into, 0, 10, 0), 4);
    assert.equal(into.toString("utf8", 0, 4), "kept");
    assert.match(readlinkSync(`/proc/self/fd/${file}`), /memfd:journal of ü/);
    sys.close(file);
    assert.equal(failure(() => sys.memoryFile("n".repeat(250))).code, "EINVAL");
    assert.equal(failure(() => sys.memoryFile("n".repeat(5000))).code, "EINVAL");
  });

  test("a sealed memory file can be read and never be changed", () => {
    const file = sys.memoryFile("entry");
    sys.write(file, Buffer.from("kept"), 0, 4);
    sys.sealMemoryFile(file);
    assert.equal(failure(() => sys.write(file, Buffer.from("more"), 0, 4)).code, "EPERM");
    assert.throws(() => ftruncateSync(file, 0), { code: "EPERM" });
    const into = Buffer.alloc(10);
    assert.equal(into.toString("utf8", 0, readSync(file, into, 0, 10, 0)), "kept");
    assert.equal(failure(() => sys.sealMemoryFile(file)).code, "EPERM");
    sys.close(file);
    const event = sys.eventFd(0);
    assert.equal(failure(() => sys.sealMemoryFile(event)).code, "EINVAL");
    sys.close(event);
  });

  test("a lock is one opener's, with all copies of his descriptor, until the last of them is closed", () => {
    const directory = mkdtempSync(join(tmpdir(), "sys-"));
    const open = () => openSync(join(directory, "lock"), "a+");
    const [first, second] = [open(), open()];
    assert.equal(sys.lockFile(first), true);
    assert.equal(sys.lockFile(first), true, "it is his already");
    assert.equal(sys.lockFile(second), false);
    const copy = sys.duplicate(first);
    sys.close(first);
    assert.equal(sys.lockFile(second), false);
    sys.close(copy);
    assert.equal(sys.lockFile(second), true);
    sys.close(second);
    rmSync(directory, { recursive: true });
  });

  test("a fifo is made with the mode less the umask, and not over what is there", () => {
    const directory = mkdtempSync(join(tmpdir(), "sys-"));
    const path = join(directory, "ctl");
    const umask = process.umask(0o022);
    try {
      sys.makeFifo(path, 0o666);
      const status = statSync(path);
      assert.equal(status.isFIFO(), true);
      assert.equal(status.mode & 0o7777, 0o644);
      const error = failure(() => sys.makeFifo(path, 0o600));
      assert.deepEqual([error.code, error.path], ["EEXIST", path]);
      const fd = openSync(path, "r+");
      sys.write(fd, Buffer.from("1 2 3\n"), 0, 6);
      assert.equal(sys.bytesReadable(fd), 6);
      closeSync(fd);
    } finally {
      process.umask(umask);
      rmSync(directory, { recursive: true });
    }
    assert.equal(failure(() => sys.makeFifo(`/${"n".repeat(5000)}`, 0o600)).code, "ENAMETOOLONG");
    assert.throws(() => sys.makeFifo("/tmp/x", 0o10000), RangeError);
  });
});

test("the end of a file is known, also of one that is larger than 4 GiB; a pipe has none", () => {
  const fd = sys.memoryFile("large");
  const [readEnd, writeEnd] = sys.pipe();
  try {
    assert.equal(sys.seekEnd(fd), 0);
    ftruncateSync(fd, 5 * 2 ** 30 + 1);
    assert.equal(sys.seekEnd(fd), 5 * 2 ** 30 + 1);
    assert.equal(failure(() => sys.seekEnd(readEnd)).code, "ESPIPE");
  } finally {
    for (const each of [fd, readEnd, writeEnd]) sys.close(each);
  }
});
