import { constants } from "node:os";
import { type Command, Option } from "commander";
import { execDetached, execIn, findContainer, State } from "../../containers/mod.ts";
import { collect } from "../arguments.ts";
import { detachKeysOption } from "../detach-keys.ts";
import { EXIT, Failure } from "../failure.ts";
import { inForeground, leave, windowSize } from "../foreground.ts";
import { printJson } from "../output.ts";

const EXAMPLES = `
--env can be given several times.

Exit status: the command's; 125 if it cannot be started, 126 if it cannot be executed, 127 if there is no
such command. With --detach 0 once it runs.

Examples:
  conmonctl exec web ls -l /
  conmonctl exec -it web sh
  conmonctl exec -d web sh -c 'sleep 60; kill -HUP 1'
  tar c . | conmonctl exec -i web tar x -C /tmp`;

interface ExecFlags {
  readonly detach?: true;
  readonly interactive?: true;
  readonly tty?: true;
  readonly env?: string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly detachKeys: Uint8Array;
  readonly json?: true;
}

export function registerExec(program: Command): void {
  program
    .command("exec")
    .summary("run a command in a container")
    .description("Runs a further command in a container that runs.")
    .argument("<CONTAINER>", "name, ID or beginning of an ID")
    .argument("<COMMAND...>", "the command with its arguments")
    .passThroughOptions()
    .addOption(
      new Option("-d, --detach", "leave it alone, without its output; print its pid").conflicts(
        "interactive",
      ),
    )
    .option("-i, --interactive", "hand our standard input on")
    .option("-t, --tty", "give it a terminal")
    .option("-e, --env <NAME=VALUE>", "an environment variable; NAME alone: our own value", collect)
    .option("-u, --user <USER[:GROUP]>", "names or numbers (default: the container's)")
    .option(
      "-w, --workdir <DIR>",
      "working directory in the container, an absolute path (default: the container's)",
    )
    .addOption(detachKeysOption())
    .option("--json", "with --detach: print its pid as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (name: string, command: string[], flags: ExecFlags) => {
      process.exitCode = await exec(name, withoutDashes(name, command), flags);
    });
}

/** Who writes `--` before the command, as with `run`, means no command of that name. */
function withoutDashes(name: string, words: readonly string[]): string[] {
  const command = words[0] === "--" ? words.slice(1) : [...words];
  const [first = ""] = command;
  if (first !== "" && (words[0] === "--" || !first.startsWith("-"))) return command;
  throw new Failure(`exec: ${JSON.stringify(first)} is no command`, {
    status: EXIT.usage,
    hint: `options come before the container: conmonctl exec -it ${name} sh`,
  });
}

async function exec(name: string, command: string[], flags: ExecFlags): Promise<number> {
  const state = new State();
  const size = flags.tty ? windowSize() : undefined;
  const container = findContainer(state, name);
  const options = {
    command,
    terminal: flags.tty === true,
    stdin: flags.interactive === true,
    ...(size === undefined ? {} : { size }),
    ...(flags.env === undefined ? {} : { env: flags.env }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(flags.workdir === undefined ? {} : { workingDirectory: flags.workdir }),
  };
  if (flags.detach) {
    const pid = await execDetached(state, container, options);
    if (flags.json) printJson({ pid });
    else process.stdout.write(`${pid}\n`);
    return EXIT.ok;
  }
  const session = await execIn(state, container, options);
  try {
    const end = await inForeground({
      connection: session.connection,
      stdin: flags.interactive === true,
      terminal: flags.tty === true,
      detachKeys: flags.detachKeys,
      resize: (size) => session.resize(size),
      signal: async (signal) => session.kill(constants.signals[signal]),
    });
    if (end !== "ended") return leave(end, `${command[0]} in ${container.name}`, undefined);
    return (await session.wait()) & 0xff;
  } finally {
    session.close();
  }
}
