/** A container, or a process in one, in the terminal of the user: output, input, signals, size, detaching. */
import { constants } from "node:os";
import type { Connection, TerminalSize } from "../containers/mod.ts";
import { stopOutputProcessing } from "../sys/mod.ts";
import { DetachFilter } from "./detach-keys.ts";
import { EXIT } from "./failure.ts";
import { isReaderGone, READER_GONE_STATUS } from "./output-faults.ts";
import { writeTo } from "./streams.ts";

/** Signals that are meant for the container when we get them. */
const FORWARDED = ["SIGINT", "SIGTERM", "SIGQUIT", "SIGHUP", "SIGUSR1", "SIGUSR2"] as const;

/** Who presses Ctrl-C as often as this wants it to end. */
const PATIENCE = 3;

export interface ForegroundOptions {
  readonly connection: Connection;
  /** The user's input goes to the container. */
  readonly stdin: boolean;
  /** The container has a terminal. */
  readonly terminal: boolean;
  /** Empty: none. */
  readonly detachKeys: Uint8Array;
  readonly resize: (size: TerminalSize) => void;
  /** Hands on a signal that was sent to us. */
  readonly signal: (signal: NodeJS.Signals) => Promise<void>;
}

/**
 * How it was over: by itself; because of the user; because of the user's terminal, which is gone; because nobody
 * reads our output any more; because it cannot be written.
 */
export type ForegroundEnd = "ended" | "detached" | "hung-up" | "unread" | "unwritable";

/** Resolves when there is no more output, or the user has detached. The connection is closed then. */
export async function inForeground(options: ForegroundOptions): Promise<ForegroundEnd> {
  const foreground = new Foreground(options);
  try {
    return await foreground.run();
  } finally {
    foreground.close();
  }
}

class Foreground {
  readonly #options: ForegroundOptions;
  readonly #filter: DetachFilter;
  readonly #handlers = new Map<NodeJS.Signals, () => void>();
  #end: ForegroundEnd = "ended";
  #interrupts = 0;
  #raw = false;
  /** What was read last has been taken. The end may be read before that. */
  #inputTaken: Promise<void> = Promise.resolve();
  readonly #onInput = (data: Buffer): void => {
    process.stdin.pause();
    this.#inputTaken = this.#inputTaken.then(() => this.#forwardInput(data));
  };
  readonly #onInputEnd = (): void => {
    this.#inputTaken = this.#inputTaken.then(() => this.#options.connection.endInput());
  };
  readonly #onResize = (): void => this.#resize();
  readonly #onGone = (): void => this.#leave("hung-up");
  readonly #onOutputFault = (error: Error): void => {
    if (isReaderGone(error)) this.#leave("unread");
    else this.#leave(isTerminalGone(error) ? "hung-up" : "unwritable");
  };

  constructor(options: ForegroundOptions) {
    this.#options = options;
    this.#filter = new DetachFilter(options.detachKeys);
  }

  async run(): Promise<ForegroundEnd> {
    this.#takeSignals();
    this.#takeTerminal();
    if (this.#options.stdin) this.#takeInput();
    for (const stream of [process.stdout, process.stderr]) stream.on("error", this.#onOutputFault);
    for await (const { stream, data } of this.#options.connection) {
      // Where nobody looks any more, a write may never be over.
      if (this.#end !== "ended") break;
      await writeTo(stream === "stdout" ? process.stdout : process.stderr, data);
    }
    return this.#end;
  }

  close(): void {
    for (const [signal, handler] of this.#handlers) process.off(signal, handler);
    process.stdout.off("resize", this.#onResize);
    process.stdin.off("data", this.#onInput);
    process.stdin.off("end", this.#onInputEnd);
    process.stdin.off("error", this.#onGone);
    if (this.#raw) process.stdin.setRawMode(false);
    process.stdin.pause();
    for (const stream of [process.stdout, process.stderr]) stream.off("error", this.#onOutputFault);
    this.#options.connection.close();
  }

  #leave(end: ForegroundEnd): void {
    if (this.#end === "ended") this.#end = end;
    this.#options.connection.close();
  }

  #takeSignals(): void {
    for (const signal of FORWARDED) {
      const handler = () => this.#onSignal(signal);
      this.#handlers.set(signal, handler);
      process.on(signal, handler);
    }
  }

  #onSignal(signal: NodeJS.Signals): void {
    if (signal === "SIGHUP" && this.#options.terminal) {
      // The window was closed: the container goes on without it.
      this.#leave("hung-up");
      return;
    }
    if (signal === "SIGINT") this.#interrupts++;
    const sent = this.#interrupts >= PATIENCE ? "SIGKILL" : signal;
    this.#options.signal(sent).catch((error: Error) => {
      process.stderr.write(`conmonctl: ${error.message}\n`);
    });
    if (this.#interrupts === PATIENCE - 1 && process.stderr.isTTY) {
      process.stderr.write("conmonctl: once more, and the container is killed\n");
    }
  }

  /** Without a terminal on both sides there is nothing that could have a size. */
  #takeTerminal(): void {
    if (!this.#options.terminal) return;
    process.stdout.on("resize", this.#onResize);
    this.#resize();
    if (!this.#options.stdin || !process.stdin.isTTY) return;
    process.stdin.setRawMode(true);
    // Node.js leaves that on, but the container's own terminal has done it.
    stopOutputProcessing(process.stdin.fd);
    this.#raw = true;
  }

  #resize(): void {
    const size = windowSize();
    if (size === undefined) return;
    try {
      this.#options.resize(size);
    } catch {
      // It has just ended, which the end of its output tells.
    }
  }

  #takeInput(): void {
    process.stdin.on("data", this.#onInput);
    process.stdin.on("end", this.#onInputEnd);
    // Reading from a terminal that is gone fails.
    process.stdin.on("error", this.#onGone);
    process.stdin.resume();
  }

  /** No more is read before the container has taken what there is. */
  async #forwardInput(data: Buffer): Promise<void> {
    const keys = this.#options.terminal ? this.#filter.push(data) : { input: data, detach: false };
    await this.#options.connection.write(keys.input);
    if (keys.detach) this.#leave("detached");
    else if (process.stdin.listeners("data").includes(this.#onInput)) process.stdin.resume();
  }
}

/** The size of the user's terminal, if there is one. */
export function windowSize(): TerminalSize | undefined {
  const { rows, columns, isTTY } = process.stdout;
  if (!isTTY || rows === 0 || columns === 0) return undefined;
  return { rows: Math.min(rows, 1000), columns: Math.min(columns, 1000) };
}

/**
 * Says that something goes on without us. Returns the exit status.
 *
 * @param what it is, such as the name of a container
 * @param back how one gets back to it, if one does
 */
export function leave(
  end: Exclude<ForegroundEnd, "ended">,
  what: string,
  back: string | undefined,
): number {
  if (end === "hung-up") return statusOfSignal("SIGHUP");
  const goesOn = `${what} goes on${back === undefined ? "" : `; ${back} comes back to it`}`;
  if (end === "detached") {
    process.stderr.write(`\r\nconmonctl: detached: ${goesOn}\n`);
    return EXIT.ok;
  }
  const reason = end === "unread" ? "nobody reads the output any more" : "the output is lost";
  process.stderr.write(`conmonctl: ${reason}: ${goesOn}\n`);
  return end === "unread" ? READER_GONE_STATUS : EXIT.failed;
}

function isTerminalGone(error: Error): boolean {
  return "code" in error && error.code === "EIO";
}

/** What a shell calls a process that a signal ended. */
export function statusOfSignal(signal: NodeJS.Signals): number {
  return 128 + constants.signals[signal];
}
