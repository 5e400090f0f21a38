/**
 * The log driver plugin: a module of somebody else's gets the container's output, in a thread of its own.
 *
 * The way of the data: a read is copied to a {@link BatchQueue} and goes to the thread, a batch at a
 * time, each when the one before has been taken. Nothing ever waits for a plug-in but its own queue,
 * which is bounded: where it is full, the oldest batch is dropped. A plug-in that fails or hangs is
 * ended, and started again after a while; one that goes on failing is given up. All that is lost is
 * counted and told.
 */
import type { WallClock } from "../../sys/mod.ts";
import { OutageWatch } from "../outage.ts";
import type { PluginContainer } from "../plugin-api.ts";
import { countLogged, newCounters, type Sink, type SinkFault, type StreamName } from "../sink.ts";
import type { Batch } from "./batch.ts";
import type { Written } from "./messages.ts";
import { checkPluginFile } from "./module-file.ts";
import { BatchQueue } from "./queue.ts";
import { PluginThread } from "./thread.ts";

const QUEUE_SIZE = 1024 * 1024;
const PATIENCE_MS = 10_000;
/** As long as journald gets: callers wait for the exit. */
const FLUSH_MS = 2000;
const FIRST_PAUSE_MS = 1000;
/** After so many failures in a row a plug-in is given up. */
const FAILURES_MAX = 5;
/** A plug-in that fails after so long has worked before. */
const STABLE_MS = 60_000;

/** How a {@link PluginSink} is to log. */
export interface PluginSinkOptions {
  /** The module, absolute. See {@link checkPluginFile} for whose it may be. */
  readonly path: string;
  /** For the plug-in to read. Default "". */
  readonly options?: string;
  readonly container: PluginContainer;
  /** Bytes that may wait for the plug-in. Default 1048576. */
  readonly queueSize?: number;
  /** Milliseconds that each of the plug-in's functions may take before it counts as hanging. Default 10000. */
  readonly patience?: number;
  /** Milliseconds that it has at the end for what waits, its `close()` included. Default 2000. */
  readonly flushTime?: number;
  /** Milliseconds from its first failure to the next start; doubled with each further one. Default 1000. */
  readonly firstPause?: number;
  /** Told when output begins to be lost, when it no longer is, and when the plug-in is given up. */
  readonly onError?: (fault: SinkFault) => void;
}

/**
 * Logs to a plug-in, see the top of the file and docs/sinks.md.
 *
 * @example
 * ```ts
 * const sink = new PluginSink({ path: "/usr/lib/sinks/count.mjs", container });
 * await sink.opened();
 * sink.write("stdout", Buffer.from("ready\n"), { seconds: 1_700_000_000, nanoseconds: 0 });
 * sink.end("stdout");
 * sink.end("stderr");
 * await sink.flush();
 * sink.close();
 * ```
 */
export class PluginSink implements Sink {
  readonly name = "plugin";
  readonly counters = newCounters();
  /** Never: what a plug-in does not take in time is dropped. */
  readonly behind = false;

  readonly #settings: Required<PluginSinkOptions>;
  readonly #queue = new BatchQueue();
  readonly #ended = new Set<StreamName>();
  readonly #writing: OutageWatch;
  readonly #tooSlow = new Error("it takes the output too slowly");
  /** Undefined: there is none for now, or never again. */
  #thread: PluginThread | undefined;
  #inFlight: Batch | undefined;
  #startedAt = 0;
  #failures = 0;
  #pause: NodeJS.Timeout | undefined;
  /** Who wants to know of the first start. */
  #opening: { resolve(): void; reject(error: Error): void } | undefined;
  /** Who waits until all is written. */
  #flushed: (() => void)[] = [];
  #flushTimer: NodeJS.Timeout | undefined;
  /** Nothing goes to the plug-in any more. */
  #over = false;

