import { type Command, InvalidArgumentError, Option } from "commander";
import { findContainer, logFileOf, State, waitForEnd } from "../../containers/mod.ts";
import { followLogs, type LogFault, type LogLine, readLogs } from "../../logging/read/mod.ts";
import type { WallClock } from "../../sys/mod.ts";
import { parseCount, parseTime } from "../arguments.ts";
import { paint, printJsonLine } from "../output.ts";

const EXAMPLES = `
Lines of stderr go to stderr. With --json each line is an object: time, stream, text, complete.

Examples:
  conmonctl logs web
  conmonctl logs -f --tail 10 web
  conmonctl logs --since 10m --stream stderr --grep 'error|fail' web`;

interface LogFlags {
  readonly follow?: true;
  readonly since?: WallClock;
  readonly until?: WallClock;
  readonly tail?: number;
  readonly timestamps?: true;
  readonly stream?: "stdout" | "stderr";
  readonly grep?: RegExp;
  readonly json?: true;
}

export function registerLogs(program: Command): void {
  program
    .command("logs")
    .summary("print what a container has written")
    .description("Prints what a container has written, rotated files too.")
    .argument("<CONTAINER>", "name, ID or beginning of an ID")
    .option("-f, --follow", "go on with what it writes, until it has ended")
    .option(
      "--since <TIME>",
      "a time such as 2006-01-02T15:04:05Z, or how long ago: 10m",
      parseTime,
    )
    .option("--until <TIME>", "as --since", parseTime)
    .option("-n, --tail <LINES>", "the last lines only", parseCount)
    .option("-t, --timestamps", "when each line was written")
    .addOption(new Option("--stream <STREAM>", "one stream only").choices(["stdout", "stderr"]))
    .option("--grep <PATTERN>", "only lines that match a regular expression", parsePattern)
    .option("--json", "a JSON object for each line")
    .addHelpText("after", EXAMPLES)
    .action(async (name: string, flags: LogFlags) => printLogs(name, flags));
}

function parsePattern(text: string): RegExp {
  try {
    return new RegExp(text, "u");
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

async function printLogs(name: string, flags: LogFlags): Promise<void> {
  const state = new State();
  const container = findContainer(state, name);
  const path = logFileOf(container);
  const stop = new AbortController();
  const selection = {
    ...(flags.since === undefined ? {} : { since: flags.since }),
    ...(flags.until === undefined ? {} : { until: flags.until }),
    ...(flags.tail === undefined ? {} : { tail: flags.tail }),
    ...(flags.stream === undefined ? {} : { stream: flags.stream }),
    onFault: (fault: LogFault) => process.stderr.write(`conmonctl: ${fault.message}\n`),
    signal: stop.signal,
  };
  // Whoever reads us has enough, as `head` has.
  const enough = (): void => stop.abort();
  process.stdout.on("error", enough);
  try {
    const lines = flags.follow
      ? followLogs(path, { ...selection, ended: waitForEnd(state, container, stop.signal) })
      : readLogs(path, selection);
    for await (const line of lines) {
      if (stop.signal.aborted) break;
      await printLine(line, flags);
    }
  } finally {
    stop.abort();
    process.stdout.off("error", enough);
  }
}

async function printLine(line: LogLine, flags: LogFlags): Promise<void> {
  const { timestamp, stream, text, complete } = line;
  if (flags.grep !== undefined && !flags.grep.test(text.toString("utf8"))) return;
  if (flags.json) {
    printJsonLine({ time: timestamp, stream, text: text.toString("utf8"), complete });
    return;
  }
  const output = stream === "stdout" ? process.stdout : process.stderr;
  if (flags.timestamps) output.write(`${paint("dim", timestamp)} `);
  if (complete) output.write(text);
  const room = complete ? output.write("\n") : output.write(text);
  if (!room && !output.destroyed) await drained(output);
}

function drained(stream: NodeJS.WriteStream): Promise<void> {
  return new Promise((resolve) => {
    const done = (): void => {
      for (const event of ["drain", "error", "close"]) stream.off(event, done);
      resolve();
    };
    for (const event of ["drain", "error", "close"]) stream.on(event, done);
  });
}
