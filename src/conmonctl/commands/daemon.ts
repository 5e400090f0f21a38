/** `conmonctl daemon`: the shared conmond. */
import { join } from "node:path";
import { type Command, Option } from "commander";
import { type DaemonOptions, daemonArguments, successorArguments } from "../../daemon/arguments.ts";
import { chosenSocket } from "../../daemon/socket-places.ts";
import type { DaemonStatus } from "../../daemon/status.ts";
import { ownInstallation } from "../../programs/installation.ts";
import { LEVELS } from "../../session/own-messages.ts";
import { EXIT, Failure } from "../failure.ts";
import { printJson } from "../json.ts";
import { type Paint, paintFor } from "../paint.ts";
import { stateDirectory } from "../state-directory.ts";

/** Of any of the commands. */
interface Options extends DaemonOptions {
  readonly socket?: string;
  readonly log?: string;
  readonly timeout?: string;
  readonly json?: true;
}

export function registerDaemon(program: Command): void {
  const daemon = program
    .command("daemon")
    .summary("look at the shared conmond, start, stop or replace it")
    .description("Looks after the conmond that many containers share.")
    .addHelpText(
      "after",
      "\nExamples:\n  conmonctl daemon start\n  conmonctl daemon status\n  conmonctl daemon restart",
    );

  common(daemon.command("status"))
    .summary("show whether it runs and answers")
    .description("Shows whether it runs and answers, its version, sessions and memory.")
    .addHelpText(
      "after",
      "\nExit status: 0 it runs and answers; 1 it hangs; 3 there is none.\n\nExamples:\n  conmonctl daemon status\n  conmonctl daemon status --json | jq .sessions",
    )
    .action(showStatus);

  startOptions(common(daemon.command("start")))
    .summary("start one in the background")
    .description("Starts one that goes on in the background, unless one runs already.")
    .addHelpText(
      "after",
      "\nUnder systemd use its units instead.\n\nExamples:\n  conmonctl daemon start\n  conmonctl daemon start --idle-exit 300 --log-level debug",
    )
    .action(start);

  common(daemon.command("stop"))
    .summary("end it")
    .description("Ends it. Its containers run on, each with a conmond of its own.")
    .addOption(
      new Option("--timeout <SECONDS>", "how long it may take").default("10").argParser(seconds),
    )
    .addHelpText("after", "\nExamples:\n  conmonctl daemon stop")
    .action(stop);

  startOptions(common(daemon.command("restart")))
    .summary("have another one take its place")
    .description("Starts another one in its place, to which it hands all containers over.")
    .addHelpText(
      "after",
      "\nOptions that are not given stay as they are. No container is touched, and nothing is lost.\n\nExamples:\n  conmonctl daemon restart\n  conmonctl daemon restart --log-level debug",
    )
    .action(restart);
}

function common(command: Command): Command {
  return command
    .option(
      "--socket <PATH>",
      "its socket (default: $CONMOND_SOCKET, $XDG_RUNTIME_DIR/conmond/conmond.sock, or as root /run/conmond/conmond.sock)",
    )
    .option("--json", "print JSON");
}

function startOptions(command: Command): Command {
  return command
    .option("--log <FILE>", "where its log goes (default: conmond.log in the state directory)")
    .addOption(new Option("--log-level <LEVEL>", "what it logs").choices([...LEVELS]))
    .option("--idle-exit <SECONDS>", "have it end when there was no container for so long")
    .option("--max-sessions <NUMBER>", "how many containers it takes");
}

/** The text is kept, since it is only checked. */
function seconds(text: string): string {
  if (/^\d+(\.\d+)?$/.test(text)) return text;
  throw new Failure(`--timeout is ${text}, which is no number of seconds`, { status: EXIT.usage });
}

/** These need the native addon, which `--help` can do without. */
async function parts() {
  const [status, lifecycle] = await Promise.all([
    import("../../daemon/status.ts"),
    import("../../daemon/lifecycle.ts"),
  ]);
  return { ...status, ...lifecycle };
}

async function statusOf(socket: string): Promise<DaemonStatus> {
  const { daemonStatus } = await parts();
  try {
    return await daemonStatus(socket);
  } catch (error) {
    throw new Failure(`cannot connect to ${socket}: ${(error as Error).message}`, { cause: error });
  }
}

async function showStatus(options: Options): Promise<void> {
  const status = await statusOf(chosenSocket(options.socket, process.env));
  if (options.json) printJson(status);
  else process.stdout.write(describe(status, paintFor(process.stdout)));
  if (status.state === "hangs") process.exitCode = EXIT.failed;
  if (status.state === "stopped") process.exitCode = EXIT.notFound;
}

async function start(options: Options): Promise<void> {
  const socket = chosenSocket(options.socket, process.env);
  const before = await statusOf(socket);
  if (before.state === "hangs") {
    throw new Failure(`a conmond that does not answer has ${socket}`, {
      hint: "conmonctl daemon restart takes its place",
    });
  }
  if (before.state === "running") {
    return tell(
      options,
      { ...before, started: false },
      `conmond runs already, process ${before.pid}`,
    );
  }
  const pid = await launch(options, socket, daemonArguments(options));
  tell(options, { socket, pid, started: true }, `conmond runs, process ${pid}`);
}

