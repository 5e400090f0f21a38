/** Hooks: programs that are run at certain points of a container's life, with its state on stdin. */
import { spawnSync } from "node:child_process";
import type { Hook, HookKind, Hooks } from "./config.ts";
import { Failure, messageOf } from "./failure.ts";
import type { OciState } from "./store.ts";

/**
 * Runs the hooks of one kind, one after the other, until one fails.
 *
 * @throws Failure for the one that failed, with what it said
 */
export function runHooks(hooks: Hooks, kind: HookKind, state: OciState): void {
  hooks[kind].forEach((hook, i) => {
    const fault = runHook(hook, JSON.stringify(state));
    if (fault !== undefined) throw new Failure(`error running ${kind} hook #${i}: ${fault}`);
  });
}

/** Runs hooks whose failure changes nothing: the rest is run too. `warn` is told of each that failed. */
export function runAllHooks(
  hooks: Hooks,
  kind: HookKind,
  state: OciState,
  warn: (message: string) => void,
): void {
  for (const hook of hooks[kind]) {
    try {
      runHooks({ ...hooks, [kind]: [hook] }, kind, state);
    } catch (error) {
      warn(messageOf(error));
    }
  }
}

/** @returns why it failed, or undefined */
function runHook({ path, args, env, timeout }: Hook, input: string): string | undefined {
  const [name, ...rest] = args;
  const result = spawnSync(path, rest, {
    ...(name === undefined ? {} : { argv0: name }),
    env: Object.fromEntries(env.map(splitVariable)),
    input,
    stdio: "pipe",
    encoding: "utf8",
    killSignal: "SIGKILL",
    ...(timeout === undefined ? {} : { timeout: timeout * 1000 }),
  });
  // A hook need not read its input.
  const error = result.error as NodeJS.ErrnoException | undefined;
  if (error?.code === "ETIMEDOUT") return `${path} took more than ${timeout} s`;
  if (error !== undefined && error.code !== "EPIPE") return error.message;
  if (result.status === 0) return undefined;
  const end = result.signal === null ? `exit status ${result.status}` : `signal ${result.signal}`;
  return `${path}: ${end}, stdout: ${result.stdout.trim()}, stderr: ${result.stderr.trim()}`;
}

function splitVariable(entry: string): [string, string] {
  const at = entry.indexOf("=");
  return at < 0 ? [entry, ""] : [entry.slice(0, at), entry.slice(at + 1)];
}
