import type { ChildProcess } from "node:child_process";
import type { Readable, Writable } from "node:stream";
import { inTime } from "./waiting.ts";

/** How long one podman command may take, in milliseconds. */
const PATIENCE = 60_000;

/** How a podman command went. A type, not an interface, so that it can be an observation. */
export type PodmanResult = {
  /** Null when it was ended by a signal. */
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
};

/** A podman command under way. */
export class PodmanCommand {
  readonly stdin: Writable;
  readonly #process: ChildProcess;
  /** For messages: what was run. */
  readonly #title: string;
  readonly #ended: Promise<number | null>;
  readonly #chunks = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  #onOutput: () => void = () => {};

  constructor(
    child: ChildProcess,
    pipes: { readonly stdin: Writable; readonly stdout: Readable; readonly stderr: Readable },
    args: readonly string[],
  ) {
    this.#process = child;
    this.#title = `\`podman ${args.join(" ")}\``;
    this.stdin = pipes.stdin;
    for (const name of ["stdout", "stderr"] as const) {
      pipes[name].on("data", (chunk: Buffer) => {
        this.#chunks[name].push(chunk);
        this.#onOutput();
      });
    }
    // A podman that reads nothing may be gone before all of the input is.
    pipes.stdin.on("error", () => {});
    this.#ended = new Promise((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    this.#ended.catch(() => {}); // Told to who waits for the end.
  }

  /** So far, taken for UTF-8. */
  get stdout(): string {
    return Buffer.concat(this.#chunks.stdout).toString();
  }

  /** So far, taken for UTF-8. */
  get stderr(): string {
    return Buffer.concat(this.#chunks.stderr).toString();
  }

  /** Resolves when stdout holds the text. */
  async printed(text: string): Promise<void> {
    const there = new Promise<void>((resolve) => {
      this.#onOutput = () => {
        if (this.stdout.includes(text)) resolve();
      };
      this.#onOutput();
    });
    const early = this.#ended.then(() => {
      if (this.stdout.includes(text)) return;
      throw new Error(`${this.#describe()}, which ended without the text ${JSON.stringify(text)}`);
    });
    await inTime(Promise.race([there, early]), () => `"${text}" of ${this.#describe()}`);
  }

  /** Sends podman itself a signal. */
  kill(signal: NodeJS.Signals): void {
    this.#process.kill(signal);
  }

  /** Waits for its end and that of its output. */
  async end(): Promise<PodmanResult> {
    const status = await inTime(this.#ended, () => `the end of ${this.#describe()}`, PATIENCE);
    return { status, stdout: this.stdout, stderr: this.stderr };
  }

  #describe(): string {
    const last = (text: string) => JSON.stringify(text.slice(-2000));
    return `${this.#title} (stdout: ${last(this.stdout)}, stderr: ${last(this.stderr)})`;
  }
}
