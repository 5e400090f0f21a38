/** What `podman logs` shows, with the drivers and options that say where and how much is logged. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { describe } from "node:test";
import type { PodmanResult } from "../support/podman-command.ts";
import { unlessRootWith } from "../support/programs.ts";
import { sideBySide } from "../support/side-by-side.ts";
import type { Trial } from "../support/trial.ts";

const skip = unlessRootWith("runc", "podman", "conmon", "busybox");

/** Runs a script to its end, with options, and returns the container's name. */
async function runScript(trial: Trial, script: string, ...options: string[]): Promise<string> {
  const { podman, name, volume } = trial;
  const container = name("logged");
  const command = [podman.image, "sh", "-c", script];
  await podman.run(["run", "--name", container, volume, ...options, ...command]);
  return container;
}

/** A line of its output as `podman logs -t` shows it: a time with nanoseconds, then the text. */
const DATED = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}(?:Z|[+-]\d\d:\d\d) (.*)$/;

describe("podman logs", { skip }, () => {
  const scenario = sideBySide();

  scenario("shows each stream where it belongs", {
    expected: { status: 0, stdout: "a\n\nc\n", stderr: "b\n" },
    observe: async (trial) => {
      const container = await runScript(trial, "echo a; echo b >&2; echo; echo c");
      return await trial.podman.run(["logs", container]);
    },
  });

  scenario("shows what has no newline at its end, and long lines in one piece", {
    expected: { status: 0, length: 300_000 + 1 + 3 },
    observe: async (trial) => {
      const script = "head -c 300000 /dev/zero | tr '\\0' x; echo; printf end";
      const container = await runScript(trial, script);
      const { status, stdout } = await trial.podman.run(["logs", container]);
      return { status, length: stdout.length, right: /^x{300000}\nend$/.test(stdout) };
    },
  });

  scenario("shows bytes that are no text", {
    expected: { status: 0 },
    observe: async (trial) => {
      const script = "printf 'a\\377\\376\\000b\\r\\n\\033[1mbold\\n\\n'";
      const container = await runScript(trial, script);
      return await trial.podman.run(["logs", container]);
    },
  });

  scenario("--tail", {
    expected: { last: "4\n5\n", none: "", all: "1\n2\n3\n4\n5\n" },
    observe: async (trial) => {
      const container = await runScript(trial, "seq 5");
      const tail = async (n: string) => await trial.podman.run(["logs", "--tail", n, container]);
      const [last, none, all] = [await tail("2"), await tail("0"), await tail("99")];
      return { last: last.stdout, none: none.stdout, all: all.stdout };
    },
  });

  scenario("-t gives each line a time, in the order of the lines", {
    expected: { texts: ["1", "2", "3"], ordered: true, recent: true },
    observe: async (trial) => {
      const before = Date.now();
      const container = await runScript(trial, "seq 3");
      const after = Date.now();
      const lines = (await trial.podman.ok(["logs", "-t", container])).split("\n");
      const times = lines.map((line) => Date.parse(line.split(" ")[0] ?? ""));
      return {
        texts: lines.map((line) => DATED.exec(line)?.[1] ?? line),
        ordered: times.every((time, index) => time >= (times[index - 1] ?? 0)),
        recent: times.every((time) => time >= before - 1 && time <= after),
      };
    },
  });

  scenario("--since and --until", {
    expected: { since: "late\n", until: "early\n", future: "" },
    observe: async (trial) => {
      const { podman, name, volume, signed, sign } = trial;
      const container = name("logged");
      const script =
        "echo early; touch /trial/ready; until test -e /trial/go; do sleep 0.05; done; echo late";
      await podman.ok([
        ...["run", "-d", "--name", container, volume, podman.image, "sh", "-c", script],
      ]);
      await signed("ready");
      const middle = await momentAfter(trial, container);
      sign("go");
      await podman.ok(["wait", container]);
      const show = async (...options: string[]) =>
        (await podman.run(["logs", ...options, container])).stdout;
      return {
        since: await show("--since", middle),
        until: await show("--until", middle),
        future: await show("--since", new Date(Date.now() + 3_600_000).toISOString()),
      };
    },
  });

  scenario("-f follows up to the end", {
    expected: { status: 0, stdout: "early\nlate\n", stderr: "err\n" },
    observe: async (trial) => {
      const { podman, name, volume, sign } = trial;
      const container = name("logged");
      const script =
        "echo early; until test -e /trial/go; do sleep 0.05; done; echo err >&2; echo late";
      await podman.ok([
        ...["run", "-d", "--name", container, volume, podman.image, "sh", "-c", script],
      ]);
      const follower = podman.start(["logs", "-f", container]);
      await follower.printed("early\n");
      sign("go");
      return await follower.end();
    },
  });

  scenario("-f of what has ended shows all and ends", {
    expected: { status: 0, stdout: "1\n2\n3\n" },
    observe: async (trial) => {
      const container = await runScript(trial, "seq 3");
      return await trial.podman.run(["logs", "-f", container]);
    },
  });

  scenario("of a container that has not run is empty", {
    expected: { status: 0, stdout: "", stderr: "" },
    observe: async ({ podman, name }) => {
      await podman.ok(["create", "--name", name("created"), podman.image, "true"]);
      return await podman.run(["logs", name("created")]);
    },
  });

  scenario("of several containers", {
    expected: { status: 0, lines: ["one one", "two two"] },
    observe: async ({ podman, name }) => {
      for (const which of ["one", "two"]) {
        await podman.run(["run", "--name", name(which), podman.image, "echo", which]);
      }
      const { status, stdout } = await podman.run(["logs", "--names", name("one"), name("two")]);
      // podman reads them at the same time, so that either may come first.
      return { status, lines: stdout.trimEnd().split("\n").sort() };
    },
  });
});

