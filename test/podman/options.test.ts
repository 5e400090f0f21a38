/** Options of podman that are the monitor's business: health, readiness, limits, descriptors. */
import { closeSync, existsSync, openSync, readFileSync, writeFileSync } from "node:fs";
import { describe } from "node:test";
import { NotifySocket } from "../support/notify-socket.ts";
import { needProgram, unlessRootWith } from "../support/programs.ts";
import { sideBySide } from "../support/side-by-side.ts";
import type { Trial } from "../support/trial.ts";

const skip = unlessRootWith("runc", "podman", "conmon", "busybox", "socat");

describe("podman healthcheck run", { skip }, () => {
  const scenario = sideBySide();

  for (const [command, status, health] of [
    ["true", 0, "healthy"],
    ["exit 1", 1, "starting"],
  ] as const) {
    scenario(`with the check \`${command}\``, {
      expected: { status, health },
      observe: async ({ podman, name, inspect }) => {
        const container = name("checked");
        // Without an interval podman asks systemd for nothing.
        const options = [`--health-cmd=${command}`, "--health-interval=disable"];
        const sleep = [podman.image, "sleep", "1000"];
        await podman.ok(["run", "-d", "--name", container, ...options, ...sleep]);
        const result = await podman.run(["healthcheck", "run", container]);
        const health = (await inspect(container)).State.Health?.Status;
        return { ...result, health };
      },
    });
  }

  scenario("turns unhealthy after so many failures", {
    expected: { health: ["starting", "unhealthy"] },
    observe: async ({ podman, name, inspect }) => {
      const container = name("checked");
      const options = ["--health-cmd=exit 1", "--health-interval=disable", "--health-retries=2"];
      const sleep = [podman.image, "sleep", "1000"];
      await podman.ok(["run", "-d", "--name", container, ...options, ...sleep]);
      const health: (string | undefined)[] = [];
      for (let round = 0; round < 2; round++) {
        await podman.run(["healthcheck", "run", container]);
        health.push((await inspect(container)).State.Health?.Status);
      }
      return { health };
    },
  });
});

describe("podman run --sdnotify", { skip }, () => {
  const scenario = sideBySide();

  scenario("conmon: podman says that the monitor is ready", {
    expected: { messages: ["MAINPID=(monitor)\nREADY=1"] },
    observe: async (trial) => {
      const { podman, name, inspect } = trial;
      const socket = new NotifySocket(trial.path("notify.sock"));
      try {
        const container = name("notifies");
        const environment = { NOTIFY_SOCKET: socket.path };
        const sleep = [podman.image, "sleep", "1000"];
        await podman.ok(["run", "-d", "--name", container, "--sdnotify=conmon", ...sleep], {
          environment,
        });
        await socket.received(1);
        return { messages: await withoutPid(socket.messages, inspect(container)) };
      } finally {
        socket.close();
      }
    },
  });

  scenario("container: what the container says is handed on", {
    expected: { messages: ["MAINPID=(monitor)", "READY=1"] },
    observe: async (trial) => {
      const { podman, name, inspect } = trial;
      const socket = new NotifySocket(trial.path("notify.sock"));
      try {
        const container = name("notifies");
        // The image has no program that can send a datagram; the host's brings its libraries along.
        const folders = ["/usr", "/lib", "/lib64"].filter((path) => existsSync(path));
        const volumes = folders.map((path) => `--volume=${path}:${path}:ro`);
        const send = `${needProgram("socat")} -u - UNIX-SENDTO:"$NOTIFY_SOCKET"`;
        const script = `printf 'READY=1\\nMAINPID=1\\nX=y' | ${send}; exec sleep 1000`;
        const options = ["--name", container, "--sdnotify=container", ...volumes];
        const args = ["run", "-d", ...options, podman.image, "/bin/sh", "-c", script];
        await podman.ok(args, { environment: { NOTIFY_SOCKET: socket.path } });
        await socket.received(2);
        // The one is podman's, the other the container's: either may be first.
        const messages = (await withoutPid(socket.messages, inspect(container))).sort();
        return { messages };
      } finally {
        socket.close();
      }
    },
  });

  scenario("ignore: nobody is told anything", {
    expected: { messages: [], variable: ".\n" },
    observe: async (trial) => {
      const socket = new NotifySocket(trial.path("notify.sock"));
      try {
        const command = ["sh", "-c", 'echo "$NOTIFY_SOCKET."'];
        const args = ["run", "--rm", "--sdnotify=ignore", trial.podman.image, ...command];
        const environment = { NOTIFY_SOCKET: socket.path };
        const { stdout } = await trial.podman.run(args, { environment });
        return { messages: socket.messages, variable: stdout };
      } finally {
        socket.close();
      }
    },
  });
});

async function withoutPid(
  messages: readonly string[],
  facts: ReturnType<Trial["inspect"]>,
): Promise<string[]> {
  const { ConmonPid } = (await facts).State;
  return messages.map((text) => text.replace(`MAINPID=${ConmonPid}`, "MAINPID=(monitor)"));
}

