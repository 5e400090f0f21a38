/** Containers in the background: from creation to removal, and what podman says of them meanwhile. */
import {
  constants,
  existsSync,
  lstatSync,
  readdirSync,
  readFileSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe } from "node:test";
import type { PodmanCommand } from "../support/podman-command.ts";
import { unlessRootWith } from "../support/programs.ts";
import { sideBySide } from "../support/side-by-side.ts";
import type { Trial } from "../support/trial.ts";

const skip = unlessRootWith("runc", "podman", "conmon", "busybox");

/** Sits there until it is told to end, with a status that says by which signal. */
const OBEDIENT = [
  "trap 'echo usr1' USR1",
  "trap 'echo term; exit 15' TERM",
  "trap 'echo hup; exit 1' HUP",
  "echo ready; touch /trial/ready",
  "while :; do sleep 1000 & wait; done",
].join("; ");

/** Ends only by SIGKILL. */
const STUBBORN = "trap '' TERM; touch /trial/ready; while :; do sleep 1000 & wait; done";

/** Where podman keeps the bundles, below the test's directory. */
const BUNDLES = "storage/vfs-containers";

/** What there is of a container that has run, see `filesOf`. */
const STORED = [
  "runroot/.containerenv file 644",
  "runroot/conmon.pid file 644",
  "runroot/hostname file 644",
  "runroot/hosts file 644",
  "runroot/oci-log file 644",
  "runroot/pidfile file 644",
  "storage/artifacts folder 755",
  "storage/config.json file 644",
  "storage/ctr.log file",
  "storage/secrets folder 755",
];

/** What there is besides as long as it runs. */
const STORED_WHILE_RUNNING = [
  "storage/attach socket 700",
  "storage/ctl fifo 640",
  "storage/winsz fifo 640",
];

/** Runs a script in the background. Resolves when it has made the file `ready`. */
async function runReady(trial: Trial, script: string, ...options: string[]): Promise<string> {
  const { podman, name, volume, signed } = trial;
  const container = name("sleeper");
  const command = [podman.image, "sh", "-c", script];
  await podman.ok(["run", "-d", "--name", container, volume, ...options, ...command]);
  await signed("ready");
  return container;
}

