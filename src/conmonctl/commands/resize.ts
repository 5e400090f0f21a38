import type { Command } from "commander";
import { findContainer, resizeContainer, State } from "../../containers/mod.ts";
import { parseCount } from "../arguments.ts";

const EXAMPLES = `
Examples:
  conmonctl resize shell 120 40`;

export function registerResize(program: Command): void {
  program
    .command("resize")
    .summary("set the size of a container's terminal")
    .description("Sets the size of a container's terminal, in characters.")
    .argument("<CONTAINER>", "name, ID or beginning of an ID")
    .argument("<COLUMNS>", "width, 0 to 1000", parseCount)
    .argument("<ROWS>", "height, 0 to 1000", parseCount)
    .addHelpText("after", EXAMPLES)
    .action((text: string, columns: number, rows: number) => {
      resizeContainer(findContainer(new State(), text), { rows, columns });
    });
}
