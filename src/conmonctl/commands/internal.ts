import type { Command } from "commander";
import { afterExit, State } from "../../containers/mod.ts";

/** What conmonctl has its monitors run; not for people. */
export function registerInternal(program: Command): void {
  const internal = program.command("internal", { hidden: true });
  internal
    .command("exited")
    .argument("<STATE>")
    .argument("<ID>")
    .action(async (directory: string, id: string) => {
      await afterExit(new State(directory), id);
    });
}
