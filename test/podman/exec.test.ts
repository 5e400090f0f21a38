/** `podman exec`: each has a monitor of its own, next to that of the container. */
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { describe } from "node:test";
import type { PodmanResult } from "../support/podman-command.ts";
import { unlessRootWith } from "../support/programs.ts";
import { sideBySide } from "../support/side-by-side.ts";
import type { Trial } from "../support/trial.ts";

const skip = unlessRootWith("runc", "podman", "conmon", "busybox");
const MIB = 1024 * 1024;

function digest(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}

/** Starts a container that others can be executed in. */
async function runSleeper({ podman, name, volume }: Trial): Promise<string> {
  const container = name("sleeper");
  await podman.ok(["run", "-d", "--name", container, volume, podman.image, "sleep", "1000"]);
  return container;
}

describe("podman exec", { skip }, () => {
  const scenario = sideBySide();

  scenario("gives both streams and the exit status", {
    expected: { status: 3, stdout: "out\n", stderr: "err\n" },
    observe: async (trial) => {
      const container = await runSleeper(trial);
      const script = "echo out; echo err >&2; exit 3";
      return await trial.podman.run(["exec", container, "sh", "-c", script]);
    },
  });

  scenario("leaves the container's log and exit status alone", {
    expected: { logs: { status: 0, stdout: "", stderr: "" } },
    observe: async (trial) => {
      const { podman, state, endState } = trial;
      const container = await runSleeper(trial);
      await podman.run(["exec", container, "sh", "-c", "echo hi; exit 3"]);
      const running = await state(container);
      await podman.ok(["kill", container]);
      const logs = await podman.run(["logs", container]);
      return { logs, running, ended: await endState(container) };
    },
  });

  for (const [what, input] of [
    ["a little", "hello\n"],
    ["nothing", ""],
    ["1 MiB", "0123456789abcde\n".repeat(MIB / 16)],
  ] as const) {
    scenario(`-i hands on ${what}`, {
      expected: { status: 0, stderr: "", digest: digest(input) },
      observe: async (trial) => {
        const container = await runSleeper(trial);
        const command = ["exec", "-i", container, "cat"];
        const { stdout, ...rest } = await trial.podman.run(command, { input });
        return { ...rest, digest: digest(stdout) };
      },
    });
  }

  scenario("-i does not wait for all of the input to be read", {
    expected: { status: 6, stdout: "first\n" },
    observe: async (trial) => {
      const { podman, sign } = trial;
      const container = await runSleeper(trial);
      // It ends when its output has been read: at the end Debian's conmon may lose what has not.
      const script = "read -r l; echo $l; until test -e /trial/go; do sleep 0.05; done; exit 6";
      const command = podman.start(["exec", "-i", container, "sh", "-c", script]);
      command.stdin.end(`first\n${"more\n".repeat(MIB / 5)}`);
      await command.printed("first\n");
      sign("go");
      return await command.end();
    },
  });

  scenario("says that it cannot be run", {
    expected: { statuses: [127, 126] },
    observe: async (trial) => {
      const container = await runSleeper(trial);
      const results = [
        await trial.podman.run(["exec", container, "no-such-command"]),
        await trial.podman.run(["exec", container, "/etc/passwd"]),
      ];
      return { statuses: results.map(({ status }) => status), results };
    },
  });

  scenario("as another user, elsewhere, with variables", {
    expected: { status: 0, stdout: "1000\n/tmp\nthe value\n", stderr: "" },
    observe: async (trial) => {
      const container = await runSleeper(trial);
      const options = ["--user=1000", "--workdir=/tmp", "--env=VARIABLE=the value"];
      const script = 'id -u; pwd; echo "$VARIABLE" >/dev/stdout';
      return await trial.podman.run(["exec", ...options, container, "sh", "-c", script]);
    },
  });

  scenario("ended by a signal", {
    expected: { status: 137, stdout: "hi\n" },
    observe: async (trial) => {
      const container = await runSleeper(trial);
      return await trial.podman.run(["exec", container, "sh", "-c", "echo hi; kill -9 $$"]);
    },
  });

  scenario("ends with the container", {
    expected: { stdout: "ready\n" },
    observe: async (trial) => {
      const { podman } = trial;
      const container = await runSleeper(trial);
      const command = podman.start(["exec", container, "sh", "-c", "echo ready; sleep 1000"]);
      await command.printed("ready\n");
      await podman.ok(["kill", container]);
      return await command.end();
    },
  });

  scenario("goes on when podman is killed", {
    expected: { text: "done" },
    observe: async (trial) => {
      const { podman, sign, signed, path } = trial;
      const container = await runSleeper(trial);
      const script = [
        "echo ready",
        "until test -e /trial/go; do sleep 0.05; done",
        "printf done >/trial/text",
        "touch /trial/end",
      ].join("; ");
      const command = podman.start(["exec", container, "sh", "-c", script]);
      await command.printed("ready\n");
      command.kill("SIGKILL");
      await command.end();
      sign("go");
      await signed("end");
      return { text: readFileSync(path("text"), "utf8") };
    },
  });

  scenario("-d returns at once and runs on", {
    expected: { status: 0, stderr: "", text: "done" },
    observe: async (trial) => {
      const { podman, signed, path } = trial;
      const container = await runSleeper(trial);
      const script = "printf done >/trial/text; touch /trial/end";
      const { status, stderr } = await podman.run(["exec", "-d", container, "sh", "-c", script]);
      await signed("end");
      return { status, stderr, text: readFileSync(path("text"), "utf8") };
    },
  });

  scenario("in what has ended is an error", {
    expected: { status: 255, stdout: "" },
    observe: async (trial) => {
      const container = await runSleeper(trial);
      await trial.podman.ok(["kill", container]);
      await trial.endState(container);
      return await trial.podman.run(["exec", container, "true"]);
    },
  });

  scenario("-it has a terminal", {
    expected: { status: 5, output: "ready\r\nabc\r\ngot abc\r\n30 100\r\n" },
    observe: async (trial) => {
      const container = await runSleeper(trial);
      const script =
        "until test \"$(stty size 2>/dev/null)\" = '30 100'; do sleep 0.05; done; echo ready; read -r n; echo got $n; stty size; exit 5";
      const terminal = trial.podman.startInTerminal(
        ["exec", "-it", container, "sh", "-c", script],
        {
          columns: 100,
          rows: 30,
        },
      );
      await terminal.shows("ready");
      terminal.type("abc\r");
      return await terminal.end();
    },
  });

  scenario("-t without -i", {
    expected: { status: 4, stdout: "1\r\n2\r\n" },
    observe: async (trial) => {
      const container = await runSleeper(trial);
      const script = "echo 1; echo 2 >&2; exit 4";
      return await trial.podman.run(["exec", "-t", container, "sh", "-c", script]);
    },
  });
});

