import { resolve } from "node:path";
import { type Command, Option } from "commander";
import {
  attachToNextRun,
  currentRun,
  findContainer,
  type RestartPolicy,
  type RunOptions,
  resizeTerminal,
  run,
  STOP_TIMEOUT,
  type StartedContainer,
  State,
  signalContainer,
  stopContainer,
  wantEnd,
} from "../../containers/mod.ts";
import {
  collect,
  collectMount,
  parsePositive,
  parseRestart,
  parseSeconds,
  parseSize,
} from "../arguments.ts";
import { detachKeysOption } from "../detach-keys.ts";
import { EXIT, Failure } from "../failure.ts";
import { type ForegroundEnd, inForeground, statusOfSignal, windowSize } from "../foreground.ts";
import { printJson } from "../output.ts";

interface RunFlags {
  readonly detach?: true;
  readonly interactive?: true;
  readonly tty?: true;
  readonly name?: string;
  readonly runtime?: string;
  readonly rootfs?: string;
  readonly memory?: number;
  readonly cpus?: number;
  readonly env?: string[];
  readonly workdir?: string;
  readonly mount?: RunOptions["mounts"];
  readonly user?: string;
  readonly hostname?: string;
  readonly network?: "none" | "host";
  readonly logDriver?: string[];
  readonly logOpt?: string[];
  readonly timeout?: number;
  readonly rm?: true;
  readonly restart?: RestartPolicy;
  readonly detachKeys: Uint8Array;
  readonly json?: true;
}

const EXAMPLES = `
Without a bundle the command runs on this machine's own /usr, /bin, /lib and /etc, read-only, with /tmp,
/run, /proc and /dev of its own.

Exit status: the container's; 125 if it cannot be started, 126 if its command cannot be executed, 127 if
there is no such command. With --detach 0 once it runs.

Examples:
  conmonctl run -- echo hello
  conmonctl run -it -- bash
  conmonctl run -d --name web --restart on-failure:5 --memory 256m /srv/bundles/web
  conmonctl run --rm --mount /data:/data:ro -e MODE=test --workdir /data -- ls -l`;

export function registerRun(program: Command): void {
  program
    .command("run")
    .summary("start a container from a bundle, or a command")
    .description("Starts a container: from an OCI bundle, which is not written to, or a command.")
    .argument("[BUNDLE]", "directory of an OCI bundle")
    .argument("[COMMAND...]", "after --: the command to run, instead of the bundle's own")
    .usage("[options] BUNDLE\n       conmonctl run [options] [BUNDLE] -- COMMAND...")
    .passThroughOptions()
    .option("-d, --detach", "do not wait for its end; print its ID")
    .option("-i, --interactive", "hand our standard input on")
    .option("-t, --tty", "give it a terminal")
    .option("--name <NAME>", "its name; default: two words by chance")
    .option("--runtime <RUNTIME>", "runc, crun, a path, or host; default: the first one found")
    .option("--rootfs <DIR>", "another root directory", (path) => resolve(path))
    .option("--memory <SIZE>", "the most memory, such as 512m", parseSize)
    .option("--cpus <NUMBER>", "the most processor time, such as 1.5", parsePositive)
    .option("-e, --env <NAME=VALUE>", "an environment variable; NAME alone: our own value", collect)
    .option("-w, --workdir <DIR>", "working directory in the container")
    .option("--mount <MOUNT>", "SOURCE:TARGET[:ro] or type=...,source=...,target=...", collectMount)
    .option("-u, --user <USER[:GROUP]>", "names or numbers")
    .option("--hostname <NAME>", "default: the beginning of its ID")
    .addOption(
      new Option(
        "--network <NETWORK>",
        "none: one of its own, with nothing in it; or host",
      ).choices(["none", "host"]),
    )
    .option("--log-driver <DRIVER>", "k8s-file, json-file, journald, plugin:/PATH or none", collect)
    .option("--log-opt <NAME=VALUE>", "path, max-size, rotate, tag, label, and conmon's", collect)
    .option("--timeout <SECONDS>", "kill it after so long", parseSeconds)
    .option("--rm", "remove it after its end")
    .option("--restart <POLICY>", "no, on-failure[:TIMES] or always", parseRestart)
    .addOption(detachKeysOption())
    .option("--json", "with --detach: print ID, name and pid")
    .addHelpText("after", EXAMPLES)
    .action(
      async (
        _bundle: string | undefined,
        _command: string[],
        flags: RunFlags,
        command: Command,
      ) => {
        process.exitCode = await runContainer(split(command), flags);
      },
    );
}