describe("podman run --log-driver, --log-opt", { skip }, () => {
  const scenario = sideBySide();

  scenario("k8s-file with a path", {
    expected: { status: 0, stdout: "hi\n", file: ["stdout F hi", "stderr F err"] },
    observe: async (trial) => {
      const path = trial.path("the.log");
      const options = ["--log-driver=k8s-file", `--log-opt=path=${path}`];
      // The second stream begins when the first is read: else the log's order would be a matter of luck.
      const script = "echo hi; until grep -q hi /trial/the.log; do :; done; echo err >&2";
      const container = await runScript(trial, script, ...options);
      const logs = await trial.podman.run(["logs", container]);
      const file = readFileSync(path, "utf8").trimEnd().split("\n");
      return { ...logs, file: file.map((line) => DATED.exec(line)?.[1] ?? line) };
    },
  });

  scenario("k8s-file with a limit keeps the newest", {
    expected: { status: 0, bounded: true, last: "line 2000", files: ["the.log"] },
    observe: async (trial) => {
      const path = trial.path("the.log");
      const options = [
        "--log-driver=k8s-file",
        `--log-opt=path=${path}`,
        "--log-opt=max-size=10kb",
      ];
      const script = "for i in $(seq 2000); do echo line $i; done";
      const container = await runScript(trial, script, ...options);
      const { status, stdout, stderr } = await trial.podman.run(["logs", container]);
      const lines = stdout.trimEnd().split("\n");
      const first = Number(lines[0]?.replace("line ", ""));
      return {
        status,
        stderr,
        bounded: statSync(path).size <= 10_000,
        last: lines.at(-1),
        // None is missing between the first that is left and the last.
        gapless: lines.length === 2000 - first + 1,
        files: readdirSync(trial.path(".")).sort(),
      };
    },
  });

  scenario("none", {
    expected: { run: { status: 4, stdout: "out\n", stderr: "err\n" } },
    observe: async (trial) => {
      const { podman, name } = trial;
      const container = name("silent");
      const command = [podman.image, "sh", "-c", "echo out; echo err >&2; exit 4"];
      const run = await podman.run(["run", "--log-driver=none", "--name", container, ...command]);
      return {
        run,
        logs: await podman.run(["logs", container]),
        state: await trial.state(container),
      };
    },
  });

  scenario("a log that cannot be opened", {
    expected: {
      status: 126,
      said: "[conmon:e]: Failed to open log file No such file or directory",
    },
    differences: [
      {
        at: ["said"],
        debian: "[conmon:e]: Failed to open log file No such file or directory",
        ours: "[conmon:e]: Failed to open log file (trial)/missing/the.log: no such file or directory",
        reason: "the file is named",
      },
    ],
    observe: ({ podman, path }) => {
      const options = ["--log-driver=k8s-file", `--log-opt=path=${path("missing/the.log")}`];
      return refused(podman.run(["run", "--rm", ...options, podman.image, "echo", "hi"]));
    },
  });

  scenario("a tag, which this driver cannot take", {
    expected: { status: 126, said: "[conmon:e] k8s-file doesn't support --log-tag" },
    differences: [
      {
        at: ["said"],
        debian: "[conmon:e] k8s-file doesn't support --log-tag",
        ours: "[conmon:e]: k8s-file doesn't support --log-tag",
        reason: "with the colon that all other messages have",
      },
    ],
    observe: ({ podman }) => {
      const options = ["--log-driver=k8s-file", "--log-opt=tag=x"];
      return refused(podman.run(["run", "--rm", ...options, podman.image, "true"]));
    },
  });
});

/**
 * What a monitor says that does not take its options. Podman adds a line: that the monitor's status
 * is 1, or, if that is already gone, that its pipe is broken. With Debian's conmon either happens.
 */
async function refused(running: Promise<PodmanResult>) {
  const { stderr, ...rest } = await running;
  const [said, added, ...more] = stderr.trimEnd().split("\n");
  const known = ["Error: exit status 1", "Error: write child: broken pipe"].includes(added ?? "");
  return { ...rest, said, added: known ? "as podman does" : added, more };
}

/** A point in time between a container's first line and what it has not been asked for yet. */
async function momentAfter({ podman }: Trial, container: string): Promise<string> {
  const follower = podman.start(["logs", "-f", "-t", container]);
  await follower.printed("\n");
  follower.kill("SIGKILL");
  const { stdout } = await follower.end();
  const [time = ""] = stdout.split(" ");
  // The next millisecond, which is over: podman has read the line meanwhile.
  return new Date(Date.parse(time) + 1).toISOString();
}
