/** Runs other programs that may hang. */
import { spawn } from "node:child_process";

/** How long the last output may be on its way when the program has ended, in milliseconds. */
const LAST_OUTPUT_MS = 200;

/** More output than this is dropped, in bytes. */
const OUTPUT_LIMIT = 1024 * 1024;

/** How a program went. */
export interface RunResult {
  /** Undefined when it was killed, or could not be started. */
  readonly status: number | undefined;
  readonly stdout: string;
  readonly stderr: string;
  /** What went wrong, such as `did not end within 10 s` and `was ended by SIGSEGV`; undefined for status 0. */
  readonly fault: string | undefined;
  readonly milliseconds: number;
}

/** What may be given to {@link runBounded}. */
export interface RunOptions {
  /** After which it is killed, with all that it has started in its process group. Default: 10 s. */
  readonly milliseconds?: number;
  /** Default: our own. */
  readonly environment?: NodeJS.ProcessEnv;
  /** Default: `/`. */
  readonly directory?: string;
}

/**
 * Runs a program without input. The promise is never rejected, and is never pending for longer than the limit:
 * who cannot be killed, or has left somebody behind who keeps the pipes open, is not waited for.
 */
export function runBounded(
  program: string,
  args: readonly string[],
  { milliseconds = 10_000, environment = process.env, directory = "/" }: RunOptions = {},
): Promise<RunResult> {
  const began = performance.now();
  return new Promise((resolve) => {
    const child = spawn(program, args, {
      cwd: directory,
      env: environment,
      stdio: ["ignore", "pipe", "pipe"],
      // A group of its own, which can be killed as one.
      detached: true,
    });
    const stdout = new Collector();
    const stderr = new Collector();
    child.stdout.on("data", (chunk: Buffer) => stdout.add(chunk));
    child.stderr.on("data", (chunk: Buffer) => stderr.add(chunk));
    let lastOutput: NodeJS.Timeout | undefined;
    const finish = (status: number | null, fault: string | undefined): void => {
      clearTimeout(limit);
      clearTimeout(lastOutput);
      child.stdout.destroy();
      child.stderr.destroy();
      child.unref();
      resolve({
        status: status ?? undefined,
        stdout: stdout.text,
        stderr: stderr.text,
        fault,
        milliseconds: performance.now() - began,
      });
    };
    const limit = setTimeout(() => {
      killGroup(child.pid);
      finish(null, `did not end within ${milliseconds / 1000} s`);
    }, milliseconds);
    child.on("error", (error) => finish(null, `cannot be run: ${error.message}`));
    child.on("close", (status, signal) => finish(status, describeEnd(status, signal)));
    child.on("exit", (status, signal) => {
      lastOutput = setTimeout(() => finish(status, describeEnd(status, signal)), LAST_OUTPUT_MS);
    });
  });
}

function describeEnd(status: number | null, signal: string | null): string | undefined {
  if (signal !== null) return `was ended by ${signal}`;
  return status === 0 ? undefined : `ended with status ${status}`;
}

function killGroup(pid: number | undefined): void {
  if (pid === undefined) return;
  try {
    process.kill(-pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

class Collector {
  readonly #chunks: Buffer[] = [];
  #length = 0;

  add(chunk: Buffer): void {
    if (this.#length > OUTPUT_LIMIT) return;
    this.#chunks.push(chunk);
    this.#length += chunk.length;
  }

  get text(): string {
    return Buffer.concat(this.#chunks).toString();
  }
}

/** What a program says went wrong: the last line that it wrote to stderr, or how it ended. */
export function reasonOf({ stderr, fault }: RunResult): string {
  // What Node.js says of an exception is in the middle of it.
  const exception = /^\w*Error(?: \[\w+\])?: (.*)$/m.exec(stderr)?.[1];
  const last = exception ?? stderr.trim().split("\n").at(-1)?.trim() ?? "";
  if (last === "") return fault ?? "no reason was given";
  return fault === undefined ? last : `${fault}: ${last}`;
}
