/** Starting a monitor (conmon), as Podman does: with pipes on which it reports. */
import { type ChildProcess, spawn } from "node:child_process";
import type { Duplex, Readable, Writable } from "node:stream";
import split2 from "split2";
import { ContainerError } from "./errors.ts";
import { isObject } from "./oci.ts";
import { monitorProgram, programEnvironment } from "./programs.ts";
import { parseJson } from "./record.ts";
import { startFailure } from "./runtime.ts";

/** What a monitor writes on its pipes: a number, and why where it is negative. */
interface Report {
  readonly number: number;
  readonly message: string;
}

/** A monitor that has been started. Its first process leaves at once; it lives on in another one. */
export class Monitor {
  readonly #child: ChildProcess;
  readonly #what: string;
  readonly #sync: Reports;
  readonly #attach: Reports | undefined;
  readonly #start: Writable | undefined;
  readonly #left: Promise<string | undefined>;
  #stderr = "";

  /**
   * @param what completes "cannot ...: REASON"
   * @param attached it is an exec that waits for us to attach
   */
  constructor(what: string, args: readonly string[], attached = false) {
    this.#what = what;
    const environment: NodeJS.ProcessEnv = { ...programEnvironment(), _OCI_SYNCPIPE: "3" };
    if (attached) Object.assign(environment, { _OCI_ATTACHPIPE: "4", _OCI_STARTPIPE: "5" });
    this.#child = spawn(monitorProgram(), args, {
      cwd: "/",
      env: environment,
      stdio: ["ignore", "ignore", "pipe", "pipe", ...(attached ? (["pipe", "pipe"] as const) : [])],
      detached: true,
    });
    const [, , , sync, attach, start]: readonly unknown[] = this.#child.stdio;
    this.#sync = new Reports(sync);
    this.#attach = attached ? new Reports(attach) : undefined;
    this.#start = attached ? asPipe(start) : undefined;
    this.#start?.on("error", () => {}); // That it ended is told by the other pipes.
    this.#child.stderr?.setEncoding("utf8").on("data", (text) => {
      this.#stderr += text;
    });
    this.#left = this.#firstProcess();
  }

  /**
   * Waits until the container is made.
   *
   * @returns the pid of its process
   * @throws ContainerError with the monitor's or the runtime's reason
   */
  async created(): Promise<number> {
    const fault = await this.#left;
    if (fault !== undefined) throw new ContainerError("not-started", `${this.#what}: ${fault}`);
    const report = await this.#sync.next();
    if (report !== undefined && report.number > 0) return report.number;
    throw startFailure(this.#what, report?.message ?? "the monitor ended without a reason");
  }

  /** Waits until the attach socket of an exec is there. */
  async attachable(): Promise<void> {
    this.proceed();
    const report = this.#attach?.next();
    // The pipe may stay open in a process that hangs, but not without the first process.
    const fault = await Promise.race([this.#left, report?.then(() => undefined)]);
    if (fault === undefined && (await report) !== undefined) return;
    throw new ContainerError(
      "not-started",
      `${this.#what}: ${fault ?? (await this.#left) ?? "the monitor made no attach socket"}`,
    );
  }

  /** The word that an exec waits for: at first to begin, and again once we have attached. */
  proceed(): void {
    this.#start?.write("go\n");
  }

  /** The next number that the monitor reports; undefined when it has ended. */
  async nextReport(): Promise<Report | undefined> {
    return await this.#sync.next();
  }

  /** Resolves when the monitor has ended, with all that it had to do. */
  async ended(): Promise<void> {
    while ((await this.#sync.next()) !== undefined);
  }

  /** Lets go of the pipes: it does not matter to the monitor whether anybody listens. */
  release(): void {
    this.#sync.close();
    this.#attach?.close();
    this.#start?.destroy();
    this.#child.stderr?.destroy();
    this.#child.unref();
  }

  /** Resolves with what went wrong, if something did. */
  #firstProcess(): Promise<string | undefined> {
    return new Promise((resolve) => {
      this.#child.on("error", (error) => resolve(error.message));
      this.#child.on("exit", (status, signal) => {
        if (status === 0) resolve(undefined);
        // stderr may come a little later than the end.
        else this.#child.on("close", () => resolve(this.#complaint(signal ?? status)));
        if (status !== 0) this.release();
      });
    });
  }

  #complaint(end: NodeJS.Signals | number | null): string {
    const lines = this.#stderr.trim().split("\n");
    const last = lines.at(-1)?.replace(/^\[conmon:e\]: |^conmon: /, "");
    return last === undefined || last === "" ? `the monitor ended with ${end}` : last;
  }
}

/** The messages on a pipe, one JSON object a line. */
class Reports {
  readonly #pipe: Duplex;
  readonly #lines: AsyncIterator<string>;

  constructor(pipe: unknown) {
    this.#pipe = asPipe(pipe);
    const lines = this.#pipe.pipe(split2());
    // A pipe that is reset has ended like any other.
    this.#pipe.on("error", () => lines.end());
    this.#pipe.on("close", () => lines.end());
    this.#lines = lines[Symbol.asyncIterator]();
  }

  async next(): Promise<Report | undefined> {
    const { value, done } = await this.#lines.next();
    if (done) return undefined;
    const message = parseJson(String(value));
    if (!isObject(message)) return undefined;
    const number = message.data ?? message.exit_code ?? message.pid;
    return {
      number: typeof number === "number" ? number : -1,
      message: typeof message.message === "string" ? message.message : "",
    };
  }

  close(): void {
    this.#pipe.destroy();
  }
}

function asPipe(stream: unknown): Duplex {
  // Node.js makes both directions of every extra "pipe", whatever the type says.
  if (isDuplex(stream)) return stream;
  throw new TypeError("a pipe to the monitor is missing");
}

function isDuplex(stream: unknown): stream is Readable & Writable & Duplex {
  return typeof stream === "object" && stream !== null && "pipe" in stream && "write" in stream;
}
