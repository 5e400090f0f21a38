/**
 * A thread in which a plug-in runs. What happens there, an exception, an endless loop, too much memory,
 * ends the thread and nothing else.
 *
 * The thread's program comes as a text with the bundle, so that conmond stays one file and both are
 * always of one version. Where the sources themselves run it is the file that was built of it.
 */
import type { Worker } from "node:worker_threads";
import { asError } from "../log-file.ts";
import type { Batch } from "./batch.ts";
import {
  type Answer,
  type PluginTask,
  type Request,
  readAnswer,
  type Written,
} from "./messages.ts";

/** scripts/build.mjs puts the bundled worker.ts here. */
declare const CONMON_PLUGIN_WORKER: string | undefined;

/** Of JavaScript's own memory; buffers are not limited. */
const RESOURCE_LIMITS = {
  maxOldGenerationSizeMb: 64,
  maxYoungGenerationSizeMb: 16,
  stackSizeMb: 4,
};

/** Threads that have not ended, whether they were told to or not. */
const running = new Set<Worker>();

/** Told by a {@link PluginThread}; after `onClosed` or `onFailed` nothing more comes. */
export interface PluginThreadEvents {
  onOpened(): void;
  /** A batch was taken, and with it so much of each stream is logged. */
  onWritten(stdout: Written, stderr: Written): void;
  onClosed(): void;
  /** The thread is of no use any more. */
  onFailed(error: Error): void;
}

type State = "opening" | "idle" | "writing" | "closing" | "over";

/** What a thread answers in each state when all is well. */
const EXPECTED: Partial<Record<State, Answer["kind"]>> = {
  opening: "opened",
  writing: "written",
  closing: "closed",
};

/** Owns one thread, from its start to its end. One request at a time. */
export class PluginThread {
  readonly #events: PluginThreadEvents;
  readonly #patience: number;
  #worker: Worker | undefined;
  #state: State = "opening";
  #timer: NodeJS.Timeout | undefined;
  #lastTurn: NodeJS.Immediate | undefined;

  /**
   * Starts the thread, which then opens the plug-in. All that fails is told by events, never during the
   * call.
   *
   * @param patience Milliseconds that each of the plug-in's functions may take.
   */
  constructor(task: PluginTask, patience: number, events: PluginThreadEvents) {
    this.#events = events;
    this.#patience = patience;
    this.#wait("open");
    this.#start(task).catch((error: unknown) => this.#fail(asError(error)));
  }

  /** Whether it can be written to. */
  get isIdle(): boolean {
    return this.#state === "idle";
  }

  /** Hands a batch over; it is copied. The thread has to be idle. */
  write({ bytes, length, afterGap }: Batch): void {
    this.#request("writing", { kind: "batch", bytes, length, afterGap });
  }

  /** Has the plug-in close. The thread has to be idle. */
  close(): void {
    this.#request("closing", { kind: "close" });
  }

  /** Ends the thread whatever it does. Nothing is told any more. */
  terminate(): void {
    this.#state = "over";
    this.#stopWaiting();
    void this.#worker?.terminate();
  }

  async #start(task: PluginTask): Promise<void> {
    // Only now: it takes Node.js more than a millisecond, which sessions without plug-ins can do without.
    const { Worker } = await import("node:worker_threads");
    if (this.#state === "over") return;
    const options = {
      workerData: task,
      resourceLimits: RESOURCE_LIMITS,
      ...{ stdin: false, stdout: true, stderr: true },
    };
    const worker =
      typeof CONMON_PLUGIN_WORKER === "string"
        ? new Worker(CONMON_PLUGIN_WORKER, { ...options, eval: true })
        : new Worker(new URL("../../../dist/plugin-worker.cjs", import.meta.url), options);
    this.#worker = worker;
    running.add(worker);
    // What it prints is nobody's. If it were not read here, it would pile up there.
    worker.stdout.resume();
    worker.stderr.resume();
    worker.on("message", (message) => this.#onMessage(message));
    worker.on("messageerror", (error) => this.#fail(asError(error)));
    worker.on("error", (error) => this.#fail(asError(error)));
    worker.on("exit", (code) => {
      running.delete(worker);
      this.#fail(new Error(`it ended by itself with status ${code}`));
    });
  }

  #request(state: "writing" | "closing", request: Request): void {
    if (this.#state !== "idle")
      throw new Error(`the thread cannot take a ${request.kind} just now`);
    this.#state = state;
    this.#wait(state === "writing" ? "write" : "close");
    this.#worker?.postMessage(request);
  }

  #wait(what: string): void {
    const late = (): void =>
      this.#fail(new Error(`its ${what} has not come to an end within ${this.#patience} ms`));
    // Whoever was stopped itself, or had no processor, finds an answer that was there in time. It comes in this turn
    // of the event loop, between its timers and its immediates.
    const look = (): void => {
      this.#lastTurn = setImmediate(late);
    };
    this.#timer = setTimeout(look, this.#patience);
  }

  #stopWaiting(): void {
    clearTimeout(this.#timer);
    clearImmediate(this.#lastTurn);
  }

  #onMessage(message: unknown): void {
    if (this.#state === "over") return;
    const answer = readAnswer(message);
    if (answer?.kind === "failed") this.#fail(new Error(answer.reason));
    else if (answer === undefined || answer.kind !== EXPECTED[this.#state]) {
      this.#fail(new Error("its thread sent something that makes no sense"));
    } else this.#onAnswer(answer);
  }

  #onAnswer(answer: Answer): void {
    this.#stopWaiting();
    this.#state = "idle";
    if (answer.kind === "opened") this.#events.onOpened();
    if (answer.kind === "written") this.#events.onWritten(answer.stdout, answer.stderr);
    if (answer.kind !== "closed") return;
    this.terminate();
    this.#events.onClosed();
  }

  #fail(error: Error): void {
    if (this.#state === "over") return;
    this.terminate();
    this.#events.onFailed(error);
  }
}

/**
 * Ends all threads. One that is stuck in a system call does not end, and has `process.exit()` wait for
 * ever.
 *
 * @returns whether all have ended within so many milliseconds
 */
export async function endThreads(milliseconds: number): Promise<boolean> {
  if (running.size === 0) return true;
  const ends = [...running].map((worker) => worker.terminate());
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  await Promise.race([Promise.allSettled(ends), late]);
  clearTimeout(timer);
  return running.size === 0;
}

/** Whether there are threads that `process.exit()` would wait for. */
export function hasThreads(): boolean {
  return running.size > 0;
}
