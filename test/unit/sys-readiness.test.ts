import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { createRequire } from "node:module";
import { afterEach, beforeEach, describe, test } from "node:test";
import { setImmediate as turn } from "node:timers/promises";
import { spawn } from "node-pty";
import * as sys from "../../src/sys/mod.ts";
import { watchDescriptors } from "../support/open-descriptors.ts";

const { DISCONNECT, HANGUP, READABLE, Readiness, WRITABLE } = sys;
const door = new URL("../../src/sys/mod.ts", import.meta.url).href;
const byte = new Uint8Array(1);

/** A Readiness that collects what it is told, and lets a test wait for the next. */
class Watcher {
  readonly told: number[] = [];
  readonly readiness: sys.Readiness;
  #waiting: ((events: number) => void) | undefined;

  constructor(fd: number, react: (events: number) => void = () => {}) {
    this.readiness = new Readiness(fd, (events) => {
      this.told.push(events);
      react(events);
      this.#waiting?.(events);
    });
  }

  next(): Promise<number> {
    return new Promise((resolve) => {
      this.#waiting = resolve;
    });
  }
}

/** Lets the event loop poll a few times, so that what is ready would have been told. */
async function severalTurns(): Promise<void> {
  for (let i = 0; i < 5; i++) await turn();
}

/** Runs a module in a Node.js of its own. */
function run(program: string, ...flags: string[]) {
  const source = `import * as sys from ${JSON.stringify(door)};\n${program}`;
  const args = [...flags, "--import", "tsx", "--input-type=module", "-e", source];
  return spawnSync(process.execPath, args, { encoding: "utf8", timeout: 30_000 });
}

let leftOver = watchDescriptors();
beforeEach(() => {
  leftOver = watchDescriptors();
});
afterEach(() => {
  assert.deepEqual(leftOver(), [], "descriptors are left over");
});

