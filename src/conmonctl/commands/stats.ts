import type { Command } from "commander";
import {
  type Container,
  type ContainerStats,
  findContainer,
  listContainers,
  State,
  watchStats,
} from "../../containers/mod.ts";
import { parsePositive } from "../arguments.ts";
import {
  type Column,
  cutLines,
  formatBytes,
  formatTable,
  printJson,
  printJsonLine,
} from "../output.ts";
import { untilEnough } from "../streams.ts";

const EXAMPLES = `
CPU is in percent of one processor. OUTPUT/S is what a container writes, LINES/S what of it was logged,
DROPPED what is missing in its logs; these are counted by the monitor, and one read behind.

Examples:
  conmonctl stats
  conmonctl stats --no-stream web
  conmonctl stats --json | jq -r '"\\(.name) \\(.cpuPercent)"'`;

interface StatsFlags {
  readonly stream: boolean;
  readonly interval: number;
  readonly json?: true;
}

export function registerStats(program: Command): void {
  program
    .command("stats")
    .alias("top")
    .summary("show what containers use, live")
    .description(
      "Shows what containers use: processor, memory, output, clients. All that run, or these.",
    )
    .argument("[CONTAINER...]", "names, IDs or beginnings of IDs")
    .option("--no-stream", "once only")
    .option("--interval <SECONDS>", "how often", parsePositive, 1)
    .option("--json", "a JSON object for each container and interval; with --no-stream an array")
    .addHelpText("after", EXAMPLES)
    .action(async (names: string[], flags: StatsFlags) => {
      await showStats(names, flags);
    });
}

async function showStats(names: readonly string[], flags: StatsFlags): Promise<void> {
  const state = new State();
  const select = (): Container[] =>
    names.length > 0 ? names.map((name) => findContainer(state, name)) : listRunning(state);
  for await (const stats of watchStats(select, flags.interval * 1000, untilEnough())) {
    show(stats, flags);
    if (!flags.stream) return;
  }
}

function show(stats: readonly ContainerStats[], flags: StatsFlags): void {
  if (flags.json && !flags.stream) printJson(stats);
  else if (flags.json) stats.forEach(printJsonLine);
  else if (flags.stream && process.stdout.isTTY) redraw(formatTable(COLUMNS, stats));
  else process.stdout.write(`${formatTable(COLUMNS, stats)}\n`);
}

/** Of records that cannot be read `ps` tells. */
function listRunning(state: State): Container[] {
  return listContainers(state, () => {}).filter((container) => container.state === "running");
}

/** From the top of the screen, each line over the one before: nothing flickers. */
function redraw(table: string): void {
  const rows = (process.stdout.rows ?? 25) - 1;
  // A line that goes on below would be one too many.
  const lines = cutLines(table).split("\n").slice(0, rows);
  process.stdout.write(`\x1b[H${lines.map((line) => `${line}\x1b[K\n`).join("")}\x1b[J`);
}

const COLUMNS: readonly Column<ContainerStats>[] = [
  { title: "ID", value: ({ id }) => id.slice(0, 12) },
  { title: "NAME", value: ({ name }) => name },
  {
    title: "CPU",
    value: ({ cpuPercent }) => orDash(cpuPercent, (cpu) => `${cpu.toFixed(1)} %`),
    right: true,
  },
  { title: "MEMORY", value: ({ usage }) => orDash(usage?.memory, formatBytes), right: true },
  { title: "LIMIT", value: ({ usage }) => orDash(usage?.memoryLimit, formatBytes), right: true },
  { title: "PIDS", value: ({ usage }) => orDash(usage?.processes, String), right: true },
  {
    title: "OUTPUT/S",
    value: ({ bytesPerSecond }) => orDash(bytesPerSecond, formatBytes),
    right: true,
  },
  {
    title: "LINES/S",
    value: ({ recordsPerSecond }) =>
      orDash(recordsPerSecond, (rate) => rate.toFixed(rate < 10 ? 1 : 0)),
    right: true,
  },
  {
    title: "DROPPED",
    value: ({ output }) => orDash(output?.droppedBytes, formatBytes),
    colour: ({ output }) => ((output?.droppedBytes ?? 0) > 0 ? "red" : undefined),
    right: true,
  },
  { title: "CLIENTS", value: ({ output }) => orDash(output?.clients, String), right: true },
];

function orDash(value: number | null | undefined, format: (value: number) => string): string {
  return value === null || value === undefined ? "-" : format(value);
}
