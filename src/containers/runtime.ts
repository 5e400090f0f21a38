/** Calls of an OCI runtime. */
import { spawn, spawnSync } from "node:child_process";
import { ContainerError, type ContainerErrorCode } from "./errors.ts";
import { isObject } from "./oci.ts";
import { programEnvironment } from "./programs.ts";
import { parseJson } from "./record.ts";

/** How long a runtime may take to say how a container is, in milliseconds. */
const STATUS_PATIENCE = 5000;

/** Whose container it is that a runtime is to do something to. */
export interface RuntimeCommand {
  readonly runtime: string;
  /** The runtime's global options. */
  readonly runtimeArguments: readonly string[];
}

/** How a call ended. */
interface Outcome {
  readonly status: number | null;
  readonly stderr: string;
}

/**
 * Runs `RUNTIME ... start ID`.
 *
 * @throws ContainerError that says whose fault it is
 */
export async function startContainer(command: RuntimeCommand, id: string): Promise<void> {
  const { status, stderr } = await call(command, ["start", id]);
  if (status !== 0) throw startFailure(`cannot start container ${id.slice(0, 12)}`, stderr);
}

/** Runs `RUNTIME ... kill ID SIGNAL`. */
export async function killContainer(
  command: RuntimeCommand,
  id: string,
  signal: string,
): Promise<void> {
  const { status, stderr } = await call(command, ["kill", id, signal]);
  if (status === 0) return;
  throw new ContainerError(
    "failed",
    `cannot send ${signal} to container ${id.slice(0, 12)}: ${reasonIn(stderr)}`,
  );
}

/** Runs `RUNTIME ... delete --force ID`, which also kills it. One that is gone is no error. */
export async function deleteContainer(command: RuntimeCommand, id: string): Promise<void> {
  const { status, stderr } = await call(command, ["delete", "--force", id]);
  if (status === 0 || /does not exist|no such/i.test(stderr)) return;
  throw new ContainerError(
    "failed",
    `cannot delete container ${id.slice(0, 12)}: ${reasonIn(stderr)}`,
  );
}

/**
 * Runs `RUNTIME ... state ID`, and waits for it.
 *
 * @returns `created`, `running` and so on; undefined if the runtime knows no such container, or does not say
 */
export function runtimeStatus(command: RuntimeCommand, id: string): string | undefined {
  const { runtime, runtimeArguments } = command;
  const { stdout } = spawnSync(runtime, [...runtimeArguments, "state", id], {
    cwd: "/",
    env: programEnvironment(),
    stdio: ["ignore", "pipe", "ignore"],
    encoding: "utf8",
    timeout: STATUS_PATIENCE,
    killSignal: "SIGKILL",
  });
  const state = parseJson(stdout ?? "");
  return isObject(state) && typeof state.status === "string" ? state.status : undefined;
}

/** What a runtime said about a container that could not be started, as an error. */
export function startFailure(what: string, said: string): ContainerError {
  const code = blame(said);
  return new ContainerError(code, `${what}: ${reasonIn(said)}`, { hint: hintFor(code, said) });
}

function hintFor(code: ContainerErrorCode, said: string): string | undefined {
  if (code === "command-not-found") return "is the command there, inside of the container?";
  if (code === "not-executable") return "is the command a program that its user may execute?";
  if (/\bchdir\b/.test(said)) return "is the working directory there, inside of the container?";
  if (/join or create cgroup/.test(said)) return "limits need a cgroup that this user may change";
  return undefined;
}

function blame(said: string): ContainerErrorCode {
  // A directory that is missing is told in the words of a missing command.
  if (/\bchdir\b/.test(said)) return "not-started";
  if (/executable file .*not found|exec.*: no such file or directory/i.test(said)) {
    return "command-not-found";
  }
  if (/exec.*(permission denied|is a directory)|exec format error/i.test(said)) {
    return "not-executable";
  }
  return "not-started";
}

/** The last line that says something: runtimes log as text or as JSON, with or without a time before it. */
function reasonIn(stderr: string): string {
  const lines = stderr.split("\n").map((line) => line.trim());
  const last = lines.filter((line) => line !== "").at(-1) ?? "it gave no reason";
  const message = /\bmsg="((?:[^"\\]|\\.)*)"/.exec(last)?.[1];
  return message === undefined ? last : message.replace(/\\(.)/g, "$1");
}

function call(command: RuntimeCommand, args: readonly string[]): Promise<Outcome> {
  const { runtime, runtimeArguments } = command;
  return new Promise((resolve, reject) => {
    const child = spawn(runtime, [...runtimeArguments, ...args], {
      cwd: "/",
      env: programEnvironment(),
      stdio: ["ignore", "ignore", "pipe"],
      // Ctrl-C is for conmonctl, which then does what is right.
      detached: true,
    });
    let stderr = "";
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    child.on("error", (cause) => {
      const message = `cannot run ${runtime}: ${cause.message}`;
      reject(new ContainerError("not-started", message, { cause }));
    });
    child.on("close", (status) => resolve({ status, stderr }));
  });
}