  /**
   * Begins to start the plug-in.
   *
   * @throws {Error} `The log plug-in PATH cannot be used: REASON`
   */
  constructor(options: PluginSinkOptions) {
    this.#settings = {
      ...{ options: "", queueSize: QUEUE_SIZE, patience: PATIENCE_MS },
      ...{ flushTime: FLUSH_MS, firstPause: FIRST_PAUSE_MS, onError: () => {} },
      ...options,
      path: checkPluginFile(options.path),
    };
    this.#writing = new OutageWatch("write", this.counters, this.#settings.onError);
    this.#start();
  }

  /**
   * Resolves when the plug-in is open. To be called right after the constructor or not at all: with it, a
   * plug-in that fails to open is not started again.
   *
   * @throws {Error} that says why it is not
   */
  async opened(): Promise<void> {
    await new Promise<void>((resolve, reject) => {
      this.#opening = { resolve, reject };
    });
  }

  write(stream: StreamName, data: Uint8Array, at: WallClock): void {
    this.counters.pendingBytes += data.length;
    this.#queue.push(stream, data, at);
    if (this.#over) {
      this.#dropAll();
      return;
    }
    this.#pump();
    while (this.#queue.size > this.#settings.queueSize) this.#dropOldest();
  }

  end(stream: StreamName): void {
    if (this.#over || this.#ended.has(stream)) return;
    this.#ended.add(stream);
    this.#queue.pushEnd(stream);
    this.#pump();
  }

  /** Once both streams have ended this closes the plug-in too. Takes no longer than the flush time. */
  async flush(): Promise<void> {
    if (this.#over || (this.#isCaughtUp && !this.#allEnded)) return;
    const done = new Promise<void>((resolve) => this.#flushed.push(resolve));
    this.#flushTimer ??= setTimeout(() => this.#onFlushTimer(), this.#settings.flushTime);
    if (this.#pause !== undefined) this.#start();
    this.#pump();
    await done;
  }

  /** Nothing to do: files, if there are any, are the plug-in's. */
  reopen(): void {}

  /** What becomes of the output is the plug-in's own affair. */
  async sync(): Promise<void> {}

  /** What waits is dropped: {@link flush} goes before. */
  close(): void {
    this.#finish();
    this.#opening?.reject(new Error("it was closed"));
  }

  // ---- the thread ----

  get #isCaughtUp(): boolean {
    return this.#queue.isEmpty && this.#inFlight === undefined;
  }

  get #allEnded(): boolean {
    return this.#ended.size === 2;
  }

  #start(): void {
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.#startedAt = performance.now();
    const { path, options, container, patience } = this.#settings;
    this.#thread = new PluginThread({ path, options, container }, patience, {
      onOpened: () => this.#onOpened(),
      onWritten: (records, bytes) => this.#onWritten(records, bytes),
      onClosed: () => this.#finish(),
      onFailed: (error) => this.#onFailed(error),
    });
  }

  /** Keeps the thread busy as long as there is something to do. */
  #pump(): void {
    if (this.#thread?.isIdle !== true) return;
    this.#inFlight = this.#queue.take();
    if (this.#inFlight !== undefined) this.#thread.write(this.#inFlight);
    else if (this.#flushed.length > 0) this.#onCaughtUp();
  }

  #onCaughtUp(): void {
    if (this.#allEnded) this.#thread?.close();
    else this.#resolveFlushed();
  }

  #onOpened(): void {
    this.#opening?.resolve();
    this.#opening = undefined;
    this.#pump();
  }

  #onWritten(stdout: Written, stderr: Written): void {
    const { counters } = this;
    // What the thread says is somebody else's word: it cannot have more than it was given.
    const given = counters.pendingBytes - this.#queue.output;
    const ofStderr = Math.min(stderr.bytes, given);
    const ofStdout = Math.min(stdout.bytes, given - ofStderr);
    const bytes = ofStdout + ofStderr;
    counters.pendingBytes -= bytes;
    countLogged(counters, "stdout", stdout.records, ofStdout);
    countLogged(counters, "stderr", stderr.records, ofStderr);
    if (this.#inFlight !== undefined) this.#queue.recycle(this.#inFlight);
    this.#inFlight = undefined;
    this.#writing.succeeded(bytes);
    this.#pump();
  }

  #onFailed(error: Error): void {
    this.#thread = undefined;
    if (this.#opening !== undefined) {
      const { reject } = this.#opening;
      this.#opening = undefined;
      this.#finish();
      reject(error);
      return;
    }
    if (performance.now() - this.#startedAt >= STABLE_MS) this.#failures = 0;
    this.#failures++;
    const lost = this.counters.pendingBytes - this.#queue.output;
    this.#writing.failed(error, lost);
    this.#dropFromThread();
    // At the end there is no time for another try.
    if (this.#flushed.length > 0) this.#finish();
    else if (this.#failures < FAILURES_MAX) {
      const pause = this.#settings.firstPause * 2 ** (this.#failures - 1);
      this.#pause = setTimeout(() => this.#start(), pause);
    } else this.#giveUp(error);
  }

  #giveUp(error: Error): void {
    const text = `it has failed ${this.#failures} times and is not started again: ${error.message}`;
    this.#finish();
    this.#settings.onError({ state: "failing", task: "write", error: new Error(text) });
  }

  #onFlushTimer(): void {
    const { flushTime } = this.#settings;
    const error = new Error(`it has not taken everything within ${flushTime} ms`);
    this.#writing.failed(error, this.counters.pendingBytes);
    this.#finish();
  }

  /** The plug-in has had all that it will get. */
  #finish(): void {
    this.#over = true;
    this.#thread?.terminate();
    this.#thread = undefined;
    clearTimeout(this.#pause);
    this.#pause = undefined;
    this.#dropFromThread();
    this.#dropAll();
    this.#resolveFlushed();
  }

  #resolveFlushed(): void {
    clearTimeout(this.#flushTimer);
    this.#flushTimer = undefined;
    for (const resolve of this.#flushed.splice(0)) resolve();
  }

  // ---- losses ----

  #dropOldest(): void {
    const batch = this.#queue.discard();
    if (batch === undefined) return;
    this.#writing.failed(this.#tooSlow, batch.output);
    this.#countDropped(batch.countRecords(), batch.output);
    this.#queue.recycle(batch);
  }

  /** Of what the thread had, nobody knows how much the plug-in has seen: none of it counts. */
  #dropFromThread(): void {
    const bytes = this.counters.pendingBytes - this.#queue.output;
    // Without a batch it is the beginning of a line, which the thread held.
    const records = this.#inFlight?.countRecords() ?? (bytes > 0 ? 1 : 0);
    this.#inFlight = undefined;
    this.#countDropped(records, bytes);
  }

  #dropAll(): void {
    for (let batch = this.#queue.discard(); batch !== undefined; batch = this.#queue.discard()) {
      this.#countDropped(batch.countRecords(), batch.output);
    }
  }

  #countDropped(records: number, bytes: number): void {
    this.counters.pendingBytes -= bytes;
    this.counters.droppedBytes += bytes;
    this.counters.droppedRecords += records;
  }
}
