import type { Command } from "commander";
import { type Container, pruneContainers, State } from "../../containers/mod.ts";
import { Progress, printJson } from "../output.ts";

const EXAMPLES = `
Examples:
  conmonctl prune
  conmonctl prune --json | jq length`;

export function registerPrune(program: Command): void {
  program
    .command("prune")
    .summary("remove all containers that have ended")
    .description(
      "Removes all containers that have ended, and what was left by commands that were killed.",
    )
    .option("--json", "print name and ID of each as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (flags: { json?: true }) => {
      const progress = new Progress("removing");
      const removed: Container[] = [];
      try {
        await pruneContainers(new State(), (container) => {
          removed.push(container);
          progress.update(`removed ${container.name}`);
        });
      } finally {
        progress.end();
        // What was done is told, whatever could not be done.
        printRemoved(removed, flags);
      }
    });
}

function printRemoved(removed: readonly Container[], flags: { readonly json?: true }): void {
  if (flags.json) printJson(removed.map(({ id, name }) => ({ id, name })));
  else for (const { name } of removed) process.stdout.write(`${name}\n`);
}
