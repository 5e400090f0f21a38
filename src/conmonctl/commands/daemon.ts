/** `conmonctl daemon`: the shared conmond. */
import { type Command, Option } from "commander";
import type { StartOptions } from "../../daemon/shared.ts";
import { possibleSockets } from "../../daemon/socket-places.ts";
import type { DaemonStatus } from "../../daemon/status.ts";
import { LEVELS } from "../../session/own-messages.ts";
import { parsePositive } from "../arguments.ts";
import { EXIT } from "../failure.ts";
import { formatBytes, printJson } from "../output.ts";
import { type Paint, paintFor } from "../paint.ts";

/** Of any of the commands. */
interface Options extends StartOptions {
  readonly timeout?: number;
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
      "\nUnder systemd use its units instead. Podman that runs as root looks at /run/conmond/conmond.sock only, unless\nsetup podman --conmond has told it another socket.\n\nExamples:\n  conmonctl daemon start\n  conmonctl daemon start --idle-exit 300 --log-level debug",
    )
    .action(start);

  common(daemon.command("stop"))
    .summary("end it")
    .description("Ends it. Its containers run on, each with a conmond of its own.")
    .option("--timeout <SECONDS>", "how long it may take", parsePositive, 10)
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
      "its socket (default: $CONMOND_SOCKET if it is set; else $XDG_RUNTIME_DIR/conmond/conmond.sock, and as root /run/conmond/conmond.sock: where one listens, or else the first)",
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

/** It needs the native addon, which `--help` can do without. */
function shared(): Promise<typeof import("../../daemon/shared.ts")> {
  return import("../../daemon/shared.ts");
}

async function showStatus(options: Options): Promise<void> {
  const { sharedStatus } = await shared();
  const status = await sharedStatus(options);
  if (options.json) printJson(status);
  else if (status.state === "stopped") process.stdout.write(describeNone(options));
  else process.stdout.write(describe(status, paintFor(process.stdout)));
  if (status.state === "hangs") process.exitCode = EXIT.failed;
  if (status.state === "stopped") process.exitCode = EXIT.notFound;
}

async function start(options: Options): Promise<void> {
  const { startShared } = await shared();
  const outcome = await startShared(options);
  const verb = outcome.started ? "runs" : "runs already";
  tell(options, outcome, `conmond ${verb}, process ${outcome.pid}, at ${outcome.socket}`);
}

async function restart(options: Options): Promise<void> {
  const { restartShared } = await shared();
  const outcome = await restartShared(options);
  const { pid, replaced, replacedPid, sessions } = outcome;
  const former = replacedPid === undefined ? "another one" : `process ${replacedPid}`;
  const text = replaced
    ? `conmond runs, process ${pid}, in the place of ${former}, with ${count(sessions)}`
    : `no conmond was there: one runs now, process ${pid}`;
  tell(options, outcome, text);
}

async function stop(options: Options): Promise<void> {
  const { stopShared } = await shared();
  const { timeout, ...which } = options;
  const milliseconds = timeout === undefined ? {} : { milliseconds: timeout * 1000 };
  const outcome = await stopShared({ ...which, ...milliseconds });
  const { socket, stopped, pid, sessions } = outcome;
  const goOn = sessions ? `; ${count(sessions)} go on, each with a conmond of its own` : "";
  const isThere = stopped || pid !== undefined;
  const text = isThere
    ? `conmond, process ${pid}, has ended${goOn}`
    : `there is no conmond at ${socket}`;
  tell(options, outcome, text);
}

function tell(options: Options, data: unknown, text: string): void {
  if (options.json) printJson(data);
  else process.stdout.write(`${text}\n`);
}

function count(sessions: number | undefined): string {
  if (sessions === undefined) return "sessions that could not be counted";
  return sessions === 1 ? "1 session" : `${sessions} sessions`;
}

function describeNone({ socket }: Options): string {
  return `There is no conmond at ${possibleSockets(socket, process.env).join(", nor at ")}.\n`;
}

function describe(status: DaemonStatus, paint: Paint): string {
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
  const own = privateBytes === undefined ? "" : `, ${formatBytes(privateBytes)} of it private`;
  return `${formatBytes(residentBytes)}${own}`;
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