async function restart(options: Options): Promise<void> {
  const socket = chosenSocket(options.socket, process.env);
  const before = await statusOf(socket);
  refuseUnit(before, "restart");
  if (before.state === "stopped") {
    const pid = await launch(options, socket, daemonArguments(options));
    return tell(options, { socket, pid }, `no conmond was there: one runs now, process ${pid}`);
  }
  const args = successorArguments(before.commandLine ?? [], options);
  const pid = await launch(options, socket, [...args, "--replace"]);
  tell(
    options,
    { socket, pid, replacedPid: before.pid, sessions: before.sessions },
    `conmond runs, process ${pid}, in the place of process ${before.pid}, with ${count(before.sessions)}`,
  );
}

async function stop(options: Options): Promise<void> {
  const socket = chosenSocket(options.socket, process.env);
  const before = await statusOf(socket);
  refuseUnit(before, "stop");
  const { stopDaemon } = await parts();
  if (before.pid === undefined && before.state === "hangs") {
    throw new Failure(`the conmond at ${socket} does not answer, and its process is not known`);
  }
  if (before.pid === undefined) {
    return tell(options, { socket, stopped: false }, `there is no conmond at ${socket}`);
  }
  const { pid, sessions } = before;
  const stopped = await stopDaemon(pid, Number(options.timeout ?? 10) * 1000);
  const goOn = sessions ? `; ${count(sessions)} go on, each with a conmond of its own` : "";
  tell(options, { socket, pid, stopped, sessions }, `conmond, process ${pid}, has ended${goOn}`);
}

/** systemd starts it anew, or has its socket. */
function refuseUnit({ unit, isUserUnit }: DaemonStatus, verb: string): void {
  if (unit === undefined) return;
  throw new Failure(`this conmond is systemd's ${unit}`, {
    hint: `run systemctl ${isUserUnit ? "--user " : ""}${verb} ${unit}`,
  });
}

async function launch(options: Options, socket: string, args: readonly string[]): Promise<number> {
  const { startDaemon } = await parts();
  const log = options.log ?? defaultLog();
  return await startDaemon({ socket, arguments: args, log }, ownInstallation());
}

function defaultLog(): string {
  const directory = stateDirectory(process.env);
  if (directory !== undefined) return join(directory, "conmond.log");
  throw new Failure("XDG_RUNTIME_DIR is not set, so that there is no place for conmond's log", {
    hint: "name it with --log FILE",
  });
}

function tell(options: Options, data: unknown, text: string): void {
  if (options.json) printJson(data);
  else process.stdout.write(`${text}\n`);
}

function count(sessions: number | undefined): string {
  if (sessions === undefined) return "sessions that could not be counted";
  return sessions === 1 ? "1 session" : `${sessions} sessions`;
}

function describe(status: DaemonStatus, paint: Paint): string {
  if (status.state === "stopped") return `There is no conmond at ${status.socket}.\n`;
  const rows = {
    state: status.state === "running" ? paint.green("running") : paint.red("does not answer"),
    socket: status.socket,
    pid: status.pid,
    version: versionInWords(status, paint),
    uptime: status.uptimeSeconds === undefined ? undefined : duration(status.uptimeSeconds),
    sessions: status.sessions,
    memory: memoryInWords(status),
    answer: status.answerMilliseconds === undefined ? undefined : `${status.answerMilliseconds} ms`,
    unit: status.unit,
  };
  return Object.entries(rows)
    .filter(([, value]) => value !== undefined)
    .map(([name, value]) => `${name.padEnd(10)}${value}\n`)
    .join("");
}

function versionInWords({ version, outdated }: DaemonStatus, paint: Paint): string | undefined {
  if (!outdated) return version;
  const note = "its files are newer than the process: conmonctl daemon restart";
  return `${version ?? "unknown"} ${paint.yellow(`(${note})`)}`;
}

function memoryInWords({ residentBytes, privateBytes }: DaemonStatus): string | undefined {
  if (residentBytes === undefined) return undefined;
  const mebibytes = (bytes: number) => `${(bytes / 1024 / 1024).toFixed(1)} MiB`;
  const own = privateBytes === undefined ? "" : `, ${mebibytes(privateBytes)} of it private`;
  return `${mebibytes(residentBytes)}${own}`;
}

/** Such as `3 d 4 h` or `25 s`: the two largest units. */
export function duration(seconds: number): string {
  const units = [
    [86_400, "d"],
    [3600, "h"],
    [60, "min"],
    [1, "s"],
  ] as const;
  const parts: string[] = [];
  let rest = seconds;
  for (const [size, name] of units) {
    const number = Math.floor(rest / size);
    if (number > 0) parts.push(`${number} ${name}`);
    rest -= number * size;
  }
  return parts.slice(0, 2).join(" ") || "0 s";
}