describe("podman run -d", { skip }, () => {
  const scenario = sideBySide();

  scenario("gives the exit status to `wait` and `inspect`, the output to `logs`", {
    expected: {
      exitCode: "3",
      logs: { status: 0, stdout: "hi\n", stderr: "err\n" },
    },
    observe: async ({ podman, name, state }) => {
      const container = name("short");
      const command = [podman.image, "sh", "-c", "echo hi; echo err >&2; exit 3"];
      const started = await podman.run(["run", "-d", "--name", container, ...command]);
      const exitCode = await podman.ok(["wait", container]);
      const logs = await podman.run(["logs", container]);
      return { started, exitCode, logs, state: await state(container) };
    },
  });

  scenario("does not wait for who keeps the output open", {
    expected: { exitCode: "0", logs: "hi\n" },
    observe: async ({ podman, name }) => {
      const container = name("parent");
      const script = "echo hi; sleep 1000 & exit 0";
      await podman.ok(["run", "-d", "--name", container, podman.image, "sh", "-c", script]);
      const exitCode = await podman.ok(["wait", container]);
      return { exitCode, logs: (await podman.run(["logs", container])).stdout };
    },
  });

  scenario("runs ten at a time", {
    expected: { statuses: [0, 1, 2, 3, 4, 5, 6, 7, 8, 9].map(String) },
    observe: async ({ podman, name }) => {
      const numbers = [...Array(10).keys()];
      const start = (n: number) => {
        const script = `seq ${n} 500; exit ${n}`;
        const command = [podman.image, "sh", "-c", script];
        return podman.run(["run", "-d", "--name", name(`number${n}`), ...command]);
      };
      const started = await Promise.all(numbers.map(start));
      const names = numbers.map((n) => name(`number${n}`));
      const statuses = (await podman.ok(["wait", ...names])).split("\n");
      const logs = await Promise.all(names.map((container) => podman.run(["logs", container])));
      return { started, statuses, logs };
    },
  });

  scenario("knows when it began and when it ended", {
    expected: { began: "in time", ended: "in time", order: "right" },
    observe: async (trial) => {
      const { podman, inspect } = trial;
      const before = Date.now();
      const container = await runReady(trial, OBEDIENT);
      const between = Date.now();
      await podman.ok(["stop", container]);
      const after = Date.now();
      const { StartedAt, FinishedAt } = (await inspect(container)).State;
      const [began, ended] = [Date.parse(StartedAt), Date.parse(FinishedAt)];
      // The end is a file's time, which the kernel takes from a clock that is up to 10 ms behind.
      const isIn = (time: number, from: number, to: number) =>
        time >= from - 10 && time <= to ? "in time" : `${new Date(time).toISOString()} is wrong`;
      return {
        began: isIn(began, before, between),
        ended: isIn(ended, between, after),
        order: began <= ended ? "right" : "wrong",
      };
    },
  });

  scenario("writes the files that it is asked for", {
    expected: { contents: "right", conmon: true },
    observe: async (trial) => {
      const { podman, path, inspect } = trial;
      const options = [
        `--cidfile=${path("cid")}`,
        `--pidfile=${path("pid")}`,
        `--conmon-pidfile=${path("conmon")}`,
      ];
      const container = await runReady(trial, OBEDIENT, ...options);
      const { Id, State } = await inspect(container);
      const [cid, pid, conmon] = ["cid", "pid", "conmon"].map((file) => read(path(file)));
      const right = cid === Id && pid === `${State.Pid}` && conmon === `${State.ConmonPid}`;
      const program = readFileSync(`/proc/${conmon}/comm`, "utf8");
      await podman.ok(["stop", container]);
      await podman.ok(["rm", container]);
      return {
        contents: right ? "right" : { cid, pid, conmon, Id, State },
        conmon: program === "conmon\n",
        left: readdirSync(path(".")).sort(),
      };
    },
  });

  scenario("leaves only files that podman knows of while it runs and after its end", {
    expected: {
      running: [...STORED, ...STORED_WHILE_RUNNING].sort(),
      stopped: STORED,
      logMode: "600",
    },
    differences: [
      {
        at: ["logMode"],
        debian: "600",
        ours: "640",
        reason: "conmon has had 0640 since 2.2; Debian's is older",
      },
    ],
    observe: async (trial) => {
      const container = await runReady(trial, OBEDIENT);
      const { Id } = await trial.inspect(container);
      const running = filesOf(trial, Id);
      const { mode } = statSync(trial.scratch.path(BUNDLES, Id, "userdata/ctr.log"));
      await trial.podman.ok(["stop", container]);
      // Until then the monitor and its exit command may have something to remove.
      await trial.cleanedUp(Id);
      return { running, stopped: filesOf(trial, Id), logMode: permissions(mode) };
    },
  });

  scenario("removes itself with --rm", {
    expected: { exists: 1 },
    observe: async (trial) => {
      const { podman, name, inspect, cleanedUp } = trial;
      const container = await runReady(trial, OBEDIENT, "--rm");
      const { Id } = await inspect(container);
      const { status } = await podman.run(["stop", container]);
      await cleanedUp(Id);
      const exists = await podman.run(["container", "exists", name("sleeper")]);
      return { status, exists: exists.status };
    },
  });

  for (const [policy, restarts, starts] of [
    ["on-failure:2", 2, 3],
    ["no", 0, 1],
  ] as const) {
    scenario(`starts again what fails, by the policy ${policy}`, {
      expected: { exitCode: "3", logs: "started\n".repeat(starts) },
      observe: async ({ podman, name, state }) => {
        const container = name("failing");
        const command = [podman.image, "sh", "-c", "echo started; exit 3"];
        await podman.ok(["run", "-d", "--name", container, `--restart=${policy}`, ...command]);
        // The last one has ended when no restart is left.
        let exitCode: string;
        do exitCode = await podman.ok(["wait", container]);
        while ((await state(container)).restarts < restarts);
        exitCode = await podman.ok(["wait", container]);
        const { stdout: logs } = await podman.run(["logs", container]);
        return { exitCode, logs, state: await state(container) };
      },
    });
  }
});