/** What is before `--` and what is after it. */
function split(command: Command): { bundle: string | undefined; command: string[] | undefined } {
  const raw = process.argv;
  const dashes = raw.indexOf("--");
  const after = dashes < 0 ? 0 : raw.length - dashes - 1;
  const words = command.args;
  // commander leaves the dashes there only if a bundle is before them.
  const before = words.slice(0, words.length - after).filter((word) => word !== "--");
  const [bundle, extra] = before;
  if (extra !== undefined) {
    throw new Failure(`run: what is ${extra} for?`, {
      status: EXIT.usage,
      hint: extra.startsWith("-") ? "options come before the bundle" : "put -- before the command",
    });
  }
  if (bundle === undefined && after === 0) {
    throw new Failure("run: neither a bundle nor a command was given", {
      status: EXIT.usage,
      hint: "conmonctl run -- echo hello",
    });
  }
  return { bundle, command: after === 0 ? undefined : words.slice(words.length - after) };
}

function toOptions(words: ReturnType<typeof split>, flags: RunFlags): RunOptions {
  const { bundle, command } = words;
  const given = {
    bundle,
    command,
    rootfs: flags.rootfs,
    name: flags.name,
    runtime: flags.runtime,
    memory: flags.memory,
    cpus: flags.cpus,
    env: flags.env,
    workingDirectory: flags.workdir,
    mounts: flags.mount,
    user: flags.user,
    hostname: flags.hostname,
    network: flags.network,
    logDrivers: flags.logDriver,
    logOptions: flags.logOpt,
    timeout: flags.timeout,
    remove: flags.rm,
    restart: flags.restart,
    terminal: flags.tty,
    stdin: flags.interactive,
    size: flags.tty ? windowSize() : undefined,
  };
  const entries = Object.entries(given).filter(([, value]) => value !== undefined);
  // Only what was given: each of them has the type of the option.
  return Object.fromEntries(entries) as RunOptions;
}

async function runContainer(words: ReturnType<typeof split>, flags: RunFlags): Promise<number> {
  const options = toOptions(words, flags);
  const detached = flags.detach === true;
  const container = await interruptible((signal) =>
    run({ ...options, signal, attach: !detached, onWarning: warn }),
  );
  if (!detached) return await stayAttached(container, flags);
  const { id, name, pid } = container;
  if (flags.json) printJson({ id, name, pid });
  else process.stdout.write(`${id}\n`);
  return EXIT.ok;
}

function warn(text: string): void {
  process.stderr.write(`conmonctl: warning: ${text}\n`);
}

/** Until it has begun, Ctrl-C takes everything back; a second one does not wait for that. */
async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupted = new AbortController();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const handlers = signals.map((signal) => {
    const failure = new Failure("interrupted", { status: statusOfSignal(signal) });
    const handler = (): void => interrupted.abort(failure);
    process.once(signal, handler);
    return [signal, handler] as const;
  });
  try {
    return await work(interrupted.signal);
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}

/** Through all restarts, until there is no other one. */
async function stayAttached(container: StartedContainer, flags: RunFlags): Promise<number> {
  const state = new State();
  const { id } = container;
  let { connection } = container;
  let run = currentRun(state, id);
  while (connection !== undefined) {
    const end = await attached(state, container, connection, flags);
    if (end !== "ended") return leave(container, end);
    if (flags.restart === undefined || flags.restart.when === "no") break;
    const next = await waitForNext(state, container, run);
    run = next?.run ?? run;
    connection = next?.connection;
  }
  const status = await container.wait();
  if (status === null || status === undefined) {
    throw new Failure(`nobody knows how container ${container.name} ended`, {
      status: EXIT.notStarted,
    });
  }
  if (status < 0) {
    process.stderr.write(`conmonctl: ${container.name} was killed: its time was up\n`);
  }
  return status & 0xff;
}

async function attached(
  state: State,
  container: StartedContainer,
  connection: NonNullable<StartedContainer["connection"]>,
  flags: RunFlags,
): Promise<ForegroundEnd> {
  const { bundle } = state.container(container.id);
  return await inForeground({
    connection,
    stdin: flags.interactive === true,
    terminal: flags.tty === true,
    detachKeys: flags.detachKeys,
    resize: (size) => resizeTerminal(bundle, size),
    signal: async (signal) => {
      // Who presses Ctrl-C does not want it to be started again.
      if (signal !== "SIGUSR1" && signal !== "SIGUSR2") wantEnd(state, container.id);
      await signalContainer(state, findContainer(state, container.id), signal);
    },
  });
}

/** Between two runs Ctrl-C ends it all. */
async function waitForNext(state: State, container: StartedContainer, run: number) {
  const stop = () => {
    stopContainer(state, findContainer(state, container.id), STOP_TIMEOUT).catch((error: Error) => {
      process.stderr.write(`conmonctl: ${error.message}\n`);
    });
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    return await attachToNextRun(state, container.id, run);
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}

function leave({ name }: StartedContainer, end: ForegroundEnd): number {
  if (end === "hung-up") return statusOfSignal("SIGHUP");
  process.stderr.write(`\r\nconmonctl: detached; conmonctl attach ${name} comes back to it\n`);
  return EXIT.ok;
}
