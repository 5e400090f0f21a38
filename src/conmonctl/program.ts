/** The command line of conmonctl: all its sub-commands. */
import { Command } from "commander";
import { build } from "../conmond/build.ts";
import { registerAttach } from "./commands/attach.ts";
import { registerCompletion, registerInternalComplete } from "./commands/completion.ts";
import { registerDaemon } from "./commands/daemon.ts";
import { registerDoctor } from "./commands/doctor.ts";
import { registerEvents } from "./commands/events.ts";
import { registerExec } from "./commands/exec.ts";
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
import { EXIT, report } from "./failure.ts";
import { watchOutputs } from "./output-faults.ts";

/** Adds one or several sub-commands to the program. Each file in `commands/` exports one. */
export type Registration = (program: Command) => void;

/** In the order of the help. */
const registrations: readonly Registration[] = [
  registerRun,
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
  registerInternalComplete,
];

const EXAMPLES = `
Containers are named by name, ID, or the beginning of an ID. conmonctl COMMAND --help has more of each.

Exit status: 0; 1 if something could not be done; 2 if the command line makes no sense; 3 if there is no such
container; 125 if a container could not be started, 126 if its command cannot be executed, 127 if there is no
such command. run, start --attach, attach and exec end with the status of the container or the command.

Environment: CONMON_TS_STATE names another state directory than /run/conmon-ts or, for ordinary users,
$XDG_RUNTIME_DIR/conmon-ts. NO_COLOR forbids colours.

Examples:
  conmonctl run -it -- bash
  conmonctl run -d --name web -- python3 -m http.server
  conmonctl ps
  conmonctl logs -f web
  conmonctl stop web
  conmonctl rm web`;

/** The program with all its commands; nothing has been parsed yet. Completion and man pages are made from it. */
export function makeProgram(): Command {
  const program = new Command("conmonctl")
    .description("Supervises containers by hand, with the monitor that Podman and CRI-O can use.")
    .version(build.version)
    .enablePositionalOptions()
    .configureOutput({
      outputError: (text, write) => write(text.replace(/^error: /, "conmonctl: ")),
    })
    .exitOverride();
  for (const register of registrations) register(program);
  program.addHelpText("after", EXAMPLES);
  hintAtHelp(program, "conmonctl");
  return program;
}

/** After an error the help of just that command is named. */
function hintAtHelp(command: Command, words: string): void {
  command.showHelpAfterError(`hint: ${words} --help says what there is`);
  for (const each of command.commands) hintAtHelp(each, `${words} ${each.name()}`);
}

/** Runs conmonctl; `argv` begins with the interpreter and the script. Returns the exit status. */
export async function runProgram(argv: readonly string[]): Promise<number> {
  const program = makeProgram();
  watchOutputs();
  try {
    await program.parseAsync(argv);
    return Number(process.exitCode ?? EXIT.ok);
  } catch (error) {
    // commander has said what is wrong, or has shown the help that was asked for.
    if (isCommanderError(error)) return error.exitCode === 0 ? EXIT.ok : EXIT.usage;
    return report(error);
  }
}

function isCommanderError(error: unknown): error is { readonly exitCode: number } {
  return error instanceof Error && "code" in error && String(error.code).startsWith("commander.");
}
