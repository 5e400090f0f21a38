import type { Command } from "commander";
import { findContainer, State, waitForEnd } from "../../containers/mod.ts";
import { Failure } from "../failure.ts";
import { printJson, withProgress } from "../output.ts";

const EXAMPLES = `
A container with a restart policy has ended when it is not started again.

Examples:
  conmonctl wait job
  conmonctl wait job1 job2 --json`;

export function registerWait(program: Command): void {
  program
    .command("wait")
    .summary("wait until containers have ended")
    .description("Waits until containers have ended, and prints the exit status of each.")
    .argument("<CONTAINER...>", "names, IDs or beginnings of IDs")
    .option("--json", "print name, ID and exit status of each as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (names: string[], flags: { json?: true }) => {
      const state = new State();
      const containers = names.map((name) => findContainer(state, name));
      const ends = containers.map(async (container) => {
        const exitStatus = await waitForEnd(state, container);
        return { id: container.id, name: container.name, exitStatus: exitStatus ?? null };
      });
      const results = await withProgress(`waiting for ${names.join(", ")}`, Promise.all(ends));
      if (flags.json) printJson(results);
      else
        for (const { exitStatus } of results) process.stdout.write(`${exitStatus ?? "unknown"}\n`);
      const unknown = results.find(({ exitStatus }) => exitStatus === null);
      if (unknown === undefined) return;
      throw new Failure(`nobody knows how ${unknown.name} ended`, {
        hint: "its monitor was killed, or had no room to write",
      });
    });
}
