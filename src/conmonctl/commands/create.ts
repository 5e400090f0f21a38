import type { Command } from "commander";
import { create } from "../../containers/mod.ts";
import {
  addContainerArguments,
  addContainerOptions,
  CONTAINER_HELP,
  type ContainerFlags,
  containerOptions,
} from "../container-options.ts";
import { warn } from "../failure.ts";
import { printJson } from "../output.ts";
import { interruptible } from "../stay-attached.ts";

const EXAMPLES = `
Its process is there, with its mounts and its limits, and waits: conmonctl start has it begin, rm removes it.
${CONTAINER_HELP}

Exit status: 125 if it cannot be made, 126 if its command cannot be executed, 127 if there is no such command; some
runtimes find that out when it is started.

Examples:
  conmonctl create --name job -- echo hello
  conmonctl start --attach job`;

interface CreateFlags extends ContainerFlags {
  readonly json?: true;
}

export function registerCreate(program: Command): void {
  const command = program
    .command("create")
    .summary("make a container that start has begin")
    .description("Makes a container as run does, does not start it, and prints its ID.");
  addContainerOptions(addContainerArguments(command))
    .option("--json", "print ID, name and pid")
    .addHelpText("after", EXAMPLES)
    .action(async (_bundle: string | undefined, _command: string[], flags: CreateFlags) => {
      const options = containerOptions(command, flags);
      const { id, name, pid } = await interruptible((signal) =>
        create({ ...options, signal, onWarning: warn }),
      );
      if (flags.json) printJson({ id, name, pid });
      else process.stdout.write(`${id}\n`);
    });
}
