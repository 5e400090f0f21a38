import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync } from "node:fs";
import { describe, test } from "node:test";
import { spawn } from "node-pty";
import * as sys from "../../src/sys/mod.ts";

const { O_NOCTTY, O_RDWR } = constants;

describe("terminals", () => {
  test("have a size that can be set and read", () => {
    const master = openSync("/dev/ptmx", O_RDWR | O_NOCTTY);
    try {
      assert.deepEqual(sys.getWindowSize(master), { rows: 0, columns: 0 });
      sys.setWindowSize(master, 24, 65_535);
      assert.deepEqual(sys.getWindowSize(master), { rows: 24, columns: 65_535 });
      for (const size of [-1, 65_536, 1.5, Number.NaN]) {
        assert.throws(() => sys.setWindowSize(master, size, 80), RangeError);
        assert.throws(() => sys.setWindowSize(master, 24, size), RangeError);
      }
      assert.deepEqual(sys.getWindowSize(master), { rows: 24, columns: 65_535 });
    } finally {
      closeSync(master);
    }
  });

  test("show a new size to the program inside", async () => {
    // The path of the terminal is the program's first line; it goes on when it is sent one.
    const script = 'tty; read line; stty size; tty -s && echo "end"';
    const terminal = spawn("sh", ["-c", script], { rows: 10, cols: 20 });
    let output = "";
    const ended = new Promise((resolve) => terminal.onExit(resolve));
    const named = new Promise<string>((resolve) => {
      terminal.onData((data) => {
        output += data;
        const path = /^(\/dev\/\S+)\r\n/.exec(output)?.[1];
        if (path !== undefined) resolve(path);
      });
    });
    const slave = openSync(await named, O_RDWR | O_NOCTTY);
    assert.deepEqual(sys.getWindowSize(slave), { rows: 10, columns: 20 });
    sys.setWindowSize(slave, 43, 132);
    terminal.write("\r");
    await ended;
    closeSync(slave);
    assert.match(output, /43 132/);
  });

  test("translate newlines on their way out once told to", async () => {
    const terminal = spawn("sh", ["-c", "stty -onlcr -opost; tty; read line"], {});
    let output = "";
    let expected: { pattern: RegExp; resolve: (match: RegExpExecArray) => void } | undefined;
    terminal.onData((data) => {
      output += data;
      const match = expected?.pattern.exec(output);
      if (match) expected?.resolve(match);
    });
    const shows = (pattern: RegExp) =>
      new Promise<RegExpExecArray>((resolve) => {
        expected = { pattern, resolve };
      });
    const ended = new Promise((resolve) => terminal.onExit(resolve));

    const path = (await shows(/(\/dev\/\S+)\n/))[1] ?? "";
    const modes = () => execFileSync("stty", ["-a", "-F", path], { encoding: "utf8" });
    assert.match(modes(), / -onlcr/);
    const slave = openSync(path, O_RDWR | O_NOCTTY);
    const others = modes().replace(/-?(onlcr|opost)/g, "");
    sys.setOutputNewlineTranslation(slave);
    assert.match(modes(), / onlcr/);
    assert.match(modes(), /(^|\s)opost/m);
    assert.equal(modes().replace(/-?(onlcr|opost)/g, ""), others, "nothing else has changed");

    const translated = shows(/after\r\n/);
    sys.write(slave, Buffer.from("after\n"), 0, 6);
    await translated;

    sys.stopOutputProcessing(slave);
    assert.match(modes(), /(^|\s)-opost/m);
    assert.equal(modes().replace(/-?(onlcr|opost)/g, ""), others, "nothing else has changed");
    closeSync(slave);
    terminal.write("\r");
    await ended;
  });

  test("are what these functions need: ENOTTY for anything else", () => {
    const [readEnd, writeEnd] = sys.pipe();
    assert.throws(() => sys.getWindowSize(readEnd), { code: "ENOTTY", syscall: "TIOCGWINSZ" });
    assert.throws(() => sys.setWindowSize(readEnd, 1, 1), {
      code: "ENOTTY",
      syscall: "TIOCSWINSZ",
    });
    for (const call of [sys.setOutputNewlineTranslation, sys.stopOutputProcessing]) {
      assert.throws(() => call(readEnd), {
        message: "tcgetattr: ENOTTY: Inappropriate ioctl for device",
      });
    }
    sys.close(readEnd);
    sys.close(writeEnd);
  });
});
