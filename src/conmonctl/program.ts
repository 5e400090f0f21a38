/** The command line of conmonctl: all its sub-commands. */
import { isUtf8 } from "node:buffer";
import { readFileSync } from "node:fs";
import { Command } from "commander";
import { build } from "../conmond/build.ts";
import { registerAttach } from "./commands/attach.ts";
import { registerCompletion, registerInternalComplete } from "./commands/completion.ts";
import { registerCreate } from "./commands/create.ts";
import { registerDaemon } from "./commands/daemon.ts";
import { registerDoctor } from "./commands/doctor.ts";
import { registerEvents } from "./commands/events.ts";
import { registerExec } from "./commands/exec.ts";
import { registerHelp } from "./commands/help.ts";
import { registerInspect } from "./commands/inspect.ts";
import { registerInternal } from "./commands/internal.ts";
import { registerKill } from "./commands/kill.ts";
import { registerLogs } from "./commands/logs.ts";
import { registerPrune } from "./commands/prune.ts";
import { registerPs } from "./commands/ps.ts";
import { registerReopenLogs } from "./commands/reopen-logs.ts";
import { registerResize } from "./commands/resize.ts";
import { registerRm } from "./commands/rm.ts";
import { registerRun } from "./commands/run.ts";
import { registerSetup } from "./commands/setup.ts";
import { registerStart } from "./commands/start.ts";
import { registerStats } from "./commands/stats.ts";
import { registerStop } from "./commands/stop.ts";
import { registerWait } from "./commands/wait.ts";
import { EXIT, EXIT_MEANINGS, Failure, report } from "./failure.ts";
import { JSON_OUTPUT, jsonHelp } from "./json-output.ts";
import { printable } from "./output.ts";
import { watchOutputs } from "./output-faults.ts";

/** Adds one or several sub-commands to the program. Each file in `commands/` exports one. */
export type Registration = (program: Command) => void;

/** In the order of the help. */
const registrations: readonly Registration[] = [
  registerRun,
  registerCreate,
  registerStart,
  registerPs,
  registerLogs,
  registerAttach,
  registerExec,
  registerStop,
  registerKill,
  registerWait,
  registerRm,
  registerInspect,
  registerEvents,
  registerStats,
  registerResize,
  registerReopenLogs,
  registerPrune,
  registerInternal,
  registerSetup,
  registerDaemon,
  registerDoctor,
  registerCompletion,
  registerHelp,
  registerInternalComplete,
];

/** What is said below the commands. */
function help(): string {
  return `
Containers are named by name, ID, or the beginning of an ID. conmonctl COMMAND --help has more of each.

${exitStatusHelp()}

Environment: CONMON_TS_STATE names another state directory than /run/conmon-ts or, for ordinary users,
$XDG_RUNTIME_DIR/conmon-ts. NO_COLOR forbids colours.

Examples:
  conmonctl run -it -- bash
  conmonctl run -d --name web -- python3 -m http.server
  conmonctl ps
  conmonctl logs -f web
  conmonctl stop web
  conmonctl rm web`;
}

/** The program with all its commands; nothing has been parsed yet. Completion and man pages are made from it. */
export function makeProgram(): Command {
  const program = new Command("conmonctl")
    .description("Supervises containers by hand, with the monitor that Podman and CRI-O can use.")
    .version(build.version)
    .enablePositionalOptions()
    .exitOverride()
    .addHelpText("after", help());
  for (const register of registrations) register(program);
  for (const command of withDescendants(program)) {
    const json = JSON_OUTPUT[nameOf(command).replace(/^conmonctl /, "")];
    if (json !== undefined) command.addHelpText("after", jsonHelp(json));
    command.configureOutput({
      outputError: (text, write) => write(usageError(text, command)),
    });
  }
  return program;
}

function exitStatusHelp(): string {
  const rows = EXIT_MEANINGS.map(([status, text]) => `  ${String(status).padEnd(3)}  ${text}`);
  return `Exit status: commands that wait for a container, or a process in it, end with its own.\n${rows.join("\n")}`;
}

function withDescendants(command: Command): Command[] {
  return [command, ...command.commands.flatMap(withDescendants)];
}

/** What commander says, in the form of all our errors: a line, and a line with a hint. */
function usageError(text: string, command: Command): string {
  const [message = "", guess = ""] = text
    .replace(/^error: (?:command-argument value )?/, "")
    .split("\n");
  const meant = /^\(Did you mean (.*)\?\)$/.exec(guess)?.[1];
  const hint =
    meant === undefined ? `${nameOf(command)} --help says what there is` : `did you mean ${meant}?`;
  return `conmonctl: ${printable(message)}\nhint: ${printable(hint)}\n`;
}

/** With the commands that it belongs to: `conmonctl daemon stop`. */
function nameOf(command: Command): string {
  const { parent } = command;
  return parent === null ? command.name() : `${nameOf(parent)} ${command.name()}`;
}

/** Runs conmonctl; `argv` begins with the interpreter and the script. Returns the exit status. */
export async function runProgram(argv: readonly string[]): Promise<number> {
  const program = makeProgram();
  watchOutputs();
  try {
    checkBytes();
    await program.parseAsync(argv);
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    // commander has said what is wrong, or has shown the help that was asked for.
    if (isCommanderError(error)) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return report(error);
  }
}

/** Node.js has made other characters of what is no UTF-8: better nothing is done than something else. */
function checkBytes(): void {
  const words = readFileSync("/proc/self/cmdline");
  if (isUtf8(words)) return;
  throw new Failure("the command line has bytes that are no UTF-8", {
    status: EXIT.usage,
    hint: "they would become others: put them into a file, or have a shell in the container make them",
  });
}

function isCommanderError(error: unknown): error is { readonly exitCode: number } {
  return error instanceof Error && "code" in error && String(error.code).startsWith("commander.");
}
