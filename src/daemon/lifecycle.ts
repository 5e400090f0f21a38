/** Starting, replacing and ending a shared conmond. */
import { type ChildProcess, spawn } from "node:child_process";
import {
  closeSync,
  existsSync,
  fstatSync,
  openSync,
  readFileSync,
  renameSync,
  statSync,
} from "node:fs";
import { dirname } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { ContainerError } from "../containers/errors.ts";
import { makeDirectory } from "../files/make-directory.ts";
import type { Installation } from "../programs/installation.ts";
import { askConmond } from "./ask.ts";
import { identity } from "./process-facts.ts";

/** How long a conmond may take until it answers, in milliseconds; one that replaces another waits for that. */
const START_MS = 20_000;

/** How often it is looked, in milliseconds: nobody tells us. */
const INTERVAL_MS = 20;

/** A log that is larger is put aside at the start, in bytes. */
const LOG_LIMIT = 1024 * 1024;

/** What a conmond gets of our environment, as a private one does: NODE_OPTIONS must not get into it by accident. */
const ENVIRONMENT = ["HOME", "LANG", "PATH", "TMPDIR", "TZ", "XDG_RUNTIME_DIR"];

/** How one is to be started. */
export interface StartRequest {
  readonly socket: string;
  /** Further arguments. */
  readonly arguments: readonly string[];
  /** Where its log goes. */
  readonly log: string;
}

/**
 * Starts one that outlives us.
 *
 * @returns its pid, when it answers
 * @throws ContainerError with what it said when it does not
 */
export async function startDaemon(
  { socket, arguments: args, log }: StartRequest,
  installation: Installation,
): Promise<number> {
  if (!existsSync(installation.conmond)) {
    throw new ContainerError("failed", `${installation.conmond} is missing`, {
      hint: "run `npm run build`",
    });
  }
  const { fd, offset } = openLog(log);
  let child: ChildProcess;
  try {
    child = spawn(process.execPath, [installation.conmond, "--socket", socket, ...args], {
      cwd: "/",
      detached: true,
      stdio: ["ignore", fd, fd],
      env: Object.fromEntries(
        ENVIRONMENT.flatMap((name) => {
          const value = process.env[name];
          return value === undefined ? [] : [[name, value]];
        }),
      ),
    });
  } finally {
    closeSync(fd);
  }
  let fault: string | undefined;
  child.on("error", (error) => {
    fault = error.message;
  });
  child.on("exit", (status, signal) => {
    fault = signal === null ? `it ended with status ${status}` : `it was ended by ${signal}`;
  });
  child.unref();
  for (const end = performance.now() + START_MS; ; await delay(INTERVAL_MS)) {
    if (fault !== undefined) throw notStarted(lastWords(log, offset) ?? fault, log);
    const presence = await askConmond(socket, 1000);
    if (presence.kind === "answers" && presence.pid === child.pid) return presence.pid;
    // What it has logged so far is not the reason.
    if (performance.now() >= end) {
      throw notStarted(`it does not answer after ${START_MS / 1000} s`, log);
    }
  }
}

function notStarted(reason: string, log: string): ContainerError {
  return new ContainerError("failed", `conmond could not be started: ${reason}`, {
    hint: `its log is ${log}`,
  });
}

function openLog(path: string): { fd: number; offset: number } {
  try {
    makeDirectory(dirname(path), 0o700);
    const size = statSync(path, { throwIfNoEntry: false })?.size ?? 0;
    if (size > LOG_LIMIT) renameSync(path, `${path}.1`);
    const fd = openSync(path, "a", 0o640);
    return { fd, offset: fstatSync(fd).size };
  } catch (error) {
    throw new ContainerError(
      "failed",
      `cannot write conmond's log ${path}: ${(error as Error).message}`,
      {
        hint: "name another with --log",
        cause: error,
      },
    );
  }
}

/** The last line of a log from an offset in bytes on: JSON of pino's, or what was written before there was a log. */
function lastWords(path: string, offset: number): string | undefined {
  const text = readFileSync(path).subarray(offset).toString().trim();
  if (text === "") return undefined;
  // What commander says of an option is followed by more.
  const lines = text.split("\n");
  const line = lines.find((candidate) => candidate.startsWith("error: ")) ?? lines.at(-1) ?? "";
  try {
    const { msg } = JSON.parse(line) as { msg?: unknown };
    return typeof msg === "string" ? msg : line;
  } catch {
    return line.replace(/^(conmond|error): /, "");
  }
}

/**
 * Asks one to end, and waits until it has.
 *
 * @param milliseconds that it may take
 * @returns false when it had ended before
 * @throws ContainerError when it does not end, or is not ours
 */
export async function stopDaemon(pid: number, milliseconds: number): Promise<boolean> {
  const who = identity(pid);
  try {
    process.kill(pid, "SIGTERM");
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code === "ESRCH") return false;
    throw new ContainerError(
      "failed",
      `cannot end conmond, process ${pid}: ${(error as Error).message}`,
      {
        hint: code === "EPERM" ? "it is another user's" : undefined,
        cause: error,
      },
    );
  }
  const end = performance.now() + milliseconds;
  while (who !== undefined && identity(pid) === who) {
    if (performance.now() >= end) {
      throw new ContainerError(
        "failed",
        `conmond, process ${pid}, has not ended within ${milliseconds / 1000} s`,
        {
          hint: `kill -9 ${pid} ends it: its containers run on, and nothing is lost`,
        },
      );
    }
    await delay(INTERVAL_MS);
  }
  return true;
}
