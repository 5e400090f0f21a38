import type { Command } from "commander";
import { findContainer, removeContainer, State } from "../../containers/mod.ts";
import { forEach } from "../several.ts";

const EXAMPLES = `
Its log goes too, unless it was asked to be elsewhere.

Examples:
  conmonctl rm job
  conmonctl rm -f web`;

export function registerRm(program: Command): void {
  program
    .command("rm")
    .alias("remove")
    .summary("remove containers")
    .description(
      "Removes containers that have ended, or have not begun, with all that belongs to them.",
    )
    .argument("<CONTAINER...>", "names, IDs or beginnings of IDs")
    .option("-f, --force", "those that run are killed")
    .option("--json", "print name and ID of each as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (names: string[], flags: { force?: true; json?: true }) => {
      const state = new State();
      await forEach(names, flags, "removing", async (name) => {
        const container = findContainer(state, name);
        await removeContainer(state, container, flags.force === true);
        return { id: container.id, name: container.name };
      });
    });
}
