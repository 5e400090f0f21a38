import { type IPty, spawn } from "node-pty";
import type { Scratch } from "./scratch.ts";
import { inTime } from "./waiting.ts";

/** What a prompt ends in. */
const PROMPT = "<ready>";

/** A shell in a terminal, at whose prompt somebody types. */
export class ShellTerminal {
  readonly #pty: IPty;
  #output = "";
  #onOutput: () => void = () => {};
  #marks = 0;

  private constructor(
    scratch: Scratch,
    program: string,
    args: string[],
    env: Record<string, string>,
  ) {
    this.#pty = spawn(program, args, {
      cols: 200,
      rows: 50,
      cwd: scratch.directory,
      env: { ...env, TERM: "dumb", PS1: PROMPT, LC_ALL: "C.UTF-8" },
    });
    this.#pty.onData((text) => {
      this.#output += text;
      this.#onOutput();
    });
    const ended = new Promise<void>((resolve) => this.#pty.onExit(() => resolve()));
    scratch.atEnd(async () => {
      this.#pty.kill("SIGKILL");
      await inTime(ended, "the shell's end");
    });
  }

  /** Starts a shell and has it run commands before anything is typed. */
  static async start(
    scratch: Scratch,
    shell: { readonly program: string; readonly arguments: readonly string[] },
    environment: Readonly<Record<string, string>>,
    commands: readonly string[],
  ): Promise<ShellTerminal> {
    const terminal = new ShellTerminal(scratch, shell.program, [...shell.arguments], environment);
    await terminal.#shown(PROMPT, 0);
    for (const command of commands) await terminal.run(command);
    return terminal;
  }

  /** Runs a command; returns what is shown until the next prompt. */
  async run(command: string): Promise<string> {
    const from = this.#output.length;
    const mark = `mark${this.#marks++}`;
    this.#pty.write(`${command}; echo ${mark.slice(0, 4)}""${mark.slice(4)}\r`);
    const at = await this.#shown(`${mark}\r\n`, from);
    await this.#shown(PROMPT, at);
    return this.#output.slice(from, at);
  }

  /** Types keys; returns all that is shown from then on, once `expected` is in it. */
  async type(keys: string, expected: string): Promise<string> {
    const from = this.#output.length;
    this.#pty.write(keys);
    await this.#shown(expected, from);
    return this.#output.slice(from);
  }

  async #shown(text: string, from: number): Promise<number> {
    const there = new Promise<number>((resolve) => {
      this.#onOutput = () => {
        const at = this.#output.indexOf(text, from);
        if (at >= 0) resolve(at);
      };
      this.#onOutput();
    });
    const last = () => JSON.stringify(this.#output.slice(from).slice(-1000));
    return await inTime(there, () => `${JSON.stringify(text)} in the terminal: ${last()}`);
  }
}
