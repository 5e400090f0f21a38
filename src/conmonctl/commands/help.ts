import type { Command } from "commander";
import { EXIT, Failure } from "../failure.ts";

/** In place of commander's own, which says nothing of a command that there is not. */
export function registerHelp(program: Command): void {
  program
    .helpCommand(false)
    .command("help")
    .summary("show the help of a command")
    .description("Shows the help of a command, as COMMAND --help does.")
    .argument("[COMMAND...]", "such as run, or daemon stop")
    .action((words: string[]) => {
      let command = program;
      for (const word of words) command = commandBelow(command, word);
      command.outputHelp();
    });
}

function commandBelow(command: Command, word: string): Command {
  const found = command.commands.find(
    (child) => child.name() === word || child.aliases().includes(word),
  );
  if (found !== undefined) return found;
  throw new Failure(`help: there is no command ${word}`, {
    status: EXIT.usage,
    hint: "conmonctl --help has them all",
  });
}
