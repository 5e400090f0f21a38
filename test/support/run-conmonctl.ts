import { type SpawnSyncReturns, spawnSync } from "node:child_process";
import { join } from "node:path";
import { programPath, projectRoot } from "./programs.ts";
import type { Scratch } from "./scratch.ts";

/** The command line as it is built. */
export const conmonctlProgram = join(projectRoot, "bin/conmonctl");

/** How long one conmonctl may take, in milliseconds. */
const PATIENCE = 60_000;

/** What may be given to {@link runConmonctl}. */
export interface ConmonctlOptions {
  /** Besides what it always has, which is little. */
  readonly environment?: Readonly<Record<string, string>>;
  /** A command that runs conmonctl, as `unshare` does. */
  readonly wrapper?: readonly string[];
  /** Default: root, or whoever runs the tests. */
  readonly uid?: number;
}

/** What a program started for a test gets: all that is the machine's own is elsewhere. */
export function privateEnvironment(scratch: Scratch): Record<string, string> {
  return {
    PATH: programPath,
    HOME: scratch.folder("home"),
    TMPDIR: scratch.temporary,
    XDG_RUNTIME_DIR: scratch.folder("run"),
    CONMON_TS_STATE: scratch.path("state"),
    CONMON_TS_TEST: scratch.id,
  };
}

/** Runs conmonctl to its end. */
export function runConmonctl(
  scratch: Scratch,
  args: readonly string[],
  { environment = {}, wrapper = [], uid }: ConmonctlOptions = {},
): SpawnSyncReturns<string> {
  const [program = "", ...rest] = [...wrapper, process.execPath, conmonctlProgram, ...args];
  return spawnSync(program, rest, {
    cwd: scratch.directory,
    env: { ...privateEnvironment(scratch), ...environment },
    encoding: "utf8",
    timeout: PATIENCE,
    ...(uid !== undefined && { uid, gid: uid }),
  });
}

/** The JSON that conmonctl prints, which has to succeed unless `status` says otherwise. */
export function jsonOf(result: SpawnSyncReturns<string>, status = 0): unknown {
  if (result.status !== status) {
    throw new Error(`conmonctl ended with ${result.status}: ${result.stderr}${result.stdout}`);
  }
  return JSON.parse(result.stdout);
}
