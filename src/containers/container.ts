/** What is known of a container: from its record, if it has one, and from its monitor, if it runs. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { isLeftUnbegun } from "./beginning.ts";
import { changedAt, readIfThere } from "./files.ts";
import { isAlive, readPidFile } from "./process-state.ts";
import type { ContainerRecord } from "./record.ts";
import { type Runs, readRuns } from "./runs.ts";
import { type Owner, pathOf, type Shim } from "./shims.ts";
import { isBeingStarted } from "./start-lock.ts";
import type { ContainerPaths, State } from "./state.ts";

/**
 * - `created`: it is being made, or has not been started yet
 * - `running`
 * - `restarting`: it has ended and will be started again
 * - `exited`
 * - `lost`: nobody knows how it ended, or whether: its monitor was killed, or could not write the exit status
 */
export type ContainerState = "created" | "running" | "restarting" | "exited" | "lost";

/** A container as it is now. Times are RFC 3339, UTC. */
export interface Container {
  readonly id: string;
  readonly name: string;
  /** Who started it. Those of others are known only as long as their monitors run. */
  readonly owner: Owner;
  /** It has a record in the state directory. */
  readonly own: boolean;
  readonly state: ContainerState;
  /** Of its first process, as the host numbers it. */
  readonly pid: number | null;
  readonly monitorPid: number | null;
  readonly exitStatus: number | null;
  readonly outOfMemory: boolean;
  readonly created: string | null;
  readonly started: string | null;
  readonly ended: string | null;
  /** When it is started again. */
  readonly next: string | null;
  /** How many times it was started again. */
  readonly restarts: number;
  /** `null` where it would have to be looked up in the bundle. */
  readonly command: readonly string[] | null;
  readonly bundle: string;
  readonly runtime: string;
  readonly runtimeArguments: readonly string[];
  readonly terminal: boolean;
  readonly stdin: boolean;
  /** Values of conmon's `--log-path`. */
  readonly logs: readonly string[];
  /** Where the monitor writes the exit status. Podman removes some of these files soon. */
  readonly exitFiles: readonly string[];
  /** The monitor's memory file with its counters. */
  readonly journal: string | null;
}

/** For how long a container may be in the making without a monitor, in milliseconds. */
const MAKING = 60_000;
/** The same if whoever made it was killed, and its monitor may not be there yet. */
const APPEARING = 2000;

/** A container with a record. */
export function ownContainer(
  state: State,
  record: ContainerRecord,
  shim: Shim | undefined,
): Container {
  const paths = state.container(record.id);
  const runs = readRuns(paths);
  const exitStatus = readStatus(paths.exit);
  const pid = readPidFile(paths.containerPid);
  const lives = exitStatus === null && pid !== undefined && isAlive(pid);
  const begun =
    lives && runs !== undefined && runs.started !== null && !isLeftUnbegun(paths, record);
  const condition = stateOf(paths, record, runs, { exitStatus, begun, shim });
  return {
    id: record.id,
    name: record.name,
    owner: "conmonctl",
    own: true,
    state: condition,
    pid: lives ? pid : null,
    monitorPid: shim?.pid ?? null,
    exitStatus: condition === "exited" || condition === "restarting" ? exitStatus : null,
    outOfMemory: existsSync(paths.oom),
    created: record.created,
    started: lives && !begun ? null : (runs?.started ?? null),
    ended: exitStatus === null ? null : (changedAt(paths.exit)?.toISOString() ?? null),
    next: condition === "restarting" ? (runs?.next ?? null) : null,
    restarts: (runs?.count ?? 1) - 1,
    command: record.command,
    bundle: paths.bundle,
    runtime: record.runtime,
    runtimeArguments: record.runtimeArguments,
    terminal: record.terminal,
    stdin: record.stdin,
    logs: record.logs,
    exitFiles: [paths.exit],
    journal: shim?.journal ?? null,
  };
}

function stateOf(
  paths: ContainerPaths,
  record: ContainerRecord,
  runs: Runs | undefined,
  now: { exitStatus: number | null; begun: boolean; shim: Shim | undefined },
): ContainerState {
  const { exitStatus, begun, shim } = now;
  if (isRestartPending(runs, shim)) return "restarting";
  if (exitStatus !== null) return "exited";
  if (shim !== undefined) return begun ? "running" : "created";
  const made = runs === undefined ? record.created : runs.started === null ? runs.made : undefined;
  const age = made === undefined ? MAKING : Date.now() - Date.parse(made);
  const isMade = age < APPEARING || (age < MAKING && isBeingStarted(paths));
  return isMade ? "created" : "lost";
}

function isRestartPending(runs: Runs | undefined, shim: Shim | undefined): boolean {
  if (runs?.next == null) return false;
  return shim !== undefined || Date.parse(runs.next) > Date.now();
}

/** Whether a container is over for good, with all that was to be done at its end. */
export function isOver(state: State, container: Container): boolean {
  if (container.state === "lost") return true;
  if (container.state !== "exited") return false;
  if (container.monitorPid === null) return true;
  // It may have been decided to start it again since its state was looked at.
  const runs = readRuns(state.container(container.id));
  return runs !== undefined && runs.ended !== null && runs.next === null;
}

/** A container of somebody else's whose monitor is ours. */
export function foreignContainer(shim: Shim): Container {
  const { options } = shim;
  const exitFiles = exitFilesOf(shim);
  const exitFile = exitFiles.find((path) => existsSync(path));
  const exitStatus = exitFile === undefined ? null : readStatus(exitFile);
  const pid = readPidFile(pathOf(shim, options.containerPidfile ?? `pidfile-${shim.id}`));
  const lives = exitStatus === null && pid !== undefined && isAlive(pid);
  const started = shim.started?.toISOString() ?? null;
  return {
    id: shim.id,
    name: options.name ?? shim.id.slice(0, 12),
    owner: shim.owner,
    own: false,
    state: exitStatus !== null ? "exited" : lives ? "running" : "created",
    pid: lives ? pid : null,
    monitorPid: shim.pid,
    exitStatus,
    outOfMemory:
      options.persistDir !== undefined && existsSync(join(pathOf(shim, options.persistDir), "oom")),
    created: started,
    started: lives ? started : null,
    ended: exitFile === undefined ? null : (changedAt(exitFile)?.toISOString() ?? null),
    next: null,
    restarts: 0,
    command: null,
    bundle: pathOf(shim, options.bundle ?? "."),
    runtime: pathOf(shim, options.runtime ?? "runc"),
    runtimeArguments: options.runtimeArgs,
    terminal: options.terminal,
    stdin: options.stdin,
    logs: options.logPaths,
    exitFiles,
    journal: shim.journal,
  };
}

function exitFilesOf(shim: Shim): string[] {
  const { exitDir, persistDir } = shim.options;
  return [
    ...(persistDir === undefined ? [] : [join(pathOf(shim, persistDir), "exit")]),
    ...(exitDir === undefined ? [] : [join(pathOf(shim, exitDir), shim.id)]),
  ];
}

function readStatus(path: string): number | null {
  const text = readIfThere(path)?.trim() ?? "";
  return /^-?\d{1,10}$/.test(text) ? Number(text) : null;
}