describe("podman stop, kill, wait", { skip }, () => {
  const scenario = sideBySide();

  scenario("`stop` gives a container the time to end", {
    expected: { status: 0, stderr: "", logs: "ready\nterm\n" },
    observe: async (trial) => {
      const { podman, state } = trial;
      const container = await runReady(trial, OBEDIENT);
      const stopped = await podman.run(["stop", container]);
      const { stdout: logs } = await podman.run(["logs", container]);
      return { ...stopped, logs, state: await state(container) };
    },
  });

  scenario("`stop` takes the signal that the container wants", {
    expected: { status: 0, stderr: "", logs: "ready\nhup\n" },
    observe: async (trial) => {
      const { podman, state } = trial;
      const container = await runReady(trial, OBEDIENT, "--stop-signal=HUP");
      const stopped = await podman.run(["stop", container]);
      const { stdout: logs } = await podman.run(["logs", container]);
      return { ...stopped, logs, state: await state(container) };
    },
  });

  scenario("`stop -t 1` kills a container that does not listen", {
    expected: { status: 0, exitCode: 137 },
    observe: async (trial) => {
      const { podman, state } = trial;
      const container = await runReady(trial, STUBBORN);
      const stopped = await podman.run(["stop", "-t", "1", container]);
      const facts = await state(container);
      return { ...stopped, exitCode: facts.exitCode, state: facts };
    },
  });

  scenario("`stop` of a container that has ended is no error", {
    expected: { status: 0 },
    observe: async (trial) => {
      const { podman, state } = trial;
      const container = await runReady(trial, OBEDIENT);
      await podman.ok(["stop", container]);
      const again = await podman.run(["stop", container]);
      return { ...again, state: await state(container) };
    },
  });

  scenario("`kill -s USR1` reaches the container, which goes on", {
    expected: { status: 0, running: true, logs: "ready\nusr1\n" },
    observe: async (trial) => {
      const { podman, state } = trial;
      const container = await runReady(trial, OBEDIENT);
      const follower = podman.start(["logs", "-f", container]);
      const killed = await podman.run(["kill", "-s", "USR1", container]);
      await follower.printed("usr1\n");
      const { running } = await state(container);
      await podman.ok(["stop", container]);
      return { ...killed, running, logs: (await follower.end()).stdout.replace("term\n", "") };
    },
  });

  scenario("`kill` ends the container with 137", {
    expected: { status: 0, exitCode: "137" },
    observe: async (trial) => {
      const { podman, state } = trial;
      const container = await runReady(trial, STUBBORN);
      const killed = await podman.run(["kill", container]);
      const exitCode = await podman.ok(["wait", container]);
      return { ...killed, exitCode, state: await state(container) };
    },
  });

  scenario("`kill` of what does not run is an error", {
    expected: { status: 125 },
    observe: async (trial) => {
      const { podman } = trial;
      const container = await runReady(trial, OBEDIENT);
      await podman.ok(["stop", container]);
      return await podman.run(["kill", container]);
    },
  });

  scenario("`wait` for several, each with its status", {
    expected: { status: 0, stdout: "15\n4\n" },
    observe: async (trial) => {
      const { podman, name } = trial;
      const sleeper = await runReady(trial, OBEDIENT);
      const other = name("other");
      await podman.ok(["run", "-d", "--name", other, podman.image, "sh", "-c", "exit 4"]);
      const waiting = podman.start(["wait", sleeper, other]);
      await podman.ok(["stop", sleeper]);
      return await waiting.end();
    },
  });
});

