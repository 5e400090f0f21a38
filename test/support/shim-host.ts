/** A conmond made of test code: starts the real shim and speaks the protocol with it. */
import { type ChildProcess, type StdioOptions, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, readlinkSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { ShimConnection } from "../../src/shim/connection.ts";
import type { Context } from "../../src/shim/context.ts";
import type { Ending, Hello, Role } from "../../src/shim/messages.ts";
import * as sys from "../../src/sys/mod.ts";
import { inTime } from "./waiting.ts";

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))));

/** The shim as users run it, and the one that finds its own memory errors. */
export const SHIMS = {
  static: join(root, "bin/conmon"),
  sanitized: join(root, "build/bin/conmon-sanitized"),
} as const;

export type ShimEvent =
  | { type: "hello"; hello: Hello; context: Context; descriptors: Map<number, number> }
  | { type: "spawned"; role: Role; pid: number; descriptors: Map<number, number> }
  | { type: "failed"; request: number; errno: number; text: string }
  | { type: "exited"; role: Role; pid: number; ending: Ending }
  | { type: "signal"; signal: number; forwardedTo: Role | undefined }
  | { type: "inherited-closed" }
  | { type: "reported"; report: number; errno: number }
  | { type: "lost"; error: Error | undefined };

type EventOf<T extends ShimEvent["type"]> = Extract<ShimEvent, { type: T }>;

/** One connection of a shim, its events in order. */
export class HostedSession {
  /** The connection's socket, for what a connection cannot be made to send. */
  readonly fd: number;
  readonly connection: ShimConnection;
  /** Known once it has said hello. */
  shimPid: number | undefined;
  readonly #events: ShimEvent[] = [];
  #wake: (() => void) | undefined;

  constructor(fd: number) {
    this.fd = fd;
    const push = (event: ShimEvent): void => {
      if (event.type === "hello") this.shimPid = event.hello.shimPid;
      this.#events.push(event);
      this.#wake?.();
    };
    this.connection = new ShimConnection(fd, {
      onHello: (hello, context, descriptors) =>
        push({ type: "hello", hello, context, descriptors }),
      onSpawned: (role, pid, descriptors) => push({ type: "spawned", role, pid, descriptors }),
      onFailed: (request, errno, text) => push({ type: "failed", request, errno, text }),
      onExited: (role, pid, ending) => push({ type: "exited", role, pid, ending }),
      onSignal: (signal, forwardedTo) => push({ type: "signal", signal, forwardedTo }),
      onInheritedClosed: () => push({ type: "inherited-closed" }),
      onReported: (report, errno) => push({ type: "reported", report, errno }),
      onLost: (error) => push({ type: "lost", error }),
    });
  }

  /** The next event, which must be of this type. */
  async next<T extends ShimEvent["type"]>(type: T): Promise<EventOf<T>> {
    if (this.#events.length === 0) {
      await inTime(
        new Promise<void>((resolve) => {
          this.#wake = resolve;
        }),
        `a message of the shim, expected: ${type}`,
      );
    }
    const event = this.#events.shift();
    if (event?.type !== type) {
      throw new Error(`expected ${type} from the shim, got ${JSON.stringify(event)}`);
    }
    return event as EventOf<T>;
  }
}

export interface RunOptions {
  arguments?: string[];
  environment?: Record<string, string>;
  /** As for child_process.spawn; default: stdin nothing, stdout and stderr collected. */
  stdio?: StdioOptions;
  workingDirectory?: string;
  /** A command that is to execute the shim; default: none. */
  wrapper?: string[];
}

/** A shim that was started, and what came of it. */
export interface RunningShim {
  process: ChildProcess;
  stdout: () => string;
  stderr: () => string;
  /** The exit status of the process that was started, and its output complete. */
  ended: Promise<{ code: number | null; signal: NodeJS.Signals | null }>;
}

/** Listens where the shim looks for a shared conmond. */
export class ShimHost {
  readonly directory: string;
  readonly socketPath: string;
  readonly #shim: string;
  readonly #listener: number;
  readonly #readiness: sys.Readiness;
  readonly #all: HostedSession[] = [];
  readonly #sessions: HostedSession[] = [];
  readonly #waiting: ((session: HostedSession) => void)[] = [];
  readonly #started: ChildProcess[] = [];

  constructor(shim: string) {
    this.#shim = shim;
    this.directory = mkdtempSync(join(tmpdir(), "shim-host-"));
    this.socketPath = join(this.directory, "conmond.sock");
    this.#listener = sys.unixSocket("seqpacket");
    sys.bindUnix(this.#listener, this.socketPath);
    sys.listen(this.#listener, 16);
    this.#readiness = new sys.Readiness(this.#listener, () => this.#accept());
    this.#readiness.watch(sys.READABLE);
  }

  start(options: RunOptions = {}): RunningShim {
    const [command = this.#shim, ...rest] = [
      ...(options.wrapper ?? []),
      this.#shim,
      ...(options.arguments ?? []),
    ];
    const child = spawn(command, rest, {
      env: { CONMOND_SOCKET: this.socketPath, ...options.environment },
      stdio: options.stdio ?? ["ignore", "pipe", "pipe"],
      cwd: options.workingDirectory ?? this.directory,
    });
    this.#started.push(child);
    const text = { stdout: "", stderr: "" };
    child.stdout?.setEncoding("utf8").on("data", (chunk) => {
      text.stdout += chunk;
    });
    child.stderr?.setEncoding("utf8").on("data", (chunk) => {
      text.stderr += chunk;
    });
    const ended = once(child, "close").then(([code, signal]) => ({ code, signal }));
    return { process: child, stdout: () => text.stdout, stderr: () => text.stderr, ended };
  }

  /** The next connection that a shim makes. */
  session(): Promise<HostedSession> {
    const ready = this.#sessions.shift();
    if (ready !== undefined) return Promise.resolve(ready);
    return inTime(
      new Promise((resolve) => {
        this.#waiting.push(resolve);
      }),
      "a shim to connect",
    );
  }

  close(): void {
    this.#readiness.close();
    sys.close(this.#listener);
    for (const child of this.#started) child.kill("SIGKILL");
    // A shim whose session a failed test has not ended would look for another conmond for ever.
    for (const { shimPid } of this.#all) if (shimPid !== undefined) killShim(shimPid);
    rmSync(this.directory, { recursive: true, force: true });
  }

  #accept(): void {
    for (let fd = sys.accept(this.#listener); fd !== undefined; fd = sys.accept(this.#listener)) {
      const session = new HostedSession(fd);
      this.#all.push(session);
      const waiting = this.#waiting.shift();
      if (waiting === undefined) this.#sessions.push(session);
      else waiting(session);
    }
  }
}

/** Only if it is a shim still: the pid may have been given to somebody else. */
function killShim(pid: number): void {
  try {
    const program = readlinkSync(`/proc/${pid}/exe`);
    if (Object.values(SHIMS).some((path) => path === program)) process.kill(pid, "SIGKILL");
  } catch (error) {
    const code = (error as NodeJS.ErrnoException).code;
    if (code !== "ENOENT" && code !== "ESRCH") throw error;
  }
}