describe("Readiness", () => {
  test("tells when there is something to read, again and again until it is read", async () => {
    const [readEnd, writeEnd] = sys.pipe();
    const watcher = new Watcher(readEnd);
    watcher.readiness.watch(READABLE);
    await severalTurns();
    assert.deepEqual(watcher.told, []);
    sys.write(writeEnd, byte, 0, 1);
    assert.equal(await watcher.next(), READABLE);
    assert.equal(await watcher.next(), READABLE);
    sys.read(readEnd, byte, 0, 1);
    const count = watcher.told.length;
    await severalTurns();
    assert.equal(watcher.told.length, count);
    watcher.readiness.close();
    sys.close(readEnd);
    sys.close(writeEnd);
  });

  test("tells when there is room to write, and not while there is none", async () => {
    const [here, there] = sys.unixSocketPair("stream");
    const data = new Uint8Array(1 << 16);
    while (sys.send(here, data) !== -1);
    const watcher = new Watcher(here);
    watcher.readiness.watch(WRITABLE);
    await severalTurns();
    assert.deepEqual(watcher.told, []);
    while (sys.receive(there, data) !== -1);
    assert.equal(await watcher.next(), WRITABLE);
    watcher.readiness.close();
    sys.close(here);
    sys.close(there);
  });

  test("tells both at once, and only what is watched", async () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    sys.send(there, byte);
    const watcher = new Watcher(here);
    watcher.readiness.watch(READABLE | WRITABLE);
    assert.equal(await watcher.next(), READABLE | WRITABLE);
    watcher.readiness.watch(WRITABLE);
    assert.equal(await watcher.next(), WRITABLE);
    watcher.readiness.watch(READABLE | DISCONNECT);
    assert.equal(await watcher.next(), READABLE);
    watcher.readiness.close();
    sys.close(here);
    sys.close(there);
  });

  test("tells a hang-up only when both directions of a connection have ended", async () => {
    const [here, there] = sys.unixSocketPair("seqpacket");
    const watcher = new Watcher(here);
    watcher.readiness.watch(HANGUP);
    sys.shutdownWrite(there);
    await severalTurns();
    assert.deepEqual(watcher.told, []);
    sys.close(there);
    assert.equal(await watcher.next(), HANGUP);
    watcher.readiness.close();
    sys.close(here);
  });

  test("tells when the other end of a socket has gone", async () => {
    for (const type of ["stream", "seqpacket"] as const) {
      const [here, there] = sys.unixSocketPair(type);
      const watcher = new Watcher(here);
      watcher.readiness.watch(DISCONNECT);
      await severalTurns();
      assert.deepEqual(watcher.told, []);
      sys.close(there);
      assert.equal(await watcher.next(), DISCONNECT);
      watcher.readiness.close();
      sys.close(here);
    }
  });

  test("tells the end of a pipe as readable, so that reading shows it", async () => {
    const [readEnd, writeEnd] = sys.pipe();
    const watcher = new Watcher(readEnd);
    watcher.readiness.watch(READABLE);
    sys.close(writeEnd);
    assert.equal(await watcher.next(), READABLE);
    assert.equal(sys.read(readEnd, byte, 0, 1), 0);
    watcher.readiness.close();
    sys.close(readEnd);
  });

  test("tells a pipe that nobody reads any more as ready, so that writing shows it", async () => {
    for (const [watched, told] of [
      [WRITABLE, READABLE | WRITABLE],
      [DISCONNECT, READABLE | WRITABLE | DISCONNECT],
    ] as const) {
      const [readEnd, writeEnd] = sys.pipe();
      const watcher = new Watcher(writeEnd);
      sys.setNonBlocking(writeEnd, true);
      while (sys.write(writeEnd, byte, 0, 1) !== -1);
      watcher.readiness.watch(watched);
      await severalTurns();
      assert.deepEqual(watcher.told, []);
      sys.close(readEnd);
      assert.equal(await watcher.next(), told);
      assert.equal(await watcher.next(), told, "as long as it lasts");
      assert.throws(() => sys.write(writeEnd, byte, 0, 1), { code: "EPIPE" });
      watcher.readiness.watch(0);
      const count = watcher.told.length;
      await severalTurns();
      assert.equal(watcher.told.length, count);
      watcher.readiness.close();
      sys.close(writeEnd);
    }
  });

  test("tells the end of a terminal, whose master then throws EIO", async () => {
    const terminal = spawn("sh", ["-c", "read line"], {});
    const ended = new Promise((resolve) => terminal.onExit(resolve));
    const { fd } = terminal as unknown as { fd: number };
    const master = sys.duplicate(fd);
    const end = new Promise<unknown>((resolve) => {
      const buffer = new Uint8Array(100);
      const readiness = new Readiness(master, (events) => {
        try {
          assert.equal(events & READABLE, READABLE);
          while (sys.read(master, buffer, 0, buffer.length) > 0);
        } catch (error) {
          readiness.close();
          resolve(error);
        }
      });
      readiness.watch(READABLE);
    });
    terminal.write("\r");
    assert.deepEqual(
      { ...((await end) as sys.SystemError) },
      { code: "EIO", errno: 5, syscall: "read" },
    );
    sys.close(master);
    await ended;
  });

  test("works for an eventfd", async () => {
    const event = sys.eventFd(0);
    const watcher = new Watcher(event);
    watcher.readiness.watch(READABLE);
    await severalTurns();
    assert.deepEqual(watcher.told, []);
    const one = new Uint8Array(new BigUint64Array([1n]).buffer);
    sys.write(event, one, 0, 8);
    assert.equal(await watcher.next(), READABLE);
    watcher.readiness.close();
    sys.close(event);
  });

  test("can stop and start again, also in its own callback", async () => {
    const [readEnd, writeEnd] = sys.pipe();
    const watcher = new Watcher(readEnd, () => watcher.readiness.watch(0));
    sys.write(writeEnd, byte, 0, 1);
    for (let round = 1; round <= 3; round++) {
      watcher.readiness.watch(READABLE);
      assert.equal(await watcher.next(), READABLE);
      await severalTurns();
      assert.equal(watcher.told.length, round);
    }
    watcher.readiness.close();
    sys.close(readEnd);
    sys.close(writeEnd);
  });

  test("can be closed in its own callback, with the descriptor", async () => {
    const [readEnd, writeEnd] = sys.pipe();
    const watcher = new Watcher(readEnd, () => {
      watcher.readiness.close();
      sys.close(readEnd);
    });
    watcher.readiness.watch(READABLE);
    sys.write(writeEnd, byte, 0, 1);
    await watcher.next();
    await severalTurns();
    assert.equal(watcher.told.length, 1);
    sys.close(writeEnd);
  });

  test("can close another one that is ready at the same time, which is then not told", async () => {
    const [first, second] = [sys.eventFd(1), sys.eventFd(1)];
    const told: string[] = [];
    const a = new Readiness(first, () => {
      told.push("a");
      b.close();
    });
    const b = new Readiness(second, () => {
      told.push("b");
      a.close();
    });
    a.watch(READABLE);
    b.watch(READABLE);
    await severalTurns();
    a.close();
    b.close();
    assert.equal(new Set(told).size, 1, told.join(" "));
    sys.close(first);
    sys.close(second);
  });

  test("is closed for good: closing again does nothing, watching throws", async () => {
    const event = sys.eventFd(1);
    const watcher = new Watcher(event);
    watcher.readiness.watch(READABLE);
    watcher.readiness.close();
    watcher.readiness.close();
    watcher.readiness.ref();
    watcher.readiness.unref();
    assert.throws(() => watcher.readiness.watch(READABLE), { code: "ERR_CLOSED" });
    await severalTurns();
    watcher.readiness.close();
    assert.deepEqual(watcher.told, []);
    sys.close(event);
  });

  test("leaves the descriptor open and, unlike before, non-blocking", () => {
    const [readEnd, writeEnd] = sys.pipe();
    new Readiness(readEnd, () => {}).close();
    assert.equal(sys.read(readEnd, byte, 0, 1), -1);
    sys.close(readEnd);
    sys.close(writeEnd);
  });

  test("lets a number be used again by another descriptor at once", async () => {
    for (let round = 0; round < 3; round++) {
      const event = sys.eventFd(1);
      const watcher = new Watcher(event);
      watcher.readiness.watch(READABLE);
      assert.equal(await watcher.next(), READABLE);
      watcher.readiness.close();
      sys.close(event);
    }
  });

  test("refuses what cannot be polled, what is not open, and a second watcher", () => {
    const file = openSync("/proc/self/exe", "r");
    assert.throws(() => new Readiness(file, () => {}), { code: "EPERM", syscall: "uv_poll_init" });
    closeSync(file);
    assert.throws(() => new Readiness(1_000_000, () => {}), { code: "EBADF" });

    const event = sys.eventFd(0);
    const first = new Readiness(event, () => {});
    const second = new Readiness(event, () => {});
    first.watch(READABLE);
    assert.throws(() => new Readiness(event, () => {}), { code: "EEXIST", errno: 17 });
    assert.throws(() => second.watch(READABLE), { code: "EEXIST", syscall: "uv_poll_start" });
    first.watch(0);
    second.watch(READABLE);
    first.close();
    second.close();
    sys.close(event);
  });

  test("throws when its descriptor was closed before it was watched", () => {
    const event = sys.eventFd(0);
    const readiness = new Readiness(event, () => {});
    sys.close(event);
    assert.throws(() => readiness.watch(READABLE), { code: "EBADF", syscall: "uv_poll_start" });
    readiness.close();
  });

  test("refuses arguments that make no sense", () => {
    const event = sys.eventFd(0);
    assert.throws(() => new Readiness(-1, () => {}), RangeError);
    assert.throws(() => new Readiness(event, undefined as unknown as () => void), TypeError);
    assert.throws(() => (Readiness as unknown as () => void)(), TypeError);
    const readiness = new Readiness(event, () => {});
    try {
      for (const events of [-1, 16, 1.5, Number.NaN]) {
        assert.throws(() => readiness.watch(events), RangeError);
      }
      assert.throws(() => readiness.watch.call({} as sys.Readiness, READABLE), TypeError);
    } finally {
      // One that was left watching would keep the whole file from ending.
      readiness.close();
      sys.close(event);
    }
  });

  test("runs ticks and microtasks after each callback, before the next one", async () => {
    const order: string[] = [];
    const events = [sys.eventFd(1), sys.eventFd(1)];
    const watchers = events.map((fd, index) => {
      const watcher = new Watcher(fd, () => {
        watcher.readiness.watch(0);
        order.push(`ready ${index}`);
        queueMicrotask(() => order.push(`microtask ${index}`));
        process.nextTick(() => order.push(`tick ${index}`));
      });
      watcher.readiness.watch(READABLE);
      return watcher;
    });
    await severalTurns();
    const [first, second] = order[0] === "ready 0" ? [0, 1] : [1, 0];
    assert.deepEqual(order, [
      `ready ${first}`,
      `tick ${first}`,
      `microtask ${first}`,
      `ready ${second}`,
      `tick ${second}`,
      `microtask ${second}`,
    ]);
    for (const watcher of watchers) watcher.readiness.close();
    for (const fd of events) sys.close(fd);
  });
});