describe("many podman execs", { skip }, () => {
  const scenario = sideBySide();

  scenario("twenty at a time", {
    expected: { wrong: [] },
    observe: async (trial) => {
      const container = await runSleeper(trial);
      const one = async (n: number) => {
        const script = `echo out ${n}; echo err ${n} >&2; exit ${n}`;
        const result = await trial.podman.run(["exec", container, "sh", "-c", script]);
        return { result, wanted: { status: n, stdout: `out ${n}\n`, stderr: `err ${n}\n` } };
      };
      return { wrong: wrongOf(await Promise.all([...Array(20).keys()].map(one))) };
    },
  });

  scenario("two hundred short ones, one after the other in two rows", {
    expected: { wrong: [] },
    observe: async (trial) => {
      const container = await runSleeper(trial);
      const large = "y\n".repeat(MIB / 2);
      const kinds: readonly [string[], PodmanResult][] = [
        [["true"], { status: 0, stdout: "", stderr: "" }],
        [["echo", "x"], { status: 0, stdout: "x\n", stderr: "" }],
        [["sh", "-c", "exit 42"], { status: 42, stdout: "", stderr: "" }],
        [["sh", "-c", "yes | head -c 1048576"], { status: 0, stdout: large, stderr: "" }],
      ];
      const row = async () => {
        const outcomes: Outcome[] = [];
        for (let round = 0; round < 25; round++) {
          for (const [command, wanted] of kinds) {
            const result = await trial.podman.run(["exec", container, ...command]);
            outcomes.push({ result, wanted });
          }
        }
        return outcomes;
      };
      return { wrong: wrongOf((await Promise.all([row(), row()])).flat()) };
    },
  });
});

interface Outcome {
  readonly result: PodmanResult;
  readonly wanted: PodmanResult;
}

/** Those that went otherwise, with long outputs cut. */
function wrongOf(outcomes: readonly Outcome[]): string[] {
  return outcomes.flatMap(({ result, wanted }) => {
    const seen = JSON.stringify(result);
    if (seen === JSON.stringify(wanted)) return [];
    return [`${result.stdout.length} bytes, ${seen.slice(0, 300)}`];
  });
}
