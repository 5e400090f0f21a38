import { setTimeout as delay } from "node:timers/promises";
import type { IPty } from "node-pty";
import { inTime } from "./waiting.ts";

/** A podman command, or another one, in a terminal, with a user before it. */
export class PodmanTerminal {
  readonly #terminal: IPty;
  /** For messages: what was run. */
  readonly #title: string;
  readonly #ended: Promise<number>;
  #output = "";
  /** Up to here the output has been waited for. */
  #seen = 0;
  #onOutput: () => void = () => {};

  constructor(terminal: IPty, args: readonly string[], program = "podman") {
    this.#terminal = terminal;
    this.#title = `\`${program} ${args.join(" ")}\``;
    terminal.onData((text) => {
      this.#output += text;
      this.#onOutput();
    });
    this.#ended = new Promise((resolve) => {
      // A signal gives a number that no status is.
      terminal.onExit(({ exitCode, signal = 0 }) => resolve(signal === 0 ? exitCode : -signal));
    });
  }

  /** All that the terminal has shown, with its line ends. */
  get output(): string {
    return this.#output;
  }

  /** Waits for a text, which comes after what was waited for before. */
  async shows(text: string): Promise<void> {
    const there = new Promise<void>((resolve) => {
      this.#onOutput = () => {
        const at = this.#output.indexOf(text, this.#seen);
        if (at < 0) return;
        this.#seen = at + text.length;
        this.#onOutput = () => {};
        resolve();
      };
      this.#onOutput();
    });
    await inTime(there, () => `${JSON.stringify(text)} of ${this.#describe()}`);
  }

  /** Types a text, or keys: `\x03` is Ctrl-C. */
  type(text: string): void {
    this.#terminal.write(text);
  }

  /**
   * Presses keys one after the other, at a fast typist's pace: podman 4 takes a sequence for its
   * detach keys only if it reads each key by itself, and nothing tells that it has.
   */
  async press(...keys: string[]): Promise<void> {
    for (const key of keys) {
      this.#terminal.write(key);
      await delay(100);
    }
  }

  /** Makes the window larger or smaller. */
  resize(columns: number, rows: number): void {
    this.#terminal.resize(columns, rows);
  }

  /** Closes the window: the terminal is gone. */
  close(): void {
    // Not in the type, but every terminal of a Unix has it.
    const terminal: IPty & { destroy?: () => void } = this.#terminal;
    terminal.destroy?.();
  }

  /** Sends podman itself a signal. */
  kill(signal: NodeJS.Signals): void {
    this.#terminal.kill(signal);
  }

  /** Waits for podman's end; the status is negative when a signal ended it. */
  async end(): Promise<{ status: number; output: string }> {
    const status = await inTime(this.#ended, () => `the end of ${this.#describe()}`);
    return { status, output: this.#output };
  }

  #describe(): string {
    return `${this.#title}, which has shown ${JSON.stringify(this.#output.slice(-2000))}`;
  }
}
