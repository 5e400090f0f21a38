import type { Command } from "commander";
import { afterExit, State } from "../../containers/mod.ts";

/** What conmonctl has its monitors run; not for people. */
export function registerInternal(program: Command): void {
  const internal = program.command("internal", { hidden: true });
  internal
    .command("exited")
    .argument("<STATE>")
    .argument("<ID>")
    .argument("[MONITOR]", "the pid of the monitor whose exit command it is", Number)
    .action(async (directory: string, id: string, monitor: number | undefined) => {
      await afterExit(new State(directory), id, monitor);
    });
}
