import type { Command } from "commander";
import { type ContainerEvent, findContainer, readEvents, State } from "../../containers/mod.ts";
import { parseDate } from "../arguments.ts";
import { printable, printJsonLine } from "../output.ts";
import { type Paint, paintFor } from "../paint.ts";
import { untilEnough } from "../streams.ts";

const EXAMPLES = `
Events are: create, start, exit, oom, restart, stop, kill, exec, attach, detach, remove.

Examples:
  conmonctl events
  conmonctl events --since 1h --no-follow
  conmonctl events --json | jq -r 'select(.type == "exit") | "\\(.name) \\(.status)"'`;

interface EventFlags {
  readonly since?: Date;
  readonly until?: Date;
  readonly follow: boolean;
  readonly json?: true;
}

export function registerEvents(program: Command): void {
  program
    .command("events")
    .summary("show what happens to containers")
    .description("Shows what happens to containers that were started by conmonctl, as it happens.")
    .argument("[CONTAINER]", "only this one's")
    .option(
      "--since <TIME>",
      "also what has happened since then: a time, or how long ago: 10m (default: from now on)",
      parseDate,
    )
    .option("--until <TIME>", "no longer than that", parseDate)
    .option("--no-follow", "only what has happened")
    .option("--json", "a JSON object for each event")
    .addHelpText("after", EXAMPLES)
    .action(async (name: string | undefined, flags: EventFlags) => {
      await printEvents(name, flags);
    });
}

async function printEvents(name: string | undefined, flags: EventFlags): Promise<void> {
  const state = new State();
  const events = readEvents(state, {
    follow: flags.follow,
    signal: untilEnough(),
    ...(flags.since === undefined ? {} : { since: flags.since }),
    ...(flags.until === undefined ? {} : { until: flags.until }),
    ...(name === undefined ? {} : { id: findContainer(state, name).id }),
  });
  const paint = paintFor(process.stdout);
  for await (const event of events) {
    if (flags.json) printJsonLine(event);
    else process.stdout.write(`${describe(event, paint)}\n`);
  }
}

function describe(event: ContainerEvent, paint: Paint): string {
  const { time, type, id, name, ...rest } = event;
  const details = Object.entries(rest).map(([key, value]) => {
    return `${key}=${Array.isArray(value) ? value.join(" ") : value}`;
  });
  const words = [type.padEnd(7), id.slice(0, 12), name, ...details];
  return `${paint.dim(time)} ${printable(words.join(" "))}`;
}
