import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { spawn as spawnInTerminal } from "node-pty";
import type { Container } from "../../src/containers/mod.ts";
import { PodmanTerminal } from "./podman-terminal.ts";
import { programPath, projectRoot } from "./programs.ts";
import type { Scratch } from "./scratch.ts";
import { inTime, textOf } from "./waiting.ts";

/** What a command has printed, and how it ended. */
export interface CommandResult {
  /** Negative when a signal ended it. */
  readonly status: number;
  readonly stdout: string;
  readonly stderr: string;
}

/** A command that runs. */
export interface RunningCommand {
  readonly process: ChildProcess;
  readonly end: Promise<CommandResult>;
  /** Resolves when stdout holds the text. */
  shows(text: string): Promise<void>;
}

/** conmonctl with a state directory of its own; its containers are removed at the end of the test. */
export class Conmonctl {
  readonly state: string;
  readonly #scratch: Scratch;
  readonly #environment: Readonly<Record<string, string>>;

  constructor(scratch: Scratch, options: { readonly conmond?: string } = {}) {
    this.#scratch = scratch;
    this.state = scratch.path("state");
    this.#environment = {
      PATH: programPath,
      HOME: scratch.directory,
      TMPDIR: scratch.temporary,
      TERM: "xterm",
      CONMON_TS_TEST: scratch.id,
      CONMON_TS_STATE: this.state,
      CONMOND_SOCKET: options.conmond ?? "",
    };
    scratch.atEnd(() => this.#cleanUp());
  }

  /** Starts a command. */
  start(args: readonly string[], options: { readonly stdin?: "pipe" } = {}): RunningCommand {
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      cwd: this.#scratch.directory,
      env: this.#environment,
      stdio: [options.stdin ?? "ignore", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    let onOutput = (): void => {};
    child.stdout?.setEncoding("utf8").on("data", (text) => {
      stdout += text;
      onOutput();
    });
    child.stderr?.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    const title = `conmonctl ${args.join(" ")}`;
    const closed = once(child, "close").then(([status, signal]): CommandResult => {
      return { status: signal === null ? Number(status) : -1, stdout, stderr };
    });
    const shows = (text: string): Promise<void> =>
      inTime(
        new Promise((resolve) => {
          onOutput = () => {
            if (stdout.includes(text)) resolve();
          };
          onOutput();
        }),
        () => `${JSON.stringify(text)} of ${title}: ${stdout.slice(-1000)} ${stderr.slice(-1000)}`,
      );
    const end = inTime(closed, () => `the end of ${title}: ${stdout.slice(-1000)} ${stderr}`);
    end.catch(() => {}); // Whoever awaits it is told.
    return { process: child, end, shows };
  }

  /** Runs a command to its end. */
  async run(...args: string[]): Promise<CommandResult> {
    return await this.start(args).end;
  }

  /**
   * Runs a command that has to succeed.
   *
   * @returns its stdout without the last newline
   */
  async succeed(...args: string[]): Promise<string> {
    const { status, stdout, stderr } = await this.run(...args);
    if (status === 0) return stdout.replace(/\n$/, "");
    throw new Error(`conmonctl ${args.join(" ")} ended with ${status}: ${stderr}`);
  }

  /** Runs a command with this as its input. */
  async feed(input: Uint8Array | string, ...args: string[]): Promise<CommandResult> {
    const command = this.start(args, { stdin: "pipe" });
    command.process.stdin?.end(input);
    return await command.end;
  }

  /** Runs a command in a terminal. */
  terminal(args: readonly string[], size = { columns: 100, rows: 30 }): PodmanTerminal {
    return this.#inTerminal(process.execPath, [PROGRAM, ...args], size);
  }

  /** Runs a shell script in a terminal. */
  shell(script: string): PodmanTerminal {
    return this.#inTerminal("/bin/sh", ["-c", script], { columns: 100, rows: 30 });
  }

  #inTerminal(
    program: string,
    args: readonly string[],
    { columns, rows }: { columns: number; rows: number },
  ): PodmanTerminal {
    const terminal = spawnInTerminal(program, [...args], {
      cwd: this.#scratch.directory,
      env: { ...this.#environment },
      cols: columns,
      rows,
    });
    return new PodmanTerminal(terminal, args, program);
  }

  /** What `inspect` says of a container. */
  async inspect(name: string): Promise<Container> {
    const [container] = JSON.parse(await this.succeed("inspect", name)) as Container[];
    if (container === undefined) throw new Error(`inspect ${name} has printed nothing`);
    return container;
  }

  /** Waits for events, each as `TYPE NAME`, and returns all there are then. */
  async happened(...events: string[]): Promise<string[]> {
    const path = join(this.state, "events.jsonl");
    const parse = (text: string): string[] =>
      text
        .split("\n")
        .slice(0, -1)
        .map((line) => {
          const { type, name } = JSON.parse(line);
          return `${type} ${name}`;
        });
    const all = (text: string): boolean => events.every((event) => parse(text).includes(event));
    return parse(await textOf(path, all));
  }

  async #cleanUp(): Promise<void> {
    const all = JSON.parse(await this.succeed("ps", "--all", "--json")) as Container[];
    const own = all.filter((container) => container.own).map(({ id }) => id);
    if (own.length > 0) await this.succeed("rm", "--force", ...own);
  }
}

const PROGRAM = join(projectRoot, "dist/conmonctl.cjs");