describe("a process with a Readiness", () => {
  test("ends with an uncaught exception when the callback throws", () => {
    const child = run(`
      new sys.Readiness(sys.eventFd(1), () => { throw new Error("thrown when ready"); })
        .watch(sys.READABLE);
    `);
    assert.equal(child.status, 1, child.stderr);
    assert.match(child.stderr, /Error: thrown when ready/);
  });

  test("goes on after a handled uncaught exception, ticks and watching included", () => {
    const child = run(`
      const seen = [];
      process.on("uncaughtException", (error) => seen.push(error.message));
      const ready = new sys.Readiness(sys.eventFd(1), () => {
        process.nextTick(() => seen.push("tick"));
        if (seen.length > 2) { ready.close(); console.log(seen.join(" ")); return; }
        throw new Error("thrown");
      });
      ready.watch(sys.READABLE);
    `);
    assert.equal(child.stderr, "");
    assert.match(child.stdout, /^thrown (tick )?thrown/);
    assert.match(child.stdout, /tick/);
    assert.equal(child.status, 0);
  });

  test("lives while it watches, and ends when it stops, is closed or is unreferenced", () => {
    for (const [last, told] of [
      ["ready.close()", "1"],
      ["ready.watch(0)", "1"],
      ["ready.unref()", "1"],
    ]) {
      const child = run(`
        const [readEnd, writeEnd] = sys.pipe();
        const ready = new sys.Readiness(readEnd, (events) => { console.log(events); ${last}; });
        ready.watch(sys.READABLE);
        setTimeout(() => sys.write(writeEnd, new Uint8Array(1), 0, 1), 20).unref();
      `);
      assert.deepEqual([child.status, child.stderr], [0, ""]);
      assert.match(child.stdout, new RegExp(`^(${told}\n)+$`));
    }
  });

  test("ends cleanly with open and watching ones, by itself, by process.exit and by a signal", () => {
    const open = `
      const busy = new sys.Readiness(sys.eventFd(0), () => {});
      busy.watch(sys.READABLE);
      new sys.Readiness(sys.eventFd(0), () => {});
    `;
    for (const [last, status, signal] of [
      ["busy.unref();", 0, null],
      ["process.exit(7);", 7, null],
      ["setImmediate(() => process.exit(7));", 7, null],
      ["process.kill(process.pid, 'SIGTERM');", null, "SIGTERM"],
    ] as const) {
      const child = run(`${open}${last}`);
      assert.deepEqual([child.status, child.signal, child.stderr], [status, signal, ""], last);
    }
  });

  test("keeps an open one that nobody holds, and its callback, and frees closed ones", () => {
    const child = run(
      `
      const event = sys.eventFd(0);
      (() => {
        const ready = new sys.Readiness(event, () => { ready.close(); console.log("told"); });
        ready.watch(sys.READABLE);
      })();
      const other = sys.eventFd(0);
      let freed = 0;
      const registry = new FinalizationRegistry(() => { freed++; });
      for (let i = 0; i < 1000; i++) {
        const ready = new sys.Readiness(other, () => ready);
        registry.register(ready, i);
        if (i % 2 === 0) ready.watch(sys.READABLE);
        ready.close();
      }
      const turn = () => new Promise(setImmediate);
      for (let i = 0; i < 10; i++) { await turn(); gc(); }
      console.log("freed", freed > 900);
      sys.write(event, new Uint8Array(new BigUint64Array([1n]).buffer), 0, 8);
    `,
      "--expose-gc",
    );
    assert.deepEqual([child.stdout, child.stderr, child.status], ["freed true\ntold\n", "", 0]);
  });

  test("ends a worker cleanly that has open ones, by itself and by terminate", () => {
    const addon = Object.keys(createRequire(import.meta.url).cache).find((name) =>
      name.endsWith("/sys.node"),
    );
    const worker = (last: string) => `
      const sys = require(${JSON.stringify(addon)});
      for (let i = 0; i < 20; i++) {
        const ready = new sys.Readiness(sys.eventFd(0), () => {});
        ready.watch(i % 3);
        ready.unref();
      }
      require("node:worker_threads").parentPort.postMessage("open");
      ${last}
    `;
    for (const last of [
      "",
      "setInterval(() => {}, 1000);",
      "new sys.Readiness(sys.eventFd(1), () => { for (;;); }).watch(1);",
    ]) {
      const child = run(`
        import { Worker } from "node:worker_threads";
        const worker = new Worker(${JSON.stringify(worker(last))}, { eval: true, execArgv: [] });
        const ended = new Promise((resolve) => worker.once("exit", resolve));
        await new Promise((resolve) => worker.once("message", resolve));
        ${last === "" ? "" : "await worker.terminate();"}
        await ended;
        console.log("ended");
      `);
      assert.deepEqual([child.stdout, child.stderr, child.status], ["ended\n", "", 0], last);
    }
  });

  test("uses no time while nothing is ready", () => {
    const child = run(`
      for (let i = 0; i < 100; i++) new sys.Readiness(sys.pipe()[0], () => {}).watch(7);
      await new Promise((resolve) => setTimeout(resolve, 50));
      const before = process.cpuUsage();
      await new Promise((resolve) => setTimeout(resolve, 500));
      const used = process.cpuUsage(before);
      console.log(used.user + used.system < 50_000);
      process.exit(0);
    `);
    assert.deepEqual([child.stdout, child.stderr], ["true\n", ""]);
  });
});