describe("podman run --memory", { skip }, () => {
  const scenario = sideBySide();

  const differences = [
    {
      at: ["oomKilled"],
      debian: false,
      ours: true,
      reason:
        "Debian's conmon makes `oom` in the directory it was started in: podman does not look there",
    },
  ];

  scenario("the container's process is killed for want of memory", {
    expected: { status: 137, oomKilled: false },
    differences,
    observe: async ({ podman, name, state }) => {
      const container = name("greedy");
      const options = ["--memory=32m", "--memory-swap=32m"];
      // tail keeps all of a line that does not end.
      const command = [podman.image, "tail", "/dev/zero"];
      const result = await podman.run(["run", "--name", container, ...options, ...command]);
      return { ...(await state(container)), ...result };
    },
  });

  scenario("a child of it is killed, and it goes on", {
    expected: { status: 5, stdout: "137\n", oomKilled: false },
    differences,
    observe: async ({ podman, name, state }) => {
      const container = name("greedy");
      const options = ["--memory=32m", "--memory-swap=32m"];
      const command = [podman.image, "sh", "-c", "tail /dev/zero; echo $?; exit 5"];
      const { status, stdout } = await podman.run([
        ...["run", "--name", container, ...options, ...command],
      ]);
      return { ...(await state(container)), status, stdout };
    },
  });

  scenario("nobody is killed where the limit is not reached", {
    expected: { status: 0, oomKilled: false },
    observe: async ({ podman, name, state }) => {
      const container = name("modest");
      const options = ["--memory=32m", "--memory-swap=32m"];
      const result = await podman.run([
        ...["run", "--name", container, ...options, podman.image, "true"],
      ]);
      const facts = await state(container);
      return { ...result, oomKilled: facts.oomKilled, state: facts };
    },
  });
});

describe("podman run --timeout, --preserve-fds, --log-driver=passthrough", { skip }, () => {
  const scenario = sideBySide();

  scenario("--timeout ends what takes too long", {
    expected: { stdout: "before\n" },
    observe: async ({ podman, name, state }) => {
      const container = name("slow");
      const script = "echo before; sleep 1000; echo after";
      const result = await podman.run([
        // It begins when the container is made: podman has to start it in this time.
        ...["run", "--name", container, "--timeout=4", podman.image, "sh", "-c", script],
      ]);
      return { ...result, state: await state(container) };
    },
  });

  scenario("--timeout leaves in peace what ends in time", {
    expected: { status: 3, stdout: "in time\n" },
    observe: ({ podman }) =>
      podman.run([
        ...["run", "--rm", "--timeout=100", podman.image, "sh", "-c", "echo in time; exit 3"],
      ]),
  });

  scenario("--preserve-fds hands descriptors on", {
    expected: { status: 0, stdout: "from a descriptor\nand another\n" },
    observe: async ({ podman, path }) => {
      writeFileSync(path("three"), "from a descriptor\n");
      writeFileSync(path("four"), "and another\n");
      const descriptors = ["three", "four"].map((name) => openSync(path(name), "r"));
      try {
        const script = "cat <&3; cat <&4";
        return await podman.run(
          ["run", "--rm", "--preserve-fds=2", podman.image, "sh", "-c", script],
          { descriptors },
        );
      } finally {
        for (const descriptor of descriptors) closeSync(descriptor);
      }
    },
  });

  scenario("passthrough: the container has podman's own streams", {
    expected: { status: 3, stdout: "out\n", stderr: "err\n" },
    observe: ({ podman }) => {
      const script = "echo out; echo err >&2; exit 3";
      const options = ["--log-driver=passthrough"];
      return podman.run(["run", "--rm", ...options, podman.image, "sh", "-c", script]);
    },
  });

  scenario("passthrough: stdin, too", {
    expected: { status: 0, stdout: "to the container\n" },
    observe: ({ podman }) => {
      const options = ["-i", "--log-driver=passthrough"];
      return podman.run(["run", "--rm", ...options, podman.image, "cat"], {
        input: "to the container\n",
      });
    },
  });

  scenario("passthrough: in the background it writes to podman's streams after podman has left", {
    expected: { text: "before\nafter\n", exitCode: "3" },
    observe: async (trial) => {
      const { podman, name, volume, sign, path } = trial;
      const container = name("quiet");
      // stdout of podman is a file here, by way of a shell that is the container's own.
      const script = [
        "exec >/trial/text",
        "echo before",
        "until test -e /trial/go; do sleep 0.05; done",
        "echo after",
        "exit 3",
      ].join("; ");
      const options = ["--log-driver=passthrough", volume];
      const command = [podman.image, "sh", "-c", script];
      const started = podman.start(["run", "-d", "--name", container, ...options, ...command]);
      started.stdin.end();
      sign("go");
      await started.end();
      const exitCode = await podman.ok(["wait", container]);
      const logs = await podman.run(["logs", container]);
      return { text: readFileSync(path("text"), "utf8"), exitCode, logs };
    },
  });
});
