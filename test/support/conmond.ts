import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import { chmodSync, rmSync } from "node:fs";
import { join } from "node:path";
import type { ProcessEnd } from "./conmon.ts";
import { conmondProgram, programPath } from "./programs.ts";
import type { Scratch } from "./scratch.ts";
import { inTime, PATIENCE } from "./waiting.ts";

/** A shared conmond of a test. */
export interface Conmond {
  /** What monitors get as `$CONMOND_SOCKET`. */
  readonly socket: string;
  readonly pid: number;
  /** Its own log so far. */
  log(): string;
  /** Resolves when its log holds the text. */
  logged(text: string): Promise<void>;
  /** How it has ended. */
  readonly ended: Promise<ProcessEnd>;
  /** Sends a signal and waits for the end. */
  stop(signal?: NodeJS.Signals): Promise<void>;
}

/** How a shared conmond is to be started. */
export interface ConmondOptions {
  readonly arguments?: readonly string[];
  /** Its limit of descriptors. */
  readonly openFiles?: number;
  /** Default: one of its own, see {@link newSocketPath}. */
  readonly socket?: string;
  /** A command with its arguments that is to execute it. Default: none. */
  readonly wrapper?: readonly string[];
  /** Options for Node.js. */
  readonly node?: readonly string[];
  /** Besides a small one. */
  readonly environment?: Readonly<Record<string, string>>;
}

/** A path for a socket, in a directory that conmond does not refuse. */
export function newSocketPath(scratch: Scratch): string {
  const directory = scratch.folder("conmond");
  chmodSync(directory, 0o700);
  return join(directory, `${scratch.uniqueName()}.sock`);
}

/** Starts a shared conmond; resolves when it listens. It is stopped at the end of the test. */
export async function startConmond(
  scratch: Scratch,
  options: ConmondOptions = {},
): Promise<Conmond> {
  const socket = options.socket ?? newSocketPath(scratch);
  const args = [
    ...(options.node ?? []),
    conmondProgram,
    "--socket",
    socket,
    ...(options.arguments ?? []),
  ];
  // The limit of descriptors is set by a shell, which then becomes conmond.
  const limit = options.openFiles === undefined ? "true" : `ulimit -n ${options.openFiles}`;
  const command = [
    "-c",
    `${limit}; exec "$@"`,
    "sh",
    ...(options.wrapper ?? []),
    process.execPath,
    ...args,
  ];
  const child = spawn("/bin/sh", command, {
    cwd: scratch.directory,
    env: {
      PATH: programPath,
      HOME: scratch.directory,
      TMPDIR: scratch.temporary,
      CONMON_TS_TEST: scratch.id,
      ...options.environment,
    },
    stdio: ["ignore", "pipe", "pipe"],
  });
  let log = "";
  let onLog = (): void => {};
  let onListening = (): void => {};
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding("utf8").on("data", (text) => {
      log += text;
      if (log.includes("Listening on")) onListening();
      onLog();
    });
  }
  // Who takes another one's place finds somebody listening already.
  const serves = new Promise<void>((resolve) => {
    onListening = resolve;
  });
  // With all that it has said: "exit" can come before that.
  const ended = once(child, "close").then(([status, signal]): ProcessEnd => ({ status, signal }));
  const early = ended.then(() => {
    throw new Error(`conmond ended before it listened: ${log}`);
  });
  const stop = async (signal: NodeJS.Signals = "SIGTERM"): Promise<void> => {
    await end(child, ended, signal);
    // Who is killed cannot tidy up; who is asked to leave has to.
    if (signal === "SIGKILL") rmSync(socket, { force: true });
  };
  scratch.atEnd(() => stop());
  early.catch(() => {}); // Once it listens, an end is no fault of the start any more.
  await Promise.race([inTime(serves, () => `conmond to serve: ${log}`), early]);
  if (child.pid === undefined) throw new Error("conmond has no pid");
  const logged = (text: string): Promise<void> =>
    inTime(
      new Promise((resolve) => {
        onLog = () => {
          if (log.includes(text)) resolve();
        };
        onLog();
      }),
      () => `"${text}" in conmond's log: ${log}`,
    );
  return { socket, pid: child.pid, log: () => log, logged, ended, stop };
}

async function end(child: ChildProcess, ended: Promise<unknown>, signal: NodeJS.Signals) {
  if (child.exitCode !== null || child.signalCode !== null) return;
  child.kill(signal);
  await inTime(ended, `conmond's end on ${signal}`);
}

/** A conmond that is expected to end by itself at once. */
export function tryConmond(
  scratch: Scratch,
  args: readonly string[],
  environment: Readonly<Record<string, string>> = {},
): { status: number | null; stderr: string } {
  const { status, stderr } = spawnSync(process.execPath, [conmondProgram, ...args], {
    cwd: scratch.directory,
    encoding: "utf8",
    env: { PATH: programPath, CONMON_TS_TEST: scratch.id, ...environment },
    timeout: PATIENCE,
  });
  return { status, stderr };
}
