/** `podman run` in the foreground: streams, exit status, input, containers that cannot start. */
import { createHash } from "node:crypto";
import { describe } from "node:test";
import { findProgram, unlessRootWith } from "../support/programs.ts";
import { sideBySide } from "../support/side-by-side.ts";

const skip = unlessRootWith("runc", "podman", "conmon", "busybox");
const MIB = 1024 * 1024;

function digest(text: string): string {
  return createHash("sha256").update(text).digest("base64");
}

describe("podman run", { skip }, () => {
  const scenario = sideBySide();

  scenario("gives both streams and the exit status", {
    expected: { status: 3, stdout: "hi\n", stderr: "err\n" },
    observe: ({ podman }) =>
      podman.run(["run", "--rm", podman.image, "sh", "-c", "echo hi; echo err >&2; exit 3"]),
  });

  scenario("gives what ends without a newline", {
    expected: { status: 0, stdout: "a\n\nb", stderr: "c" },
    observe: ({ podman }) =>
      podman.run(["run", "--rm", podman.image, "sh", "-c", "printf 'a\\n\\nb'; printf c >&2"]),
  });

  scenario("gives all of 5 MiB that are written in one go, and logs them", {
    expected: { status: 0, length: 5 * MIB, errorLength: MIB, logged: true },
    observe: async ({ podman, name }) => {
      const script =
        "yes 'a line of text, neither long nor short' | head -c 5242880; yes e | head -c 1048576 >&2";
      const container = name("flood");
      const { status, stdout, stderr } = await podman.run([
        ...["run", "--name", container, podman.image, "sh", "-c", script],
      ]);
      const logs = await podman.run(["logs", container]);
      return {
        status,
        length: stdout.length,
        digest: digest(stdout),
        errorLength: stderr.length,
        logged: logs.stdout === stdout && logs.stderr === stderr,
      };
    },
  });

  scenario("ends a container by a signal as the shell does", {
    expected: { status: 137 },
    observe: ({ podman }) =>
      // Signals from inside do not reach the first process, so it has a child that asks for it.
      podman.run(["run", "--rm", podman.image, "sh", "-c", "sh -c 'kill -9 $$'; exit $?"]),
  });

  scenario("lets the container go on when podman is killed", {
    expected: { exitCode: "5", logs: "ready\nafter\n" },
    observe: async ({ podman, name, volume, sign }) => {
      const container = name("orphan");
      const script = "echo ready; until test -e /trial/go; do sleep 0.05; done; echo after; exit 5";
      const command = podman.start([
        ...["run", "--name", container, volume, podman.image, "sh", "-c", script],
      ]);
      await command.printed("ready\n");
      command.kill("SIGKILL");
      await command.end();
      sign("go");
      const exitCode = await podman.ok(["wait", container]);
      const { stdout: logs } = await podman.run(["logs", container]);
      return { exitCode, logs };
    },
  });

  scenario("gives the container the surroundings it should have", {
    expected: { status: 0, stderr: "to stderr\n" },
    observe: ({ podman }) => {
      const script = [
        "cat /proc/self/oom_score_adj",
        "umask",
        "ulimit -n",
        "grep -E '^(Sig(Blk|Ign|Cgt)|ShdPnd|Uid|Gid|NoNewPrivs|Seccomp):' /proc/self/status",
        "cut -d' ' -f5-8 /proc/1/stat", // Process group, session, terminal.
        "ls /proc/1/fd",
        "readlink /proc/1/fd/0 | sed 's/[0-9]//g'",
        "readlink /proc/1/fd/1 | sed 's/[0-9]//g'",
        "readlink /proc/1/fd/2 | sed 's/[0-9]//g'",
        "env | grep -vE '^(HOSTNAME|container_uuid)=' | sort",
        "cat", // At once at its end.
        "echo to stderr >/dev/stderr",
        "echo to stdout >/dev/stdout",
      ].join("; ");
      return podman.run(["run", "--rm", podman.image, "sh", "-c", script]);
    },
  });

  scenario("lets a container's user reopen its streams", {
    expected: { status: 0, stdout: "1000\nout\n", stderr: "err\n" },
    observe: ({ podman }) => {
      const script = "id -u; echo out >/dev/stdout; echo err >/dev/stderr";
      return podman.run(["run", "--rm", "--user=1000", podman.image, "sh", "-c", script]);
    },
  });

  if (findProgram("catatonit") !== undefined) {
    scenario("runs an init", {
      expected: { status: 4, stdout: "1\n" },
      observe: ({ podman }) => {
        const init = ["--init", "--init-path", findProgram("catatonit") ?? ""];
        const script = "echo $PPID; exit 4";
        return podman.run(["run", "--rm", ...init, podman.image, "sh", "-c", script]);
      },
    });
  }
});

