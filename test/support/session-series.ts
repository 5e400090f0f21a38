/**
 * Many sessions one after the other, with a runtime that does next to nothing: what is left is the
 * monitor's own work. See stopwatch.c, which starts them, and lean-runtime.c.
 */
import { spawn } from "node:child_process";
import { mkdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { compiled } from "./c-programs.ts";
import { isAlive, waitUntilGone } from "./processes.ts";
import { type Monitor, monitorPath, programPath } from "./programs.ts";
import type { Scratch } from "./scratch.ts";

/** What sessions are started, and how. Only `conmon` and `count` have no default. */
export interface SeriesOptions {
  readonly conmon: Monitor;
  readonly count: number;
  /** The socket of a shared conmond. Default: none, so that each session has a conmond of its own. */
  readonly conmond?: string;
  /**
   * When the next one is started. Default: when the one before has ended. With "told", when its pid
   * has been told: its container goes on until it is killed.
   */
  readonly until?: "told" | "ended";
  /** Default: "create". With "exec-attach" the caller attaches before the process is started. */
  readonly kind?: "create" | "exec" | "exec-attach";
  /** What a container writes to its stdout, and a newline. Default: "hello". */
  readonly say?: string;
  /** With what status a container ends. Default: 3. */
  readonly status?: number;
  /** What the runtime says when it fails to make a container. Default: it does not fail. */
  readonly failure?: string;
  /** Further options of the monitor. An `@` in them is the session's number. */
  readonly arguments?: readonly string[];
}

/** Microseconds from just before the monitor was forked. */
export interface SessionTimes {
  /** The first process, which the caller started, has ended. */
  readonly left: number;
  /** The pid has come on the sync pipe. */
  readonly told: number;
  /** The exit file is there; 0 with `until: "told"`, as the next one. */
  readonly reported: number;
  /** Nobody has the sync pipe open any more. */
  readonly ended: number;
  /** Not a time: the container process's pid; -1 where there was none. */
  readonly pid: number;
}

/** Sessions that have been started. */
export class Series {
  readonly times: readonly SessionTimes[];
  readonly #folder: string;
  readonly #options: SeriesOptions;

  constructor(folder: string, options: SeriesOptions, times: readonly SessionTimes[]) {
    this.#folder = folder;
    this.#options = options;
    this.times = times;
  }

  /** The pids of the monitors, of ours the shims'. */
  get monitors(): number[] {
    return this.times.map((_, number) => Number(this.#read(number, "conmon.pid")));
  }

  /** @throws Error naming the first session of which exit status or log are not right */
  check(): void {
    const { say = "hello", status = 3, until = "ended", failure } = this.#options;
    this.times.forEach(({ pid }, number) => {
      if (pid > 0 !== (failure === undefined)) {
        throw new Error(`Session ${number} was told the pid ${pid}`);
      }
      if (failure !== undefined) return;
      this.#expect(number, "container.pid", String(pid));
      const log = this.#read(number, "log").replace(/^\S+ /, "");
      if (log !== `stdout F ${say}\n`) {
        throw new Error(`The log of session ${number} holds ${JSON.stringify(log)}`);
      }
      if (until === "told") return;
      this.#expect(number, "exit", String(status));
      this.#expect(number, `../exits/c${number}`, String(status));
    });
  }

  /** Kills the containers of sessions that were started with `until: "told"`. */
  killContainers(): void {
    for (const { pid } of this.times) process.kill(pid, "SIGKILL");
  }

  /** Resolves when the monitors have ended, or in vain: with the pids of those that have not. */
  ended(): Promise<number[]> {
    const { monitors } = this;
    return waitUntilGone(() => monitors.filter(isAlive));
  }

  /** Removes what belongs to the sessions, which have ended; Debian's conmon leaves fifos behind. */
  remove(): void {
    rmSync(this.#folder, { recursive: true });
  }

  #expect(number: number, name: string, text: string): void {
    const found = this.#read(number, name);
    if (found === text) return;
    throw new Error(`${name} of session ${number} holds ${JSON.stringify(found)}, not ${text}`);
  }

  /** Something in the directory of a session, which is its bundle as well. */
  path(number: number, name: string): string {
    return join(this.#folder, String(number), name);
  }

  #read(number: number, name: string): string {
    return readFileSync(this.path(number, name), "utf8");
  }
}

/**
 * Runs a series; resolves when the last session has come as far as it is to come.
 *
 * @throws Error with the reason when one does not
 */
export async function runSeries(scratch: Scratch, options: SeriesOptions): Promise<Series> {
  const folder = scratch.folder(scratch.uniqueName());
  mkdirSync(join(folder, "exits"));
  for (let number = 0; number < options.count; number++) mkdirSync(join(folder, String(number)));
  writeFileSync(join(folder, "process.json"), "{}");
  const { until = "ended", kind = "create" } = options;
  const child = spawn(
    compiled("stopwatch"),
    [
      ...["0", String(options.count), `until-${until}`],
      ...[kind === "exec-attach" ? "attach" : "no-attach", join(folder, "exits")],
      ...[monitorPath(options.conmon), ...monitorArguments(folder, options)],
    ],
    {
      cwd: scratch.directory,
      env: {
        PATH: programPath,
        HOME: scratch.directory,
        TMPDIR: scratch.temporary,
        CONMON_TS_TEST: scratch.id,
        CONMOND_SOCKET: options.conmond ?? "",
      },
      stdio: ["ignore", "pipe", "pipe"],
    },
  );
  const [output, complaints] = [textOf(child.stdout), textOf(child.stderr)];
  const status = await new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", resolve);
  });
  if (status !== 0) throw new Error(`stopwatch ended with ${status}: ${complaints()}`);
  return new Series(folder, options, parseTimes(output()));
}

function monitorArguments(folder: string, options: SeriesOptions): string[] {
  const { until = "ended", kind = "create", say = "hello", status = 3, failure } = options;
  const own = join(folder, "@");
  return [
    ...["--api-version=1", "--cid=c@", "--cuuid=container-number-@", "--name=n@"],
    ...[`--runtime=${compiled("lean-runtime")}`, `--runtime-arg=--say=${say}`],
    ...(failure === undefined ? [] : [`--runtime-arg=--fail=${failure}`]),
    ...(until === "told" ? [] : [`--runtime-arg=--exit=${status}`]),
    ...[`--bundle=${own}`, "--full-attach", `--persist-dir=${own}`],
    ...[`--exit-dir=${join(folder, "exits")}`, `--container-pidfile=${join(own, "container.pid")}`],
    ...[`--conmon-pidfile=${join(own, "conmon.pid")}`, `--log-path=k8s-file:${join(own, "log")}`],
    ...["--no-sync-log", ...(options.arguments ?? [])],
    ...(kind === "create" ? [] : ["--exec", `--exec-process-spec=${join(folder, "process.json")}`]),
    ...(kind === "exec-attach" ? ["--exec-attach"] : []),
  ];
}

function textOf(stream: NodeJS.ReadableStream): () => string {
  let text = "";
  stream.setEncoding("utf8").on("data", (piece) => {
    text += piece;
  });
  return () => text;
}

function parseTimes(text: string): SessionTimes[] {
  return text
    .trimEnd()
    .split("\n")
    .map((line) => {
      const [left = 0, told = 0, reported = 0, ended = 0, pid = 0] = line.split(" ").map(Number);
      return { left, told, reported, ended, pid };
    });
}
