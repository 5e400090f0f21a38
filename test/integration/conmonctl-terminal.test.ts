/** conmonctl with somebody typing, in a real terminal. */
import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { Conmonctl } from "../support/conmonctl.ts";
import type { PodmanTerminal } from "../support/podman-terminal.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";

const skip = unlessRootWith("runc");

const CTRL_C = "\x03";
const CTRL_D = "\x04";
const CTRL_P = "\x10";
const CTRL_Q = "\x11";

function prepare(t: TestContext): Conmonctl {
  return new Conmonctl(makeScratch(t));
}

function runScript(ctl: Conmonctl, script: string, ...options: string[]): PodmanTerminal {
  return ctl.terminal(["run", "-it", "--name", "tty", ...options, "--", "sh", "-c", script]);
}

/** Until its terminal is told to be another one; a shell takes a trap only between two commands. */
const LOOP = "while :; do sleep 0.05; done";

describe("conmonctl run -it", { skip }, () => {
  it("gives the container a terminal of the window's size from the beginning", async (t) => {
    const terminal = runScript(prepare(t), "stty size; tty; exit 3", "--rm");
    assert.deepEqual(await terminal.end(), { status: 3, output: "30 100\r\n/dev/pts/0\r\n" });
  });

  it("hands on what is typed, with echo, and logs what is shown", async (t) => {
    const ctl = prepare(t);
    const terminal = runScript(ctl, "echo 'name? '; read -r n; echo hello $n; exit 5");
    await terminal.shows("name? ");
    terminal.type("abc\r");
    const { status, output } = await terminal.end();
    assert.deepEqual([status, output], [5, "name? \r\nabc\r\nhello abc\r\n"]);
    assert.equal(await ctl.succeed("logs", "tty"), "name? \r\nabc\r\nhello abc\r");
  });

  it("hands on Ctrl-C as a key, which the container's terminal makes a signal of", async (t) => {
    const terminal = runScript(
      prepare(t),
      `trap 'echo interrupted; exit 6' INT; echo ready; ${LOOP}`,
    );
    await terminal.shows("ready");
    terminal.type(CTRL_C);
    const { status, output } = await terminal.end();
    assert.deepEqual([status, output], [6, "ready\r\n^Cinterrupted\r\n"]);
  });

  it("hands on Ctrl-D as the end of input", async (t) => {
    const terminal = runScript(prepare(t), "echo ready; cat; echo end");
    await terminal.shows("ready");
    terminal.type("line\r");
    await terminal.shows("line\r\nline\r\n");
    terminal.type(CTRL_D);
    const { status, output } = await terminal.end();
    assert.deepEqual([status, output], [0, "ready\r\nline\r\nline\r\nend\r\n"]);
  });

  it("tells the container of each change of the window's size", async (t) => {
    const terminal = runScript(prepare(t), `trap 'stty size' WINCH; echo ready; ${LOOP}`);
    await terminal.shows("ready");
    terminal.resize(77, 22);
    await terminal.shows("22 77");
    terminal.resize(133, 44);
    await terminal.shows("44 133");
  });

  it("detaches with Ctrl-P Ctrl-Q, and comes back with attach", async (t) => {
    const ctl = prepare(t);
    const first = runScript(ctl, 'echo ready; while read -r l; do echo "got $l"; done');
    await first.shows("ready");
    first.type(`${CTRL_P}${CTRL_Q}`);
    const { status, output } = await first.end();
    assert.equal(status, 0);
    assert.match(output, /detached: tty goes on; conmonctl attach tty comes back to it/);
    assert.equal((await ctl.inspect("tty")).state, "running");

    const second = ctl.terminal(["attach", "tty"], { columns: 90, rows: 20 });
    // Nothing tells that it is attached but the event.
    await ctl.happened("attach tty");
    // A lone Ctrl-P is for the container, with the key after it.
    second.type(`${CTRL_P}a\r`);
    await second.shows("got");
    second.type(CTRL_P);
    second.type(CTRL_Q);
    assert.equal((await second.end()).status, 0);
    await ctl.happened("detach tty");
  });

  it("detaches with other keys if they are asked for", async (t) => {
    const ctl = prepare(t);
    const terminal = runScript(ctl, `echo ready; ${LOOP}`, "--detach-keys", "ctrl-a,d");
    await terminal.shows("ready");
    terminal.type("\x01d");
    assert.equal((await terminal.end()).status, 0);
    assert.equal((await ctl.inspect("tty")).state, "running");
  });

  it("takes a paste of 1 MiB whole", async (t) => {
    const line = `${"x".repeat(1023)}\n`;
    const terminal = runScript(
      prepare(t),
      "stty -echo; echo ready; head -c 1048576 | sha256sum",
      "--rm",
    );
    await terminal.shows("ready");
    terminal.type(line.replace("\n", "\r").repeat(1024));
    const { status, output } = await terminal.end();
    const expected = createHash("sha256").update(line.repeat(1024)).digest("hex");
    assert.equal(output, `ready\r\n${expected}  -\r\n`);
    assert.equal(status, 0);
  });

  it("leaves the container alone when the window is closed", async (t) => {
    const ctl = prepare(t);
    const terminal = runScript(ctl, `echo ready; ${LOOP}`);
    await terminal.shows("ready");
    terminal.kill("SIGHUP");
    assert.equal((await terminal.end()).status, 129);
    assert.equal((await ctl.inspect("tty")).state, "running");
  });

  it("ends when its terminal is gone, and the container goes on", async (t) => {
    const ctl = prepare(t);
    const terminal = runScript(ctl, `echo ready; ${LOOP}`);
    await terminal.shows("ready");
    terminal.close();
    // That it has detached, and did not just die, is among the events.
    await ctl.happened("detach tty");
    assert.equal((await ctl.inspect("tty")).state, "running");
  });

  it("leaves the terminal as it was", async (t) => {
    const ctl = prepare(t);
    const program = [process.execPath, join(import.meta.dirname, "../../dist/conmonctl.cjs")];
    const inner = [...program, "run", "-it", "--rm", "--", "true"].join(" ");
    const terminal = ctl.shell(
      `stty -g > before; ${inner}; stty -g > after; cmp before after && echo same`,
    );
    await terminal.shows("same");
    assert.equal((await terminal.end()).status, 0);
  });
});

describe("conmonctl exec -it", { skip }, () => {
  it("has a terminal of its own, of the window's size", async (t) => {
    const ctl = prepare(t);
    await ctl.succeed("run", "-d", "--name", "host", "--", "sleep", "100");
    const terminal = ctl.terminal([
      "exec",
      "-it",
      "host",
      "sh",
      "-c",
      // The size is set when we have attached, which may be after it has begun.
      `until [ "$(stty size)" != '0 0' ]; do sleep 0.01; done; stty size; trap 'stty size; exit 8' WINCH; echo ready; ${LOOP}`,
    ]);
    await terminal.shows("ready");
    terminal.resize(66, 33);
    const { status, output } = await terminal.end();
    assert.deepEqual([status, output], [8, "30 100\r\nready\r\n33 66\r\n"]);
  });
});
