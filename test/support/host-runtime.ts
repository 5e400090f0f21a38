import { spawn } from "node:child_process";
import { closeSync, existsSync, openSync, readdirSync, readFileSync } from "node:fs";
import type { Bundle } from "./bundle.ts";
import { hostRuntimeProgram, programPath } from "./programs.ts";
import type { Scratch } from "./scratch.ts";
import { inTime } from "./waiting.ts";

/** How a call of the runtime ended. */
export interface Outcome {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** How the runtime is called. */
export interface CallOptions {
  /** Besides a small one, with what makes the runtime say nothing about isolation. */
  readonly environment?: Readonly<Record<string, string>>;
  /** A command with its arguments that is to execute the runtime. */
  readonly wrapper?: readonly string[];
  /** Options before the command. Default: `--root` with a directory of the test's. */
  readonly global?: readonly string[];
  /** Descriptors from 0 up. Default: /dev/null and two files for what the runtime says. */
  readonly stdio?: readonly ("ignore" | number)[];
}

/** The runtime without a monitor: what it starts is left to whoever adopts orphans on this machine. */
export class HostRuntime {
  readonly root: string;
  readonly #scratch: Scratch;

  constructor(scratch: Scratch) {
    this.#scratch = scratch;
    this.root = scratch.path("host-state");
    scratch.atEnd(async () => {
      for (const id of this.ids()) await this.mustSucceed(["delete", "--force", id]);
    });
  }

  /** The IDs that have a directory. */
  ids(): string[] {
    return existsSync(this.root) ? readdirSync(this.root) : [];
  }

  /**
   * Calls the runtime.
   *
   * What it says goes to files: a process that lives on has the runtime's own stdout and stderr, so that a pipe would
   * not end, while a file has all that was said as soon as the runtime has ended.
   */
  async call(args: readonly string[], options: CallOptions = {}): Promise<Outcome> {
    const { wrapper = [], global = [`--root=${this.root}`] } = options;
    const [command = "", ...rest] = [...wrapper, hostRuntimeProgram, ...global, ...args];
    const paths = { stdout: this.#newPath(), stderr: this.#newPath() };
    const files = Object.values(paths).map((path) => openSync(path, "a"));
    const child = spawn(command, rest, {
      cwd: this.#scratch.directory,
      env: {
        PATH: programPath,
        CONMON_TS_TEST: this.#scratch.id,
        CONMON_TS_HOST_RUNTIME: "quiet",
        ...options.environment,
      },
      stdio: [...(options.stdio ?? ["ignore", ...files])],
    });
    files.forEach(closeSync);
    const said = (name: "stdout" | "stderr") => readFileSync(paths[name], "utf8");
    const ended = new Promise<Pick<Outcome, "status" | "signal">>((resolve, reject) => {
      child.on("error", reject);
      child.on("exit", (status, signal) => resolve({ status, signal }));
    });
    const end = await inTime(ended, () => `the end of ${args.join(" ")}: ${said("stderr")}`);
    return { ...end, stdout: said("stdout"), stderr: said("stderr") };
  }

  #newPath(): string {
    return this.#scratch.path(this.#scratch.uniqueName());
  }

  /** @throws Error with what it said when it fails */
  async mustSucceed(args: readonly string[], options: CallOptions = {}): Promise<string> {
    const { status, signal, stdout, stderr } = await this.call(args, options);
    if (status === 0) return stdout;
    throw new Error(`${args.join(" ")} ended with ${status ?? signal}: ${stderr}`);
  }

  /** `create`, with output to nowhere unless the options say where. */
  async create(bundle: Bundle, options: CallOptions = {}): Promise<void> {
    await this.mustSucceed(["create", `--bundle=${bundle.directory}`, bundle.id], options);
  }

  async start(bundle: Bundle): Promise<void> {
    await this.mustSucceed(["start", bundle.id]);
  }

  async state(bundle: Bundle): Promise<{ status: string; pid: number; [name: string]: unknown }> {
    return JSON.parse(await this.mustSucceed(["state", bundle.id]));
  }

  /** What a call that has to fail says, without time and level. */
  async fault(args: readonly string[], options: CallOptions = {}): Promise<string> {
    const { status, stderr } = await this.call(args, options);
    if (status === 0) throw new Error(`${args.join(" ")} should have failed`);
    const [, message] = / level=error msg=(".*")\n$/.exec(stderr) ?? [];
    return message === undefined ? stderr : JSON.parse(message);
  }
}
