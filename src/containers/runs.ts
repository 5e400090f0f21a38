/**
 * runs.json: how often a container was started, and whether it will be again. Only whoever starts it writes
 * it: `run` and `start`, who have the lock of start-lock.ts, and then the exit command, so that two writers never meet.
 */
import type { ContainerState } from "./container.ts";
import { readIfThere, writeWhole } from "./files.ts";
import { isObject } from "./oci.ts";
import type { RestartPolicy } from "./options.ts";
import { parseJson } from "./record.ts";
import type { ContainerPaths } from "./state.ts";

/** Times are RFC 3339, UTC. */
export interface Runs {
  /** How many times it was started. */
  readonly count: number;
  /** How many restarts in a row came after a short run. */
  readonly inARow: number;
  /** When somebody began to make this run, if it is neither the first nor a restart. */
  readonly made?: string;
  /** The pid of the monitor whose exit command has written this; undefined: `run` or `start` has. */
  readonly keeper?: number | undefined;
  /** When its process was started last; `null`: it is being made. */
  readonly started: string | null;
  /** When that run was over; `null`: as far as is known it is not. */
  readonly ended: string | null;
  /** How that run ended. */
  readonly status: number | null;
  /** When it will be started again; `null`: it will not. */
  readonly next: string | null;
}

export const FIRST_RUN: Runs = {
  count: 1,
  inARow: 0,
  started: null,
  ended: null,
  status: null,
  next: null,
};

/** A run of that many milliseconds was a good one: the next back-off is short again. */
const LASTING = 10_000;
const FIRST_DELAY = 100;
const MOST_DELAY = 60_000;

export function writeRuns(paths: ContainerPaths, runs: Runs): void {
  writeWhole(paths.runs, `${JSON.stringify(runs)}\n`);
}

export function readRuns(paths: ContainerPaths): Runs | undefined {
  const text = readIfThere(paths.runs);
  const value = text === undefined ? undefined : parseJson(text);
  // Written by this file only.
  return isObject(value) ? (value as unknown as Runs) : undefined;
}

/**
 * The run that somebody makes, or has made, and that has not begun, be it the first one or not. Undefined if it has
 * begun, or if the exit command makes it. Whether it is still being made tells the lock, see start-lock.ts.
 */
export function unbegunRun(paths: ContainerPaths): Runs | undefined {
  const runs = readRuns(paths);
  if (runs === undefined) return FIRST_RUN;
  return runs.started === null && runs.ended === null && runs.made !== undefined ? runs : undefined;
}

/**
 * The run that was made and can be had to begin; undefined if there is none. If the container's state is `created`
 * although the run is said to have begun, whoever was about to have it begin was killed.
 */
export function madeRun(paths: ContainerPaths, condition: ContainerState): Runs | undefined {
  if (condition !== "created") return undefined;
  const runs = readRuns(paths);
  return runs !== undefined && runs.started !== null ? runs : unbegunRun(paths);
}

/** What is decided at the end of a run: `next` says whether and when there is another one. */
export function afterRun(
  runs: Runs,
  policy: RestartPolicy,
  end: { readonly status: number; readonly at: Date; readonly wanted: boolean },
): Runs {
  const { status, at } = end;
  const lasted = runs.started === null ? 0 : at.getTime() - Date.parse(runs.started);
  const inARow = lasted >= LASTING ? 0 : runs.inARow;
  const again = !end.wanted && isRestarted(policy, status, inARow);
  const delay = Math.min(FIRST_DELAY * 2 ** inARow, MOST_DELAY);
  return {
    ...runs,
    ended: at.toISOString(),
    status,
    inARow: again ? inARow + 1 : inARow,
    next: again ? new Date(at.getTime() + delay).toISOString() : null,
  };
}

function isRestarted(policy: RestartPolicy, status: number, inARow: number): boolean {
  switch (policy.when) {
    case "no":
      return false;
    case "always":
      return true;
    case "on-failure":
      return status !== 0 && (policy.most === null || inARow < policy.most);
  }
}
