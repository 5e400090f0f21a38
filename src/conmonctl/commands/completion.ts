/** `conmonctl completion`: what shells need to complete command lines of conmonctl, and what they ask then. */
import { Argument, type Command } from "commander";
import { bashScript } from "../../completion/bash.ts";
import { knownContainers } from "../../completion/containers.ts";
import { fishScript } from "../../completion/fish.ts";
import { completedCommand } from "../../completion/model.ts";
import { zshScript } from "../../completion/zsh.ts";
import { type Container, listContainers } from "../../containers/mod.ts";

const SCRIPTS = { bash: bashScript, zsh: zshScript, fish: fishScript } as const;

const EXAMPLES = `
Examples:
  source <(conmonctl completion bash)
      in ~/.bashrc
  conmonctl completion zsh > ~/.zfunc/_conmonctl
      with fpath+=~/.zfunc before compinit in ~/.zshrc
  conmonctl completion fish > ~/.config/fish/completions/conmonctl.fish`;

export function registerCompletion(program: Command): void {
  program
    .command("completion")
    .summary("print a script that has a shell complete command lines")
    .description(
      "Prints a script that has a shell complete commands, options and names of containers.",
    )
    .addArgument(new Argument("<SHELL>", "which one").choices(Object.keys(SCRIPTS)))
    .addHelpText("after", EXAMPLES)
    .action((shell: keyof typeof SCRIPTS) => {
      process.stdout.write(SCRIPTS[shell](completedCommand(program)));
    });
}

/** What the scripts ask for when it is needed. */
export function registerInternalComplete(program: Command): void {
  const internal =
    program.commands.find((command) => command.name() === "internal") ??
    program.command("internal", { hidden: true });
  internal
    .command("complete")
    .addArgument(new Argument("<KIND>").choices(["containers"]))
    .option("--plain", "words only, one a line")
    .option("--tabs", "a tab before the description, instead of a colon")
    .action((_kind: string, options: { plain?: true; tabs?: true }) => {
      const separator = options.tabs ? "\t" : ":";
      const lines = knownContainers(containersIfAny()).map(({ word, description }) =>
        options.plain || description === "" ? word : `${word}${separator}${description}`,
      );
      process.stdout.write(lines.map((line) => `${line}\n`).join(""));
    });
}

/** Whoever is in the middle of a command line has no use for an error message: the command itself will say it. */
function containersIfAny(): Container[] {
  try {
    return listContainers(undefined, () => {});
  } catch {
    return [];
  }
}
