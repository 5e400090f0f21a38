import { constants } from "node:os";
import type { Command } from "commander";
import { execIn, findContainer, State } from "../../containers/mod.ts";
import { collect } from "../arguments.ts";
import { detachKeysOption } from "../detach-keys.ts";
import { EXIT, Failure } from "../failure.ts";
import { inForeground, statusOfSignal, windowSize } from "../foreground.ts";

const EXAMPLES = `
Exit status: the command's; 126 if it cannot be executed, 127 if there is no such command.

Examples:
  conmonctl exec web ls -l /
  conmonctl exec -it web sh
  tar c . | conmonctl exec -i web tar x -C /tmp`;

interface ExecFlags {
  readonly interactive?: true;
  readonly tty?: true;
  readonly env?: string[];
  readonly user?: string;
  readonly workdir?: string;
  readonly detachKeys: Uint8Array;
}

export function registerExec(program: Command): void {
  program
    .command("exec")
    .summary("run a command in a container")
    .description("Runs a further command in a container that runs.")
    .argument("<CONTAINER>", "name, ID or beginning of an ID")
    .argument("<COMMAND...>", "the command with its arguments")
    .passThroughOptions()
    .option("-i, --interactive", "hand our standard input on")
    .option("-t, --tty", "give it a terminal")
    .option("-e, --env <NAME=VALUE>", "an environment variable; NAME alone: our own value", collect)
    .option("-u, --user <USER[:GROUP]>", "names or numbers")
    .option("-w, --workdir <DIR>", "working directory in the container")
    .addOption(detachKeysOption())
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
  const session = await execIn(state, findContainer(state, name), {
    command,
    terminal: flags.tty === true,
    stdin: flags.interactive === true,
    ...(size === undefined ? {} : { size }),
    ...(flags.env === undefined ? {} : { env: flags.env }),
    ...(flags.user === undefined ? {} : { user: flags.user }),
    ...(flags.workdir === undefined ? {} : { workingDirectory: flags.workdir }),
  });
  try {
    const end = await inForeground({
      connection: session.connection,
      stdin: flags.interactive === true,
      terminal: flags.tty === true,
      detachKeys: flags.detachKeys,
      resize: (size) => session.resize(size),
      signal: async (signal) => session.kill(constants.signals[signal]),
    });
    if (end === "hung-up") return statusOfSignal("SIGHUP");
    return end === "detached" ? EXIT.ok : (await session.wait()) & 0xff;
  } finally {
    session.close();
  }
}
