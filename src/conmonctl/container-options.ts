/** What a container is to be: the arguments and options that `run` and `create` have in common. */
import { resolve } from "node:path";
import { type Command, Option } from "commander";
import type { RestartPolicy, RunOptions } from "../containers/mod.ts";
import {
  collect,
  collectMount,
  parsePositive,
  parseRestart,
  parseSeconds,
  parseSize,
} from "./arguments.ts";
import { EXIT, Failure } from "./failure.ts";
import { windowSize } from "./foreground.ts";

/** As commander hands them over. */
export interface ContainerFlags {
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
}

/** What the help says of the values. */
export const CONTAINER_HELP = `
Without a bundle the command runs on this machine's own /usr, /bin, /lib and /etc, read-only, with /tmp,
/run, /proc and /dev of its own. --env, --mount, --log-driver and --log-opt can be given several times.

SIZE is in bytes, or with k, m, g or t for powers of 1024. A mount is SOURCE:TARGET or SOURCE:TARGET:ro with absolute
paths; or type=bind,source=PATH,target=PATH,ro; or type=tmpfs,target=PATH,size=SIZE.

The log is kept in the state directory, which is in memory as a rule: it is rotated at 16 MiB, and one older
file is kept. --log-opt path=FILE has it elsewhere, without a limit; max-size=SIZE sets one, where what was logged
before is dropped unless rotate keeps it as FILE.1; max-size=0 takes it away. tag=TEXT and label=NAME=VALUE are for
journald; the others are those of conmon's --log-opt, see conmon(8): max-age, max-files, compress and so on.

With --restart the container is started again after 0.1 s, then after twice as long each time, up to a minute; after a
run of 10 s it begins anew. on-failure without TIMES has no limit. stop, rm, and Ctrl-C end it for good.

The runtime host starts a plain process of this machine: it isolates nothing, and no limits are kept.`;

/** Adds the arguments, before any option. Options come before them. */
export function addContainerArguments(command: Command): Command {
  const name = command.name();
  return command
    .argument("[BUNDLE]", "directory of an OCI bundle")
    .argument("[COMMAND...]", "after --: the command to run, instead of the bundle's own")
    .usage(`[options] BUNDLE\n       conmonctl ${name} [options] [BUNDLE] -- COMMAND...`)
    .passThroughOptions();
}

/** Adds the options. */
export function addContainerOptions(command: Command): Command {
  return command
    .option("-i, --interactive", "hand our standard input on")
    .option("-t, --tty", "give it a terminal")
    .option("--name <NAME>", "its name: letters, digits, _ . and - (default: two words by chance)")
    .option("--runtime <RUNTIME>", "runc, crun, a path, or host (default: runc, else crun)")
    .option(
      "--rootfs <DIR>",
      "another root directory than the bundle's, or than this machine's own files",
      (path) => resolve(path),
    )
    .option("--memory <SIZE>", "the most memory, such as 512m (default: no limit)", parseSize)
    .option(
      "--cpus <NUMBER>",
      "the most processor time, such as 1.5 processors (default: no limit)",
      parsePositive,
    )
    .option("-e, --env <NAME=VALUE>", "an environment variable; NAME alone: our own value", collect)
    .option(
      "-w, --workdir <DIR>",
      "working directory in the container, an absolute path (default: the bundle's, else /)",
    )
    .option(
      "--mount <MOUNT>",
      "something of this machine, or memory, in the container: see below",
      collectMount,
    )
    .option("-u, --user <USER[:GROUP]>", "names or numbers (default: the bundle's, else root)")
    .option(
      "--hostname <NAME>",
      "its host name (default: the bundle's, else the beginning of its ID)",
    )
    .addOption(
      new Option(
        "--network <NETWORK>",
        "none: one of its own, with nothing in it; host: this machine's (default: the bundle's, else none)",
      ).choices(["none", "host"]),
    )
    .option(
      "--log-driver <DRIVER>",
      "k8s-file, json-file, journald, plugin:/PATH or none (default: k8s-file)",
      collect,
    )
    .option(
      "--log-opt <NAME=VALUE>",
      "path, max-size, rotate, tag, label and others: see below",
      collect,
    )
    .option(
      "--timeout <SECONDS>",
      "kill each run of it after so long (default: never)",
      parseSeconds,
    )
    .option("--rm", "remove it after its end")
    .option("--restart <POLICY>", "no, on-failure[:TIMES] or always (default: no)", parseRestart);
}

/** What is before `--` and what is after it. */
function splitWords(command: Command): {
  bundle: string | undefined;
  command: string[] | undefined;
} {
  const raw = process.argv;
  const dashes = raw.indexOf("--");
  const after = dashes < 0 ? 0 : raw.length - dashes - 1;
  const words = command.args;
  // commander leaves the dashes there only if a bundle is before them.
  const before = words.slice(0, words.length - after).filter((word) => word !== "--");
  const [bundle, extra] = before;
  if (extra !== undefined) {
    throw new Failure(`${command.name()}: what is ${extra} for?`, {
      status: EXIT.usage,
      hint: extra.startsWith("-") ? "options come before the bundle" : "put -- before the command",
    });
  }
  if (bundle === undefined && after === 0) {
    throw new Failure(`${command.name()}: neither a bundle nor a command was given`, {
      status: EXIT.usage,
      hint: `conmonctl ${command.name()} -- echo hello`,
    });
  }
  return { bundle, command: after === 0 ? undefined : words.slice(words.length - after) };
}

/**
 * What was asked for on the command line.
 *
 * @throws Failure if that makes no sense
 */
export function containerOptions(parsed: Command, flags: ContainerFlags): RunOptions {
  const { bundle, command } = splitWords(parsed);
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
