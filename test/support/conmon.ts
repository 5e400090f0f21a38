import { type ChildProcess, execFileSync, type SpawnOptions, spawn } from "node:child_process";
import { closeSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import type { Bundle } from "./bundle.ts";
import { ReportPipe, StartPipe } from "./pipes.ts";
import { type Monitor, monitorPath, needProgram, programPath } from "./programs.ts";
import type { Scratch } from "./scratch.ts";
import { inTime, PATIENCE, textOf } from "./waiting.ts";

/** How a monitor is to be started. All have defaults that make a plain container. */
export interface ConmonOptions {
  /** Default: "ours". */
  readonly conmon?: Monitor;
  /** Path of the OCI runtime. Default: the installed runc. */
  readonly runtime?: string;
  /** Without one no `--bundle` is given. */
  readonly bundle?: Bundle;
  /** Container ID. Default: the bundle's, or else a unique one. */
  readonly id?: string;
  /** What `--cuuid` and the run's own files are named by. Default: the container ID. */
  readonly session?: string;
  /** Further options, after the standard ones. */
  readonly arguments?: readonly string[];
  /** Standard options that are left out, as `["--exit-dir"]`. */
  readonly omit?: readonly string[];
  /** `--api-version`; without it none is given. */
  readonly apiVersion?: number;
  /** `_OCI_SYNCPIPE`. Default: true. */
  readonly syncPipe?: boolean;
  /** `_OCI_STARTPIPE`. Default: false. */
  readonly startPipe?: boolean;
  /** `_OCI_ATTACHPIPE`. Default: false. */
  readonly attachPipe?: boolean;
  /** Descriptors that the monitor inherits, from 3 up, before the pipes. */
  readonly descriptors?: readonly number[];
  /** A descriptor for the monitor's stdin. Default: /dev/null. */
  readonly stdin?: number;
  /** Besides a small environment: PATH, HOME, TMPDIR and what marks the test. */
  readonly environment?: Readonly<Record<string, string>>;
  /** The socket of a shared conmond. Default: none, so that the monitor has one of its own. */
  readonly conmond?: string;
  /** A command with its arguments that is to execute monitor and runtime. Default: none. */
  readonly wrapper?: readonly string[];
  /** What the caller's stdout and stderr are. Default: pipes, see {@link ConmonRun.stdout}. */
  readonly output?: "pipe" | number;
  /** A user who is to own the run's directories. Default: root. */
  readonly owner?: number;
  /** Default: the test's directory. */
  readonly workingDirectory?: string;
}

/** How a process ended. */
export interface ProcessEnd {
  readonly status: number | null;
  readonly signal: NodeJS.Signals | null;
}

/** Where the standard options put things. */
export interface ConmonPaths {
  readonly log: string;
  readonly exitFile: string;
  /** `<persist-dir>/exit` and `<persist-dir>/oom`. */
  readonly persistDirectory: string;
  readonly exitDirectory: string;
  readonly conmonPidFile: string;
  readonly containerPidFile: string;
  readonly socketDirectory: string;
}

/** Starts a monitor. Use {@link Scratch} to know that it left nothing behind. */
export function startConmon(scratch: Scratch, options: ConmonOptions = {}): ConmonRun {
  return new ConmonRun(scratch, options);
}

/** A monitor that has been started, seen by its caller. */
export class ConmonRun {
  readonly id: string;
  readonly paths: ConmonPaths;
  /** All arguments given to the monitor. */
  readonly arguments: readonly string[];
  /** The process that was started; the monitor that stays is another, see {@link monitorPid}. */
  readonly process: ChildProcess;
  /** The first process has ended. */
  readonly left: Promise<ProcessEnd>;
  /** The first process has ended, and nobody has its stdout or stderr open any more. */
  readonly closed: Promise<ProcessEnd>;
  readonly sync: ReportPipe | undefined;
  readonly attach: ReportPipe | undefined;
  readonly start: StartPipe | undefined;
  readonly #runtime: string;
  readonly #stateDirectory: string;
  readonly #wrapper: readonly string[];
  #stdout = "";
  #stderr = "";

  constructor(scratch: Scratch, options: ConmonOptions) {
    this.id = options.id ?? options.bundle?.id ?? scratch.uniqueName();
    this.#runtime = options.runtime ?? needProgram("runc");
    this.#stateDirectory = scratch.folder("state");
    this.#wrapper = options.wrapper ?? [];
    this.paths = makePaths(scratch, options.session ?? this.id, this.id);
    if (options.owner !== undefined) giveAway(scratch, options.owner);
    this.arguments = this.#makeArguments(options);
    this.sync = options.syncPipe === false ? undefined : new ReportPipe(scratch);
    this.start = options.startPipe ? new StartPipe(scratch) : undefined;
    this.attach = options.attachPipe ? new ReportPipe(scratch) : undefined;
    this.process = this.#spawn(scratch, options);
    this.left = this.#endOn("exit");
    this.closed = this.#endOn("close");
    scratch.atEnd(() => this.#cleanUp());
  }

  #makeArguments(options: ConmonOptions): string[] {
    const { paths } = this;
    const standard: [string, string | undefined][] = [
      ["--cid", this.id],
      ["--cuuid", options.session ?? this.id],
      ["--name", this.id],
      ["--runtime", this.#runtime],
      ["--runtime-arg", `--root=${this.#stateDirectory}`],
      ["--bundle", options.bundle?.directory],
      ["--container-pidfile", paths.containerPidFile],
      ["--conmon-pidfile", paths.conmonPidFile],
      ["--persist-dir", paths.persistDirectory],
      ["--exit-dir", paths.exitDirectory],
      ["--socket-dir-path", paths.socketDirectory],
      ["--log-path", `k8s-file:${paths.log}`],
      ["--api-version", options.apiVersion?.toString()],
    ];
    const given = standard.filter(([name, value]) => value && !options.omit?.includes(name));
    return [...given.map(([name, value]) => `${name}=${value}`), ...(options.arguments ?? [])];
  }

  #spawn(scratch: Scratch, options: ConmonOptions): ChildProcess {
    const pipes = {
      _OCI_SYNCPIPE: this.sync?.theirs,
      _OCI_STARTPIPE: this.start?.theirs,
      _OCI_ATTACHPIPE: this.attach?.theirs,
    };
    const inherited = [...(options.descriptors ?? [])];
    const environment = { ...baseEnvironment(scratch, options), ...options.environment };
    for (const [name, descriptor] of Object.entries(pipes)) {
      if (descriptor === undefined) continue;
      environment[name] = String(3 + inherited.length);
      inherited.push(descriptor);
    }
    const output = options.output ?? "pipe";
    const child = this.#execute(monitorPath(options.conmon ?? "ours"), this.arguments, {
      cwd: options.workingDirectory ?? scratch.directory,
      env: environment,
      stdio: [options.stdin ?? "ignore", output, output, ...inherited],
    });
    for (const descriptor of Object.values(pipes)) {
      if (descriptor !== undefined) closeSync(descriptor);
    }
    child.stdout?.setEncoding("utf8").on("data", (text) => {
      this.#stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text) => {
      this.#stderr += text;
    });
    return child;
  }

  #endOn(event: "exit" | "close"): Promise<ProcessEnd> {
    const ended = new Promise<ProcessEnd>((resolve, reject) => {
      this.process.on("error", reject);
      this.process.on(event, (status, signal) => resolve({ status, signal }));
    });
    // Who does not wait for the end is told of a failed start by what it does wait for.
    ended.catch(() => {});
    return ended;
  }

  /** What the caller got on stdout so far. */
  get stdout(): string {
    return this.#stdout;
  }

  /** What the caller got on stderr so far. */
  get stderr(): string {
    return this.#stderr;
  }

  /**
   * Waits for the sync pipe's first message.
   *
   * @returns the container's pid
   * @throws Error with the monitor's own words when there is no container
   */
  async created(): Promise<number> {
    if (this.sync === undefined) throw new Error("without a sync pipe there is no such message");
    const report = await this.sync.next().catch((error: Error) => {
      throw new Error(`${error.message}; stderr: ${this.#stderr}`, { cause: error });
    });
    const pid = report.data ?? report.pid ?? -1;
    if (pid > 0) return pid;
    throw new Error(`no container was created: ${JSON.stringify(report)}; stderr: ${this.#stderr}`);
  }

  /** The pid in `--conmon-pidfile`, which is there when the first process has left. */
  async monitorPid(): Promise<number> {
    return Number(await textOf(this.paths.conmonPidFile));
  }

  /** The exit status, as soon as it is in `--exit-dir`. */
  async exitStatus(milliseconds: number = PATIENCE): Promise<number> {
    return Number(await textOf(this.paths.exitFile, undefined, milliseconds));
  }

  /** The CRI log as it is now. */
  log(): string {
    return readFileSync(this.paths.log, "utf8");
  }

  /**
   * Waits until the monitor has ended, which is when it lets go of the sync pipe; without a sync
   * pipe the check at the test's end has to do.
   */
  async ended(milliseconds: number = PATIENCE): Promise<void> {
    if (this.sync === undefined) throw new Error("without a sync pipe the end cannot be seen");
    await inTime(this.sync.ended, "the monitor's end", milliseconds);
  }

  /** Runs `runtime start`, after which the container's own process begins. */
  async runtimeStart(): Promise<void> {
    await this.runtimeCall("start", this.id);
  }

  /** Runs `runtime kill`; the signal is a name or number as runc takes it. */
  async runtimeKill(signal: string): Promise<void> {
    await this.runtimeCall("kill", this.id, signal);
  }

  /** Runs `runtime delete --force`. */
  async runtimeDelete(): Promise<void> {
    await this.runtimeCall("delete", "--force", this.id);
  }

  /**
   * Runs a command of the runtime.
   *
   * @returns its stdout
   * @throws Error with its stderr when it fails
   */
  async runtimeCall(...args: string[]): Promise<string> {
    const child = this.#execute(this.#runtime, [`--root=${this.#stateDirectory}`, ...args], {
      env: { PATH: programPath },
      stdio: ["ignore", "pipe", "pipe"],
    });
    let [stdout, stderr] = ["", ""];
    child.stdout?.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    child.stderr?.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    const end = new Promise<number | null>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    const status = await inTime(end, `${this.#runtime} ${args.join(" ")}`);
    if (status === 0) return stdout;
    throw new Error(`${this.#runtime} ${args.join(" ")} ended with ${status}: ${stderr}`);
  }

  #execute(program: string, args: readonly string[], options: SpawnOptions): ChildProcess {
    const [command = program, ...rest] = [...this.#wrapper, program, ...args];
    return spawn(command, rest, options);
  }

  async #cleanUp(): Promise<void> {
    this.start?.close();
    if (existsSync(join(this.#stateDirectory, this.id))) await this.runtimeDelete();
    this.sync?.close();
    this.attach?.close();
  }
}

function giveAway(scratch: Scratch, owner: number): void {
  execFileSync("chown", ["--recursive", `${owner}:${owner}`, scratch.directory]);
}

function makePaths(scratch: Scratch, session: string, id: string): ConmonPaths {
  const own = scratch.folder("runs", session);
  const exitDirectory = scratch.folder("runs", session, "exits");
  return {
    log: join(own, "container.log"),
    exitDirectory,
    exitFile: join(exitDirectory, id),
    persistDirectory: scratch.folder("runs", session, "persist"),
    conmonPidFile: join(own, "conmon.pid"),
    containerPidFile: join(own, "container.pid"),
    socketDirectory: scratch.folder("sockets"),
  };
}

/** Small and known: nothing of what the test runner has in its environment gets through. */
function baseEnvironment(scratch: Scratch, options: ConmonOptions): Record<string, string> {
  return {
    PATH: programPath,
    HOME: scratch.directory,
    TMPDIR: scratch.temporary,
    CONMON_TS_TEST: scratch.id,
    CONMOND_SOCKET: options.conmond ?? "",
    ...scratch.sanitizerEnvironment,
  };
}
