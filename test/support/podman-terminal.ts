import { setTimeout as delay } from "node:timers/promises";
import type { IPty } from "node-pty";
import * as sys from "../../src/sys/mod.ts";
import { inTime } from "./waiting.ts";

/** A podman command, or another one, in a terminal, with a user before it. */
export class PodmanTerminal {
  readonly #terminal: IPty;
  /** For messages: what was run. */
  readonly #title: string;
  readonly #ended: Promise<number>;
  /** What {@link #takeRest} reads from; undefined once it is closed. */
  #master: number | undefined;
  #output = "";
  /** Up to here the output has been waited for. */
  #seen = 0;
  #onOutput: () => void = () => {};

  constructor(terminal: IPty, args: readonly string[], program = "podman") {
    this.#terminal = terminal;
    this.#title = `\`${program} ${args.join(" ")}\``;
    this.#master = sys.duplicate(descriptorOf(terminal));
    terminal.onData((text) => {
      this.#output += text;
      this.#onOutput();
    });
    this.#ended = new Promise((resolve) => {
      // A signal gives a number that no status is.
      terminal.onExit(({ exitCode, signal = 0 }) => {
        this.#takeRest();
        resolve(signal === 0 ? exitCode : -signal);
      });
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
   * detach keys only if it reads each key by itself, and nothing tells that it has. On a busy machine it may come to
   * read late.
   */
  async press(...keys: string[]): Promise<void> {
    for (const key of keys) {
      this.#terminal.write(key);
      await delay(400);
    }
  }

  /** Makes the window larger or smaller. */
  resize(columns: number, rows: number): void {
    this.#terminal.resize(columns, rows);
  }

  /** Closes the window: the terminal is gone. */
  close(): void {
    this.#closeMaster();
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

  /**
   * node-pty closes the terminal 200 ms after the program's end, although there may be something in it that a
   * busy machine has not come to read.
   */
  #takeRest(): void {
    if (this.#master === undefined) return;
    const bytes = Buffer.alloc(65536);
    try {
      for (let count = 1; count > 0; ) {
        count = sys.read(this.#master, bytes, 0, bytes.length);
        if (count > 0) this.#output += bytes.toString("utf8", 0, count);
      }
    } catch (error) {
      // So a terminal says that there is nothing more, and nobody who could write.
      if (!sys.isSystemError(error, "EIO")) throw error;
    } finally {
      this.#closeMaster();
    }
    this.#onOutput();
  }

  #closeMaster(): void {
    if (this.#master !== undefined) sys.close(this.#master);
    this.#master = undefined;
  }

  #describe(): string {
    return `${this.#title}, which has shown ${JSON.stringify(this.#output.slice(-2000))}`;
  }
}

/** Not in the type, but every terminal of a Unix has it. */
function descriptorOf(terminal: IPty): number {
  return (terminal as IPty & { readonly fd: number }).fd;
}