describe("podman rm, start, restart", { skip }, () => {
  const scenario = sideBySide();

  scenario("`rm` refuses what runs, `rm -f` does not", {
    expected: { forced: { status: 0, stdout: "sleeper\n", stderr: "" } },
    observe: async (trial) => {
      const { podman } = trial;
      const container = await runReady(trial, OBEDIENT);
      const refused = await podman.run(["rm", container]);
      const forced = await podman.run(["rm", "-f", container]);
      const exists = await podman.run(["container", "exists", container]);
      return { refused, forced, exists };
    },
  });

  scenario("`rm -f -t 0` ends at once what does not listen", {
    expected: { status: 0 },
    observe: async (trial) => {
      const { podman } = trial;
      const container = await runReady(trial, STUBBORN);
      return await podman.run(["rm", "-f", "-t", "0", container]);
    },
  });

  scenario("`start -a` of what has been created gives streams and status, each time", {
    expected: {
      first: { status: 3, stdout: "hi\n", stderr: "err\n" },
      second: { status: 3, stdout: "hi\n", stderr: "err\n" },
      logs: { status: 0, stdout: "hi\nhi\n", stderr: "err\nerr\n" },
    },
    observe: async ({ podman, name, state }) => {
      const container = name("created");
      const command = [podman.image, "sh", "-c", "echo hi; echo err >&2; exit 3"];
      await podman.ok(["create", "--name", container, ...command]);
      const created = await state(container);
      const first = await podman.run(["start", "-a", container]);
      const second = await podman.run(["start", "-a", container]);
      const logs = await podman.run(["logs", container]);
      return { created, first, second, logs, state: await state(container) };
    },
  });

  scenario("`start -a -i` hands on stdin", {
    expected: { status: 0, stdout: "to the container\n", stderr: "" },
    observe: async ({ podman, name }) => {
      const container = name("created");
      await podman.ok(["create", "-i", "--name", container, podman.image, "cat"]);
      return await podman.run(["start", "-a", "-i", container], { input: "to the container\n" });
    },
  });

  scenario("`restart` ends the old process and starts a new one", {
    expected: { status: 0, same: false, logs: "ready\nterm\nready\n" },
    observe: async (trial) => {
      const { podman, inspect, state } = trial;
      const container = await runReady(trial, OBEDIENT);
      const before = (await inspect(container)).State.Pid;
      const restarted = await podman.run(["restart", container]);
      const after = (await inspect(container)).State.Pid;
      const facts = await state(container);
      const logs = await logsWith(trial, container, "ready\nterm\nready\n");
      return { ...restarted, same: before === after, logs, state: facts };
    },
  });

  scenario("`restart` starts what has ended", {
    expected: { status: 0, running: true },
    observe: async (trial) => {
      const { podman, state } = trial;
      const container = await runReady(trial, OBEDIENT);
      await podman.ok(["stop", container]);
      const restarted = await podman.run(["restart", container]);
      return { ...restarted, running: (await state(container)).running };
    },
  });
});

describe("podman ps, top, pause, cp and others", { skip }, () => {
  const scenario = sideBySide();

  scenario("`ps` shows how they are", {
    expected: { status: 0, stderr: "" },
    observe: async (trial) => {
      const { podman, name } = trial;
      await runReady(trial, OBEDIENT);
      await podman.run(["run", "--name", name("ended"), podman.image, "sh", "-c", "exit 3"]);
      await podman.ok(["create", "--name", name("created"), podman.image, "true"]);
      const format = "{{.Names}}|{{.State}}|{{.Exited}}|{{.ExitCode}}";
      const listed = await podman.run(["ps", "-a", "--sort=names", "--format", format]);
      const running = await podman.ok(["ps", "--format", "{{.Names}} {{.Image}} {{.Command}}"]);
      // Only the age differs from time to time.
      const stdout = listed.stdout.replace(/(Up|Exited \(\d+\)) [^|]*/g, "$1");
      return { ...listed, stdout, running };
    },
  });

  scenario("`top` shows the processes", {
    expected: { status: 0, stderr: "", lines: ["PPID USER TTY", "0 root ?", "1 root ?"] },
    observe: async (trial) => {
      // Without touch, which is a third process until it has ended.
      const container = await runReady(trial, "sleep 1000 & : >/trial/ready; wait");
      const { stdout, ...rest } = await trial.podman.run(["top", container, "ppid", "user", "tty"]);
      const lines = stdout.trimEnd().split("\n");
      return { ...rest, lines: lines.map((line) => line.trimEnd().replace(/ +/g, " ")) };
    },
  });

  scenario("`rename` changes the name of what runs", {
    expected: { status: 0, exitCode: 15 },
    observe: async (trial) => {
      const { podman, name, state } = trial;
      const container = await runReady(trial, OBEDIENT);
      const renamed = await podman.run(["rename", container, name("another")]);
      await podman.ok(["stop", name("another")]);
      return { ...renamed, exitCode: (await state(name("another"))).exitCode };
    },
  });

  scenario("`pause` and `unpause`", {
    expected: { ended: { status: 0, stdout: "sleeper\n", stderr: "" }, exitCode: 15 },
    observe: async (trial) => {
      const { podman, state } = trial;
      const container = await runReady(trial, OBEDIENT);
      const paused = await podman.run(["pause", container]);
      const meanwhile = await state(container);
      const refused = await podman.run(["stop", container]);
      const unpaused = await podman.run(["unpause", container]);
      const ended = await podman.run(["stop", container]);
      const { exitCode } = await state(container);
      return { paused, meanwhile, refused, unpaused, ended, exitCode };
    },
  });

  scenario("`cp` both ways", {
    expected: { to: 0, from: 0, back: "there and back\n" },
    observe: async (trial) => {
      const { podman, path } = trial;
      const container = await runReady(trial, OBEDIENT);
      writeFileSync(path("there"), "there and back\n");
      const to = await podman.run(["cp", path("there"), `${container}:/tmp/there`]);
      const from = await podman.run(["cp", `${container}:/tmp/there`, path("back")]);
      return { to: to.status, from: from.status, back: read(path("back")) };
    },
  });

  scenario("`container cleanup` of what has ended, and of what runs", {
    expected: { ended: { status: 0, stdout: "sleeper\n", stderr: "" } },
    observe: async (trial) => {
      const { podman, state } = trial;
      const container = await runReady(trial, OBEDIENT);
      const running = await podman.run(["container", "cleanup", container]);
      await podman.ok(["stop", container]);
      const ended = await podman.run(["container", "cleanup", container]);
      return { running, ended, state: await state(container) };
    },
  });

  scenario("`events` tell the whole life", {
    expected: { lines: ["create 0", "init 0", "start 0", "died 15", "remove 0"] },
    observe: async (trial) => {
      const { podman, sign } = trial;
      // It ends by itself: with `stop` two podmans see to the end, and which one does what is a race.
      const script = "touch /trial/ready; until test -e /trial/go; do sleep 0.05; done; exit 15";
      const container = await runReady(trial, script, "--rm");
      const format = "{{.Status}} {{.ContainerExitCode}}";
      const follower = podman.start([
        ...["events", "--since=1m", "--filter", `container=${container}`, "--format", format],
      ]);
      sign("go");
      // All of the line: podman writes it piece by piece.
      await follower.printed("remove 0\n");
      return { lines: await stop(follower) };
    },
  });

  scenario("pods", {
    expected: { run: { status: 3, stdout: "in a pod\n", stderr: "" } },
    observe: async (trial) => {
      const { podman, name, state } = trial;
      const pod = name("pod");
      await podman.ok(["pod", "create", "--infra=false", "--name", pod]);
      const run = await podman.run([
        ...["run", "--pod", pod, podman.image, "sh", "-c", "echo in a pod; exit 3"],
      ]);
      const container = await runReady(trial, OBEDIENT, "--pod", pod);
      const listed = await podman.run(["pod", "ps", "--format", "{{.Name}} {{.Status}}"]);
      const stopped = await podman.run(["pod", "stop", pod]);
      const facts = await state(container);
      const removed = await podman.run(["pod", "rm", pod]);
      return { run, listed, stopped, state: facts, removed };
    },
  });
});

