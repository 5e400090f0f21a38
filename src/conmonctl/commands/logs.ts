import { type Command, InvalidArgumentError, Option } from "commander";
import { findContainer, logFileOf, State, waitForEnd } from "../../containers/mod.ts";
import {
  followLogBatches,
  type LogFault,
  type LogLine,
  readLogBatches,
} from "../../logging/read/mod.ts";
import type { WallClock } from "../../sys/mod.ts";
import { parseCount, parseTime } from "../arguments.ts";
import { paintFor } from "../paint.ts";
import { writeTo } from "../streams.ts";

const EXAMPLES = `
Lines of stderr go to stderr. A time is one of RFC 3339, such as 2006-01-02T15:04:05Z, seconds since 1970, or how long
ago it was: 10m, 1h30m, 2d, 1w. A time without an offset from UTC is local, and may be a date alone. PATTERN is a
regular expression of JavaScript, with Unicode.

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
      "only what was written from then on: a time, or how long ago: 10m",
      parseTime,
    )
    .option("--until <TIME>", "only what was written until then", parseTime)
    .option("-n, --tail <LINES>", "the last lines only (default: all)", parseCount)
    .option("-t, --timestamps", "when each line was written")
    .addOption(
      new Option("--stream <STREAM>", "one stream only (default: both)").choices([
        "stdout",
        "stderr",
      ]),
    )
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
    const batches = flags.follow
      ? followLogBatches(path, { ...selection, ended: waitForEnd(state, container, stop.signal) })
      : readLogBatches(path, selection);
    for await (const lines of batches) {
      if (stop.signal.aborted) break;
      await printLines(lines, flags);
    }
  } finally {
    stop.abort();
    process.stdout.off("error", enough);
  }
}

/** Lines of one stream that follow each other are written at once: a log has millions. */
async function printLines(lines: readonly LogLine[], flags: LogFlags): Promise<void> {
  let pieces: Buffer[] = [];
  let stream: LogLine["stream"] = "stdout";
  for (const line of lines) {
    if (flags.grep !== undefined && !flags.grep.test(line.text.toString("utf8"))) continue;
    const target = flags.json ? "stdout" : line.stream;
    if (target !== stream) {
      await write(stream, pieces);
      pieces = [];
      stream = target;
    }
    if (flags.json) pieces.push(jsonOf(line));
    else addText(line, flags, pieces);
  }
  await write(stream, pieces);
}

function addText(line: LogLine, flags: LogFlags, pieces: Buffer[]): void {
  const { timestamp, stream, text, complete } = line;
  if (flags.timestamps) pieces.push(Buffer.from(`${PAINT[stream].dim(timestamp)} `));
  pieces.push(text);
  if (complete) pieces.push(NEWLINE);
}

const NEWLINE = Buffer.from("\n");

/** One of them may be a terminal and the other one a file. */
const PAINT = { stdout: paintFor(process.stdout), stderr: paintFor(process.stderr) } as const;

function jsonOf({ timestamp, stream, text, complete }: LogLine): Buffer {
  const value = { time: timestamp, stream, text: text.toString("utf8"), complete };
  return Buffer.from(`${JSON.stringify(value)}\n`);
}

async function write(stream: LogLine["stream"], pieces: readonly Buffer[]): Promise<void> {
  if (pieces.length === 0) return;
  await writeTo(stream === "stdout" ? process.stdout : process.stderr, Buffer.concat(pieces));
}
