/** Containers with a terminal, and somebody typing. */
import { describe } from "node:test";
import type { PodmanTerminal } from "../support/podman-terminal.ts";
import { unlessRootWith } from "../support/programs.ts";
import { sideBySide } from "../support/side-by-side.ts";
import type { Trial } from "../support/trial.ts";

const skip = unlessRootWith("runc", "podman", "conmon", "busybox");

const WINDOW = { columns: 100, rows: 30 };
const CTRL_C = "\x03";
const CTRL_D = "\x04";
const CTRL_P = "\x10";
const CTRL_Q = "\x11";

/** Runs a script in a terminal, as `podman run -it` does. */
function runInTerminal(trial: Trial, script: string, ...options: string[]): PodmanTerminal {
  const { podman, name, volume } = trial;
  const command = [podman.image, "sh", "-c", script];
  return podman.startInTerminal(
    ["run", "-it", "--name", name("tty"), volume, ...options, ...command],
    WINDOW,
  );
}

/** A loop that a trap interrupts. */
const WAITING = "while :; do sleep 1000 & wait; done";

/** Prints the window's size whenever it changes, and whenever a line is read. */
const SIZES = "trap 'stty size' WINCH; echo ready; while :; do sleep 0.05; done";

/**
 * Podman tells the size when the container may already run: waits for the one given. The change
 * itself may interrupt stty, which then complains.
 */
function untilSize(size: string): string {
  return `until test "$(stty size 2>/dev/null)" = '${size}'; do sleep 0.05; done`;
}

describe("podman run -it", { skip }, () => {
  const scenario = sideBySide();

  scenario("gives the container a terminal of the window's size", {
    expected: { status: 3, output: "30 100\r\n/dev/pts/0\r\n" },
    observe: (trial) =>
      runInTerminal(trial, `${untilSize("30 100")}; stty size; tty; exit 3`, "--rm").end(),
  });

  scenario("hands on what is typed, with echo, and logs what is shown", {
    expected: { status: 5, output: "name? \r\nabc\r\nhello abc\r\n" },
    observe: async (trial) => {
      const terminal = runInTerminal(trial, "echo 'name? '; read -r n; echo hello $n; exit 5");
      await terminal.shows("name? ");
      terminal.type("abc\r");
      const end = await terminal.end();
      const { stdout, stderr } = await trial.podman.run(["logs", trial.name("tty")]);
      return { ...end, logs: { stdout, stderr }, state: await trial.state(trial.name("tty")) };
    },
  });

  scenario("shows both streams in their order", {
    expected: { status: 0, output: "1\r\n2\r\n3\r\n" },
    observe: (trial) => runInTerminal(trial, "echo 1; echo 2 >&2; echo 3").end(),
  });

  scenario("hands on Ctrl-C as a signal", {
    expected: { status: 6, output: "ready\r\n^Cinterrupted\r\n" },
    observe: async (trial) => {
      const script = `trap 'echo interrupted; exit 6' INT; echo ready; ${WAITING}`;
      const terminal = runInTerminal(trial, script);
      await terminal.shows("ready");
      terminal.type(CTRL_C);
      return await terminal.end();
    },
  });

  scenario("hands on Ctrl-D as the end of input", {
    expected: { status: 0, output: "ready\r\nline\r\nline\r\nend\r\n" },
    observe: async (trial) => {
      const terminal = runInTerminal(trial, "echo ready; cat; echo end");
      await terminal.shows("ready");
      terminal.type("line\r");
      await terminal.shows("line\r\nline\r\n");
      terminal.type(CTRL_D);
      return await terminal.end();
    },
  });

  scenario("tells the container when the window changes", {
    expected: { status: 0 },
    observe: async (trial) => {
      const script = `${untilSize("30 100")}; ${SIZES}`;
      const terminal = runInTerminal(trial, script);
      await terminal.shows("ready");
      terminal.resize(120, 40);
      await terminal.shows("40 120\r\n");
      terminal.resize(20, 10);
      await terminal.shows("10 20\r\n");
      await trial.podman.ok(["kill", trial.name("tty")]);
      const { status } = await terminal.end();
      return { status: status === 137 ? 0 : status };
    },
  });

  scenario("detaches by Ctrl-P Ctrl-Q and goes on, and can be attached to again", {
    expected: {
      detached: { status: 0, output: "ready\r\nfirst\r\nread first\r\n" },
      running: true,
      // Podman 4 gives 0 and a line of its own.
      again: { status: 0, output: "ready\r\nsecond\r\nread second\r\n\r\n" },
    },
    observe: async (trial) => {
      const read = 'read -r n; echo "read $n"';
      const ticks = "until test -e /trial/go; do echo tick; sleep 0.02; done; echo ready";
      const wait = "until test -e /trial/again; do sleep 0.05; done";
      const script = `echo ready; ${read}; ${wait}; ${ticks}; ${read}; exit 7`;
      const terminal = runInTerminal(trial, script);
      await terminal.shows("ready");
      terminal.type("first\r");
      await terminal.shows("read first\r\n");
      await terminal.press(CTRL_P, CTRL_Q);
      const detached = await terminal.end();
      const { running } = await trial.state(trial.name("tty"));
      const attached = trial.podman.startInTerminal(["attach", trial.name("tty")], WINDOW);
      trial.sign("again");
      await attached.shows("tick");
      trial.sign("go");
      await attached.shows("ready");
      attached.type("second\r");
      const { status, output } = await attached.end();
      const again = { status, output: output.replace(/^(tick\r\n)+/, "") };
      const state = await trial.endState(trial.name("tty"));
      return { detached, running, again, exitCode: state.exitCode };
    },
  });

  scenario("tells the container the size of the window that is attached later", {
    expected: { running: true },
    observe: async (trial) => {
      const terminal = runInTerminal(trial, `${untilSize("30 100")}; ${SIZES}`);
      await terminal.shows("ready");
      await terminal.press(CTRL_P, CTRL_Q);
      await terminal.end();
      const other = { columns: 77, rows: 33 };
      const attached = trial.podman.startInTerminal(["attach", trial.name("tty")], other);
      await attached.shows("33 77\r\n");
      attached.resize(66, 22);
      await attached.shows("22 66\r\n");
      const { running } = await trial.state(trial.name("tty"));
      await trial.podman.ok(["kill", trial.name("tty")]);
      await attached.end();
      return { running };
    },
  });

  scenario("goes on when podman is killed", {
    expected: { exitCode: "4", logs: "ready\r\nafter\r\n" },
    observe: async (trial) => {
      const { podman, name, sign } = trial;
      const script = "echo ready; until test -e /trial/go; do sleep 0.05; done; echo after; exit 4";
      const terminal = runInTerminal(trial, script);
      await terminal.shows("ready");
      terminal.kill("SIGKILL");
      await terminal.end();
      sign("go");
      const exitCode = await podman.ok(["wait", name("tty")]);
      return { exitCode, logs: (await podman.run(["logs", name("tty")])).stdout };
    },
  });

  scenario("shows all of 1 MiB", {
    expected: { status: 0, length: 1024 * 1024 * 2, right: true },
    observe: async (trial) => {
      // Each of the 0.5 million line ends becomes two bytes.
      const { status, output } = await runInTerminal(trial, "yes | head -n 524288").end();
      const right = output.replaceAll("y\r\n", "") === "";
      return { status, length: output.length + 524_288, right };
    },
  });
});

