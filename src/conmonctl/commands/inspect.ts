import type { Command } from "commander";
import { findContainer, inspectContainer, State } from "../../containers/mod.ts";
import { printJson } from "../output.ts";

const EXAMPLES = `
What is printed is always JSON: an array with an object for each container.

Examples:
  conmonctl inspect web
  conmonctl inspect web | jq -r '.[0].configuration.process.env[]'`;

export function registerInspect(program: Command): void {
  program
    .command("inspect")
    .summary("print all that is known of containers")
    .description("Prints all that is known of containers, with the configuration of their bundles.")
    .argument("<CONTAINER...>", "names, IDs or beginnings of IDs")
    .option("--json", "as always")
    .addHelpText("after", EXAMPLES)
    .action((names: string[]) => {
      const state = new State();
      printJson(names.map((name) => inspectContainer(findContainer(state, name))));
    });
}
