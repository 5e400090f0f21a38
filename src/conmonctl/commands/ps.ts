import type { Command } from "commander";
import { type Container, listContainers, State } from "../../containers/mod.ts";
import { report } from "../failure.ts";
import { type Column, cutLines, formatAge, formatTable, printJson } from "../output.ts";

const EXAMPLES = `
Containers that Podman or CRI-O have started under our conmon are shown as long as they run.

Examples:
  conmonctl ps
  conmonctl ps -a --json | jq -r '.[] | select(.exitStatus > 0) | .name'`;

export function registerPs(program: Command): void {
  program
    .command("ps")
    .alias("list")
    .summary("show containers")
    .description("Shows the containers that run, whoever has started them.")
    .option("-a, --all", "also those that have ended")
    .option("-q, --quiet", "IDs only")
    .option("--no-trunc", "whole IDs and commands")
    .option("--json", "all that is known, as JSON")
    .addHelpText("after", EXAMPLES)
    .action((flags: { all?: true; quiet?: true; trunc: boolean; json?: true }) => {
      const shown = listContainers(new State(), reportFault).filter(
        ({ state }) => flags.all || state === "running" || state === "restarting",
      );
      if (flags.json) printJson(shown);
      else if (flags.quiet) printIds(shown, flags.trunc);
      else printTable(shown, flags.trunc);
    });
}

/** The others are shown all the same. */
function reportFault(fault: Error): void {
  process.exitCode = report(fault);
}

function printTable(containers: readonly Container[], short: boolean): void {
  const table = formatTable(columns(short), containers);
  process.stdout.write(`${short ? cutLines(table) : table}\n`);
}

function printIds(containers: readonly Container[], short: boolean): void {
  for (const { id } of containers) process.stdout.write(`${short ? id.slice(0, 12) : id}\n`);
}

function columns(short: boolean): Column<Container>[] {
  return [
    { title: "ID", value: ({ id }) => (short ? id.slice(0, 12) : id) },
    { title: "NAME", value: ({ name }) => name },
    { title: "STATE", value: describeState, colour: ({ state }) => COLOURS[state] },
    { title: "PID", value: ({ pid }) => (pid === null ? "" : String(pid)), right: true },
    { title: "CREATED", value: ({ created }) => age(created) },
    { title: "OWNER", value: ({ owner }) => owner },
    { title: "COMMAND", value: ({ command }) => describeCommand(command, short) },
  ];
}

const COLOURS = {
  created: "cyan",
  running: "green",
  restarting: "yellow",
  exited: "dim",
  lost: "red",
} as const;

function describeState(container: Container): string {
  const { state, started, ended, exitStatus, next, outOfMemory } = container;
  switch (state) {
    case "running":
      return started === null ? "running" : `running ${age(started, "")}`;
    case "exited":
      return `exited (${exitStatus})${outOfMemory ? ", out of memory" : ""} ${age(ended)}`;
    case "restarting":
      return next === null ? "restarting" : `restarting (${exitStatus})`;
    default:
      return state;
  }
}

function age(time: string | null, suffix = " ago"): string {
  return time === null ? "" : `${formatAge(Date.now() - Date.parse(time))}${suffix}`;
}

function describeCommand(command: readonly string[] | null, short: boolean): string {
  const text = command?.join(" ") ?? "";
  return short && text.length > 40 ? `${text.slice(0, 39)}…` : text;
}
