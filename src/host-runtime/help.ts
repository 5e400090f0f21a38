/** `--help`. */
import type { Command } from "./command.ts";
import type { OptionSpec } from "./command-line.ts";
import { commands, globalOptions } from "./command-table.ts";

const WARNING = `It isolates NOTHING: processes run on the host as they are, see all its files and processes, and have
all rights of their user. It is for supervising plain processes where there is no container runtime.`;

/** The help of the program as a whole. */
export function programHelp(): string {
  return [
    "Usage: conmon-host-runtime [OPTIONS] COMMAND [OPTIONS] [ARGUMENTS]",
    "",
    "The OCI runtime `host`, with the command line of runc.",
    "",
    WARNING,
    "",
    "Commands:",
    ...columns(commands.map(({ name, usage, about }) => [`${name} ${usage}`, about])),
    "",
    ...describe(globalOptions),
  ].join("\n");
}

/** The help of a command. */
export function commandHelp({ name, usage, about, options }: Command): string {
  const hint = options.length > 0 ? " [OPTIONS]" : "";
  return [
    `Usage: conmon-host-runtime [OPTIONS] ${name}${hint}${usage ? ` ${usage}` : ""}`,
    "",
    about,
    ...(options.length > 0 ? ["", ...describe(options)] : []),
    "",
  ].join("\n");
}

function describe(options: readonly OptionSpec[]): string[] {
  const lines = options.map(({ name, short, value, about }): [string, string] => [
    `${short === undefined ? "" : `-${short}, `}--${name}${value === undefined ? "" : ` ${value}`}`,
    about,
  ]);
  return ["Options:", ...columns(lines), ""];
}

function columns(lines: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...lines.map(([left]) => left.length));
  return lines.map(([left, right]) => `  ${left.padEnd(width)}  ${right}`);
}