describe("podman run -i", { skip }, () => {
  const scenario = sideBySide();

  for (const [what, input] of [
    ["a little", "hello\n"],
    ["nothing", ""],
    ["1 MiB", "0123456789abcde\n".repeat(MIB / 16)],
    ["no newline at the end", "a\nb"],
  ] as const) {
    scenario(`hands on ${what}`, {
      expected: { status: 0, length: input.length, digest: digest(input), stderr: "" },
      observe: async ({ podman }) => {
        const command = ["run", "--rm", "-i", podman.image, "cat"];
        const { stdout, ...rest } = await podman.run(command, { input });
        return { ...rest, length: stdout.length, digest: digest(stdout) };
      },
    });
  }

  scenario("hands on what is typed line by line, and the end", {
    expected: { status: 0, stdout: "1:one\n2:two\nend\n", stderr: "" },
    observe: async ({ podman }) => {
      const script = 'n=1; while read -r line; do echo "$n:$line"; n=$((n+1)); done; echo end';
      const command = podman.start(["run", "--rm", "-i", podman.image, "sh", "-c", script]);
      command.stdin.write("one\n");
      await command.printed("1:one\n");
      command.stdin.write("two\n");
      await command.printed("2:two\n");
      command.stdin.end();
      return await command.end();
    },
  });

  scenario("does not wait for a container to read all of the input", {
    expected: { status: 6, stdout: "first\n" },
    observe: async ({ podman, volume, sign }) => {
      // It ends when its output has been read: at the end Debian's conmon may lose what has not.
      const script = "read -r l; echo $l; until test -e /trial/go; do sleep 0.05; done; exit 6";
      const command = podman.start(["run", "--rm", "-i", volume, podman.image, "sh", "-c", script]);
      command.stdin.end(`first\n${"more\n".repeat(MIB / 5)}`);
      await command.printed("first\n");
      sign("go");
      return await command.end();
    },
  });

  scenario("goes on when the container closes its stdin", {
    expected: { status: 0, stdout: "closed\nstill here\n" },
    observe: async ({ podman, volume, sign }) => {
      const script =
        "exec 0<&-; echo closed; until test -e /trial/go; do sleep 0.05; done; echo still here";
      const command = podman.start(["run", "--rm", "-i", volume, podman.image, "sh", "-c", script]);
      await command.printed("closed\n");
      command.stdin.end("into the void\n".repeat(1000), () => sign("go"));
      return await command.end();
    },
  });

  scenario("goes on when the container does not read and nobody writes", {
    expected: { status: 0, stdout: "hi\n", stderr: "" },
    observe: async ({ podman }) => {
      const command = podman.start(["run", "--rm", "-i", podman.image, "echo", "hi"]);
      const result = await command.end(); // With its stdin still open.
      command.stdin.end();
      return result;
    },
  });
});

describe("podman run of what cannot be run", { skip }, () => {
  const scenario = sideBySide();

  scenario("says that there is no such command", {
    expected: { status: 127, stdout: "" },
    observe: ({ podman }) => podman.run(["run", "--rm", podman.image, "no-such-command"]),
  });

  scenario("says that it is not executable", {
    expected: { status: 126, stdout: "" },
    observe: ({ podman }) => podman.run(["run", "--rm", podman.image, "/etc/passwd"]),
  });

  scenario("says that it is a directory", {
    expected: { status: 126, stdout: "" },
    observe: ({ podman }) => podman.run(["run", "--rm", podman.image, "/etc"]),
  });

  scenario("says so in the background, too, and leaves a container that has not run", {
    expected: { status: 127 },
    observe: async ({ podman, name, state }) => {
      const container = name("broken");
      const args = ["run", "-d", "--name", container, podman.image, "no-such-command"];
      return { ...(await podman.run(args)), state: await state(container) };
    },
  });

  scenario("says so with `start`, again and again", {
    expected: { statuses: [125, 125, 125] },
    observe: async ({ podman, name, state }) => {
      const container = name("broken");
      await podman.ok(["create", "--name", container, podman.image, "no-such-command"]);
      const results = [
        await podman.run(["start", container]),
        await podman.run(["start", "--attach", container]),
        await podman.run(["start", container]),
      ];
      const statuses = results.map(({ status }) => status);
      return { results, statuses, state: await state(container) };
    },
  });

  scenario("says that the working directory is a file", {
    expected: { status: 126 },
    observe: ({ podman }) =>
      podman.run(["run", "--rm", "--workdir=/etc/passwd", podman.image, "true"]),
  });
});
