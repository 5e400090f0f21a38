/**
 * `podman attach` to containers without a terminal. Podman 4 ends it with status 0 whatever the
 * container's is, and adds an empty line.
 */
import { describe } from "node:test";
import type { PodmanCommand } from "../support/podman-command.ts";
import { unlessRootWith } from "../support/programs.ts";
import { sideBySide } from "../support/side-by-side.ts";
import type { Trial } from "../support/trial.ts";

const skip = unlessRootWith("runc", "podman", "conmon", "busybox");

/** Prints `tick` until the test has seen that it is attached, then goes on with what is given. */
function untilAttached(script: string): string {
  return `until test -e /trial/go; do echo tick; sleep 0.02; done; ${script}`;
}

/** Starts a container of {@link untilAttached} in the background. */
async function runTicking(trial: Trial, script: string, ...options: string[]): Promise<string> {
  const { podman, name, volume } = trial;
  const container = name("ticking");
  const command = [podman.image, "sh", "-c", untilAttached(script)];
  await podman.ok(["run", "-d", "--name", container, volume, ...options, ...command]);
  return container;
}

/** What a command got after the ticks, and how it ended. */
async function endWithoutTicks(command: PodmanCommand) {
  const { stdout, ...rest } = await command.end();
  return { ...rest, stdout: stdout.replace(/^(tick\n)+/, "") };
}

describe("podman attach", { skip }, () => {
  const scenario = sideBySide();

  scenario("--no-stdin gives both streams", {
    expected: { stdout: "out\n\n", stderr: "err\n" },
    observe: async (trial) => {
      const container = await runTicking(trial, "echo out; echo err >&2; exit 3");
      const command = trial.podman.start(["attach", "--no-stdin", container]);
      await command.printed("tick\n");
      trial.sign("go");
      return await endWithoutTicks(command);
    },
  });

  scenario("hands on stdin and its end", {
    expected: { stdout: "one\ntwo\n\n", stderr: "" },
    observe: async ({ podman, name }) => {
      const container = name("cat");
      await podman.ok(["run", "-d", "-i", "--name", container, podman.image, "cat"]);
      const command = podman.start(["attach", container]);
      command.stdin.write("one\n");
      await command.printed("one\n");
      command.stdin.write("two\n");
      await command.printed("two\n");
      command.stdin.end();
      return await command.end();
    },
  });

  scenario("hands signals on to the container", {
    expected: { stdout: "terminated\n\n", stderr: "" },
    observe: async (trial) => {
      const script = "trap 'echo terminated; exit 7' TERM; echo ready; sleep 1000 & wait";
      const container = await runTicking(trial, script);
      const command = trial.podman.start(["attach", "--no-stdin", container]);
      await command.printed("tick\n");
      trial.sign("go");
      await command.printed("ready\n");
      command.kill("SIGTERM");
      const { stdout, ...rest } = await endWithoutTicks(command);
      return { ...rest, stdout: stdout.replace("ready\n", "") };
    },
  });

  scenario("twice: both get all that comes", {
    expected: {
      first: { status: 0, stdout: "out\n\n", stderr: "err\n" },
      second: { status: 0, stdout: "out\n\n", stderr: "err\n" },
    },
    observe: async (trial) => {
      const container = await runTicking(trial, "echo out; echo err >&2; exit 5");
      const attach = () => trial.podman.start(["attach", "--no-stdin", container]);
      const commands = [attach(), attach()] as const;
      await Promise.all(commands.map((command) => command.printed("tick\n")));
      trial.sign("go");
      const [first, second] = commands;
      return { first: await endWithoutTicks(first), second: await endWithoutTicks(second) };
    },
  });

  scenario("killed: the container and who else is attached go on", {
    expected: { other: { status: 0, stdout: "out\n\n", stderr: "" } },
    observe: async (trial) => {
      const container = await runTicking(trial, "echo out; exit 5");
      const attach = () => trial.podman.start(["attach", "--no-stdin", container]);
      const [victim, other] = [attach(), attach()];
      await Promise.all([victim.printed("tick\n"), other.printed("tick\n")]);
      victim.kill("SIGKILL");
      await victim.end();
      trial.sign("go");
      return { other: await endWithoutTicks(other), state: await trial.endState(container) };
    },
  });

  scenario("again after the first has gone", {
    expected: { stdout: "out\n\n", stderr: "" },
    observe: async (trial) => {
      const container = await runTicking(trial, "echo out; exit 5");
      const attach = () => trial.podman.start(["attach", "--no-stdin", container]);
      const first = attach();
      await first.printed("tick\n");
      first.kill("SIGKILL");
      await first.end();
      const second = attach();
      await second.printed("tick\n");
      trial.sign("go");
      return await endWithoutTicks(second);
    },
  });

  scenario("gets all of 1 MiB that is written just before the end", {
    expected: { status: 0, right: true, logged: true },
    observe: async (trial) => {
      const script = "yes | head -c 1048576; exit 0";
      const container = await runTicking(trial, script);
      const command = trial.podman.start(["attach", "--no-stdin", container]);
      await command.printed("tick\n");
      trial.sign("go");
      const { status, stdout } = await endWithoutTicks(command);
      const logs = await trial.podman.ok(["logs", container]);
      const all = "y\n".repeat(524_288);
      return { status, right: stdout === `${all}\n`, logged: `${logs}\n`.endsWith(`tick\n${all}`) };
    },
  });

  scenario("to what does not run is an error", {
    expected: { status: 125, stdout: "" },
    observe: async ({ podman, name }) => {
      await podman.ok(["create", "--name", name("created"), podman.image, "true"]);
      return await podman.run(["attach", name("created")]);
    },
  });

  scenario("--latest with logs -f beside it", {
    expected: {
      attached: { status: 0, stdout: "out\n\n", stderr: "err\n" },
      followed: { status: 0, stdout: "out\n", stderr: "err\n" },
    },
    observe: async (trial) => {
      const container = await runTicking(trial, "echo out; echo err >&2; exit 5");
      const attached = trial.podman.start(["attach", "--no-stdin", "--latest"]);
      const followed = trial.podman.start(["logs", "-f", container]);
      await Promise.all([attached.printed("tick\n"), followed.printed("tick\n")]);
      trial.sign("go");
      return {
        attached: await endWithoutTicks(attached),
        followed: await endWithoutTicks(followed),
      };
    },
  });
});