function read(path: string): string {
  return readFileSync(path, "utf8");
}

async function stop(command: PodmanCommand): Promise<string[]> {
  command.kill("SIGTERM");
  return (await command.end()).stdout.trimEnd().split("\n");
}

/** The logs of what still runs, as soon as they hold the text. */
async function logsWith({ podman }: Trial, container: string, text: string): Promise<string> {
  const follower = podman.start(["logs", "-f", container]);
  await follower.printed(text);
  follower.kill("SIGKILL");
  return (await follower.end()).stdout;
}

/** The files of a container: where, what, permissions. Its shm is podman's own business. */
function filesOf({ scratch }: Trial, id: string): string[] {
  const kinds: Readonly<Record<number, string>> = {
    [constants.S_IFIFO]: "fifo",
    [constants.S_IFDIR]: "folder",
    [constants.S_IFREG]: "file",
    [constants.S_IFSOCK]: "socket",
  };
  const places = {
    runroot: `runroot/vfs-containers/${id}/userdata`,
    storage: `${BUNDLES}/${id}/userdata`,
    exits: "libpod/exits",
    persist: "libpod/persist",
    socket: "libpod/socket",
    tmp: "tmp",
  };
  return Object.entries(places).flatMap(([place, path]) => {
    const folder = scratch.path(path);
    const names = existsSync(folder) ? readdirSync(folder).sort() : [];
    return names.flatMap((name) => {
      if (name === "shm") return [];
      const { mode } = lstatSync(join(folder, name));
      const what = `${place}/${name} ${kinds[mode & constants.S_IFMT] ?? "something else"}`;
      return name === "ctr.log" ? what : `${what} ${permissions(mode)}`;
    });
  });
}

function permissions(mode: number): string {
  return (mode & 0o7777).toString(8);
}
