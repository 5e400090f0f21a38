import type { Command } from "commander";
import { findContainer, State, signalContainer } from "../../containers/mod.ts";
import { forEach } from "../several.ts";

const EXAMPLES = `
A container with a restart policy is started again; stop ends it for good.

Examples:
  conmonctl kill web
  conmonctl kill -s HUP web`;

export function registerKill(program: Command): void {
  program
    .command("kill")
    .summary("send containers a signal")
    .description("Sends a signal to the first processes of containers.")
    .argument("<CONTAINER...>", "names, IDs or beginnings of IDs")
    .option("-s, --signal <SIGNAL>", "name, with or without SIG, or number", "KILL")
    .option("--json", "print name and ID of each as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (names: string[], flags: { signal: string; json?: true }) => {
      const state = new State();
      await forEach(names, flags, "signalling", async (name) => {
        const container = findContainer(state, name);
        await signalContainer(state, container, flags.signal);
        return { id: container.id, name: container.name };
      });
    });
}
