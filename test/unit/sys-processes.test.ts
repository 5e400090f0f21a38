import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { fstatSync, readFileSync, readlinkSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import * as sys from "../../src/sys/mod.ts";
import { projectRoot } from "../support/programs.ts";
import { inTime } from "../support/waiting.ts";

describe("processes by descriptor", () => {
  test("get signals, and tell their end", async () => {
    const child = spawn("sleep", ["1000"], { stdio: "ignore" });
    const pid = child.pid ?? 0;
    const fd = sys.pidfdOpen(pid);
    sys.pidfdSendSignal(fd, 0);
    const readable = new Promise<void>((resolve) => {
      const readiness = new sys.Readiness(fd, () => {
        readiness.close();
        resolve();
      });
      readiness.watch(sys.READABLE);
    });
    const exit = once(child, "exit");
    sys.pidfdSendSignal(fd, 15);
    await inTime(readable, "the end");
    assert.deepEqual(await exit, [null, "SIGTERM"]);
    assert.throws(() => sys.pidfdSendSignal(fd, 15), {
      code: "ESRCH",
      syscall: "pidfd_send_signal",
    });
    sys.close(fd);
    assert.throws(() => sys.pidfdOpen(pid), { code: "ESRCH", syscall: "pidfd_open" });
  });

  test("refuse what is no pid and no signal", () => {
    for (const pid of [0, -1, 1.5, Number.NaN]) {
      assert.throws(() => sys.pidfdOpen(pid), RangeError);
    }
    const fd = sys.pidfdOpen(process.pid);
    try {
      for (const signal of [-1, 65, 1.5]) {
        assert.throws(() => sys.pidfdSendSignal(fd, signal), RangeError);
      }
    } finally {
      sys.close(fd);
    }
  });
});

test("to leave at once runs no exit handler and reaps no child", () => {
  // The child ends while its parent is still there; the shell above both is told what becomes of it.
  const script = `
    const sys = require(${JSON.stringify(join(projectRoot, "dist/sys.node"))});
    process.on("exit", () => console.log("a handler ran"));
    const { spawn } = require("node:child_process");
    const { pid } = spawn("/bin/true", { stdio: "ignore" });
    const { readFileSync } = require("node:fs");
    const state = () => readFileSync("/proc/" + pid + "/stat", "utf8").split(") ")[1][0];
    while (state() !== "Z");
    console.log("zombie");
    sys.leaveAtOnce(7);`;
  const { status, stdout } = spawnSync(process.execPath, ["-e", script], { encoding: "utf8" });
  assert.equal(status, 7);
  assert.equal(stdout, "zombie\n");
});

test("a new terminal has a master and a slave that blocks, is nobody's yet, and is closed on exec", () => {
  const [master, slave] = sys.openTerminal();
  try {
    assert.match(readlinkSync(`/proc/self/fd/${slave}`), /^\/dev\/pts\/\d+$/);
    assert.ok(fstatSync(master).isCharacterDevice());
    for (const fd of [master, slave]) {
      const flags = /flags:\s+(\d+)/.exec(readFileSync(`/proc/self/fdinfo/${fd}`, "utf8"))?.[1];
      const { nonBlocking, closeOnExec } = { nonBlocking: 0o4000, closeOnExec: 0o2000000 };
      const set = Number.parseInt(flags ?? "0", 8) & (nonBlocking | closeOnExec);
      assert.equal(set, closeOnExec);
    }
    sys.setWindowSize(master, 12, 34);
    assert.deepEqual(sys.getWindowSize(slave), { rows: 12, columns: 34 });
    sys.write(slave, Buffer.from("x\n"), 0, 2);
    const into = Buffer.alloc(16);
    assert.equal(into.toString("utf8", 0, sys.read(master, into, 0, 16)), "x\r\n");
    const tty = Number(readFileSync("/proc/self/stat", "utf8").split(") ").at(-1)?.split(" ")[4]);
    assert.notEqual(tty, fstatSync(slave).rdev, "it did not become our controlling terminal");
  } finally {
    sys.close(master);
    sys.close(slave);
  }
});
