import { execFileSync } from "node:child_process";
import { closeSync, constants, openSync, unlinkSync, writeSync } from "node:fs";
import { Socket } from "node:net";
import { createInterface } from "node:readline";
import type { Scratch } from "./scratch.ts";
import { inTime, PATIENCE } from "./waiting.ts";

const { O_NONBLOCK, O_RDONLY, O_WRONLY } = constants;

/** Both ends of a pipe, as descriptors. */
interface PipeEnds {
  readonly readEnd: number;
  readonly writeEnd: number;
}

/**
 * A real pipe: what `spawn` makes for "pipe" is a pair of sockets. Made of a fifo, so that tests
 * of the monitor do not depend on the project's own system calls.
 */
function makePipe(scratch: Scratch): PipeEnds {
  const path = scratch.path(scratch.uniqueName());
  execFileSync("mkfifo", [path]);
  // With a reader there the writer's open returns; with a writer there, the reader's does.
  const placeholder = openSync(path, O_RDONLY | O_NONBLOCK);
  const writeEnd = openSync(path, O_WRONLY);
  const readEnd = openSync(path, O_RDONLY);
  closeSync(placeholder);
  unlinkSync(path);
  return { readEnd, writeEnd };
}

/** A message of the monitor to its caller: `data`, or in older formats `pid` or `exit_code`. */
export interface SyncMessage {
  readonly data?: number;
  readonly pid?: number;
  readonly exit_code?: number;
  readonly message?: string;
}

/** The caller's end of a pipe on which the monitor reports: `_OCI_SYNCPIPE`, `_OCI_ATTACHPIPE`. */
export class ReportPipe {
  /** The end for the monitor, as a descriptor; to be closed here once the monitor has it. */
  readonly theirs: number;
  /** Resolves when nobody can write to the pipe any more, or it has been closed here. */
  readonly ended: Promise<void>;
  readonly #socket: Socket;
  readonly #lines: string[] = [];
  #taken = 0;
  #isEnded = false;
  #wake: () => void = () => {};

  constructor(scratch: Scratch) {
    const { readEnd, writeEnd } = makePipe(scratch);
    this.theirs = writeEnd;
    this.#socket = new Socket({ fd: readEnd, readable: true, writable: false });
    const reader = createInterface({ input: this.#socket });
    reader.on("line", (line) => {
      this.#lines.push(line);
      this.#wake();
    });
    this.ended = new Promise((resolve) => {
      // The last line, if it had no newline, comes before this event.
      reader.on("close", () => {
        this.#isEnded = true;
        this.#wake();
        resolve();
      });
    });
  }

  /** What came so far, a line each. */
  get lines(): readonly string[] {
    return this.#lines;
  }

  /**
   * The next message.
   *
   * @throws Error when the pipe ends first, when the time in milliseconds is over or when what
   *   came is no JSON
   */
  async next(milliseconds: number = PATIENCE): Promise<SyncMessage> {
    while (this.#taken === this.#lines.length) {
      if (this.#isEnded) throw new Error("the pipe was closed before a message came");
      const news = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await inTime(news, "a message of the monitor", milliseconds);
    }
    return JSON.parse(this.#lines[this.#taken++] ?? "");
  }

  /** Goes away, as a caller does that has lost interest. */
  close(): void {
    this.#socket.destroy();
  }
}

/** The caller's end of `_OCI_STARTPIPE`. */
export class StartPipe {
  /** The end for the monitor, as a descriptor; to be closed here once the monitor has it. */
  readonly theirs: number;
  #ours: number | undefined;

  constructor(scratch: Scratch) {
    const { readEnd, writeEnd } = makePipe(scratch);
    this.theirs = readEnd;
    this.#ours = writeEnd;
  }

  /** Writes to the pipe, as a caller does to let the monitor go on. */
  allow(): void {
    if (this.#ours === undefined) throw new Error("the start pipe has been closed");
    writeSync(this.#ours, "\0");
  }

  /** Closes the pipe, which lets the monitor go on as well. May be called again. */
  close(): void {
    if (this.#ours !== undefined) closeSync(this.#ours);
    this.#ours = undefined;
  }
}