describe("podman run -t without somebody at a terminal", { skip }, () => {
  const scenario = sideBySide();

  scenario("-d -t logs what is shown", {
    expected: { exitCode: "0", logs: "1\r\n2\r\n" },
    observe: async ({ podman, name }) => {
      const script = "echo 1; echo 2 >&2";
      const command = [podman.image, "sh", "-c", script];
      await podman.ok(["run", "-d", "-t", "--name", name("tty"), ...command]);
      const exitCode = await podman.ok(["wait", name("tty")]);
      return { exitCode, logs: (await podman.run(["logs", name("tty")])).stdout };
    },
  });

  scenario("-t with pipes", {
    expected: { status: 3, stdout: "1\r\n2\r\n", stderr: "" },
    observe: ({ podman }) => {
      const script = "echo 1; echo 2 >&2; exit 3";
      return podman.run(["run", "--rm", "-t", podman.image, "sh", "-c", script]);
    },
  });

  scenario("a command that cannot be run", {
    expected: { status: 127 },
    observe: ({ podman }) => podman.run(["run", "--rm", "-t", podman.image, "no-such-command"]),
  });

  scenario("a container that stops when told", {
    expected: { state: "exited" },
    observe: async (trial) => {
      const { podman, name, volume, signed, state } = trial;
      const script = `trap 'echo term; exit 15' TERM; touch /trial/ready; ${WAITING}`;
      const command = [podman.image, "sh", "-c", script];
      await podman.ok(["run", "-d", "-t", "--name", name("tty"), volume, ...command]);
      await signed("ready");
      const stopped = await podman.run(["stop", name("tty")]);
      const facts = await state(name("tty"));
      const { stdout: logs } = await podman.run(["logs", name("tty")]);
      return { stopped, state: facts.status, exitCode: facts.exitCode, logs };
    },
  });
});
