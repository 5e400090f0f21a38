import type { Command } from "commander";
import { findContainer, reopenLogs, State } from "../../containers/mod.ts";
import { forEach } from "../several.ts";

const EXAMPLES = `
For programs that rotate logs: move the file away, then have it begun anew.

Examples:
  mv web.log web.log.1 && conmonctl reopen-logs web`;

export function registerReopenLogs(program: Command): void {
  program
    .command("reopen-logs")
    .summary("have the log files of containers begun anew")
    .description("Has monitors begin their log files anew.")
    .argument("<CONTAINER...>", "names, IDs or beginnings of IDs")
    .option("--json", "print name and ID of each as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (names: string[], flags: { json?: true }) => {
      const state = new State();
      await forEach(names, flags, "reopening", async (text) => {
        const { id, name, bundle } = findContainer(state, text);
        reopenLogs(bundle);
        return { id, name };
      });
    });
}
