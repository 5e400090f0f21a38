import type { Command } from "commander";
import { findContainer, STOP_TIMEOUT, State, stopContainer } from "../../containers/mod.ts";
import { parseCount } from "../arguments.ts";
import { forEach } from "../several.ts";

const EXAMPLES = `
Examples:
  conmonctl stop web
  conmonctl stop -t 0 web worker`;

export function registerStop(program: Command): void {
  program
    .command("stop")
    .summary("end containers")
    .description(
      "Ends containers: SIGTERM, and SIGKILL if that was not enough. They are not started again.",
    )
    .argument("<CONTAINER...>", "names, IDs or beginnings of IDs")
    .option(
      "-t, --time <SECONDS>",
      "how long they may take to end; 0: kill them at once",
      parseCount,
      STOP_TIMEOUT,
    )
    .option("--json", "print name, ID and exit status of each as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (names: string[], flags: { time: number; json?: true }) => {
      const state = new State();
      await forEach(names, flags, "stopping", async (name) => {
        const container = findContainer(state, name);
        const exitStatus = await stopContainer(state, container, flags.time);
        return { id: container.id, name: container.name, exitStatus };
      });
    });
}
