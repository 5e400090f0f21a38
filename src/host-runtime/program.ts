/** The command line of the runtime, from the arguments to the exit status. */
import { readFileSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import { build } from "../conmond/build.ts";
import type { Command } from "./command.ts";
import { type Options, type Parsed, parseOptions } from "./command-line.ts";
import { commands, globalOptions, refusedCommands } from "./command-table.ts";
import { Failure, messageOf } from "./failure.ts";
import { Log } from "./log.ts";
import { defaultRoot, OCI_VERSION, Store } from "./store.ts";

/** Runs the program with the arguments after its name. Returns the exit status. */
export async function runProgram(args: readonly string[]): Promise<number> {
  // Until the options are known, there is only stderr.
  let log = new Log({ file: undefined, format: "text", debug: false });
  let command: Command | undefined;
  try {
    const { options, rest } = parseOptions(args, globalOptions);
    if (options.flag("version")) return print(versionText());
    log = makeLog(options);
    const [name, ...commandArgs] = rest;
    if (options.flag("help") || name === undefined || name === "help") return await showHelp();
    command = findCommand(name);
    return await runCommand(command, commandArgs, options, log);
  } catch (error) {
    log.error(`${command?.failurePrefix ?? ""}${messageOf(error)}`);
    if (!(error instanceof Failure) && error instanceof Error) log.debug(error.stack ?? "");
    return error instanceof Failure && error.status !== 1
      ? error.status
      : (command?.failureStatus ?? 1);
  }
}

async function runCommand(
  command: Command,
  args: readonly string[],
  global: Options,
  log: Log,
): Promise<number> {
  if (args.includes("--help") || args.includes("-h")) {
    const helpWanted = parseOptions(args, [...command.options, HELP]).options.flag("help");
    if (helpWanted) return print((await import("./help.ts")).commandHelp(command));
  }
  const parsed = parseOptions(args, command.options);
  checkCount(command, parsed);
  const action = await command.load();
  const store = new Store(rootFrom(global));
  return await action({ options: parsed.options, args: parsed.rest, log, store });
}

const HELP = { name: "help", short: "h", about: "" };

async function showHelp(): Promise<number> {
  return print((await import("./help.ts")).programHelp());
}

function findCommand(name: string): Command {
  const command = commands.find((one) => one.name === name);
  if (command !== undefined) return command;
  const reason = refusedCommands[name];
  if (reason === undefined) throw new Failure(`there is no command ${JSON.stringify(name)}`);
  throw new Failure(`the host runtime has no ${name}: ${reason}`);
}

function checkCount({ name, arguments: { least, most } }: Command, { rest }: Parsed): void {
  if (rest.length >= least && rest.length <= most) return;
  const count = least === most ? `exactly ${least}` : `${least} to ${most}`;
  const wanted = most === Number.POSITIVE_INFINITY ? `at least ${least}` : count;
  throw new Failure(`${JSON.stringify(name)} requires ${wanted} argument(s), got ${rest.length}`);
}

function makeLog(options: Options): Log {
  const format = options.text("log-format") ?? "text";
  if (format !== "text" && format !== "json") {
    throw new Failure(`invalid log format ${JSON.stringify(format)}: text or json`);
  }
  return new Log({ file: options.text("log"), format, debug: options.flag("debug") });
}

function rootFrom(options: Options): string {
  const given = options.text("root");
  if (given) return resolve(given);
  const uidMap = readFileSync("/proc/self/uid_map", "utf8");
  return defaultRoot(process.geteuid?.() ?? 0, uidMap, process.env.XDG_RUNTIME_DIR);
}

function versionText(): string {
  const lines = [`version ${build.version}`, `commit: ${build.commit}`, `spec: ${OCI_VERSION}`];
  return `conmon-host-runtime ${lines.join("\n")}\n`;
}

function print(text: string): number {
  writeFileSync(1, text);
  return 0;
}
