/** Removing containers, and what is left of others. */
import { existsSync, readdirSync, renameSync, rmSync } from "node:fs";
import { join } from "node:path";
import { randomName } from "../sys/mod.ts";
import { isAbandoned } from "./abandoned.ts";
import { type Container, isOver } from "./container.ts";
import { ContainerError, isCode } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { listContainers, ownContainerById } from "./find.ts";
import { ownerOf, releaseName } from "./names.ts";
import { type ContainerRecord, readRecord } from "./record.ts";
import { madeRun, unbegunRun } from "./runs.ts";
import { deleteContainer } from "./runtime.ts";
import { findShims } from "./shims.ts";
import { lockUnlessStarting } from "./start-lock.ts";
import type { State } from "./state.ts";
import { wantEnd } from "./wanted-end.ts";
import { watchFor } from "./watch.ts";

/** How long a monitor may take for its part, in milliseconds. */
const PATIENCE = 10_000;

/**
 * Removes a container that has ended, or never begun, with all that belongs to it, its log too.
 *
 * @param force one that runs is killed
 * @param signal gives up waiting for its end; it is not removed then
 * @throws ContainerError if it runs, or if it is not ours; the signal's reason if it was aborted
 */
export async function removeContainer(
  state: State,
  container: Container,
  force = false,
  signal?: AbortSignal,
): Promise<void> {
  signal?.throwIfAborted();
  const record = readRecord(state, container.id);
  if (!container.own) throw notOurs(container, "rm");
  // Somebody else has just removed it.
  if (record === undefined) return;
  if (isDone(container) || force) return await endAndDiscard(state, container, record, signal);
  const unlock = lockMade(state, container);
  if (unlock === undefined) {
    throw new ContainerError("conflict", `container ${container.name} is ${container.state}`, {
      hint: `conmonctl stop ${container.name} ends it; rm --force kills it`,
    });
  }
  try {
    await endAndDiscard(state, container, record, signal);
  } finally {
    unlock();
  }
}

function isDone({ state }: Container): boolean {
  return state === "exited" || state === "lost";
}

/** Locks a container that was made and has not begun, so that nobody has it begin; undefined if it is none. */
function lockMade(state: State, { id, state: condition }: Container): (() => void) | undefined {
  const paths = state.container(id);
  const unlock = condition === "created" ? lockUnlessStarting(paths) : undefined;
  if (unlock === undefined) return undefined;
  // Whoever had the lock before may have had it begin.
  const now = ownContainerById(state, id)?.state;
  if (now !== undefined && madeRun(paths, now) !== undefined) return unlock;
  unlock();
  return undefined;
}

async function endAndDiscard(
  state: State,
  container: Container,
  record: ContainerRecord,
  signal: AbortSignal | undefined,
): Promise<void> {
  const paths = state.container(record.id);
  wantEnd(state, record.id);
  // The exit command has done so, unless its monitor was killed, or the container was never started.
  const isSettled = container.state === "exited" && unbegunRun(paths) === undefined;
  if (!isSettled) await deleteContainer(record, record.id);
  await untilOver(state, record, signal);
  discardContainer(state, record);
}

/** That somebody else has to do, with a command of the same name. */
export function notOurs(
  { name, owner }: Pick<Container, "name" | "owner">,
  what: string,
): ContainerError {
  const hint = owner === "podman" ? `podman ${what} ${name} does` : undefined;
  const whose = owner === "other" ? "somebody else" : owner;
  return new ContainerError(
    "conflict",
    `cannot ${what} container ${name}: it was started by ${whose}`,
    {
      hint,
    },
  );
}

/**
 * Removes all that have ended.
 *
 * @param onRemoved is told of each
 * @param signal ends it after the container that is being removed
 * @returns those that were removed
 * @throws ContainerError; for a record that cannot be read, after all others were removed. The signal's reason if it
 *   was aborted
 */
export async function pruneContainers(
  state: State,
  onRemoved: (container: Container) => void = () => {},
  signal?: AbortSignal,
): Promise<Container[]> {
  const removed: Container[] = [];
  const faults: ContainerError[] = [];
  for (const container of listContainers(state, (fault) => faults.push(fault))) {
    if (!container.own || !hasEnded(state, container)) continue;
    await removeContainer(state, container, false, signal);
    removed.push(container);
    onRemoved(container);
  }
  pruneSessions(state);
  pruneHalfDone(state);
  const [fault] = faults;
  if (fault !== undefined) throw fault;
  return removed;
}

/** Its exit command may still be at work, but will not start it again. */
function hasEnded(state: State, container: Container): boolean {
  if (isOver(state, container)) return true;
  return container.state === "exited" && readRecord(state, container.id)?.restart.when === "no";
}

/** Takes a container's directory and name away. Only one of several that do so at a time tells of it. */
export function discardContainer(state: State, record: ContainerRecord): void {
  const { id, name } = record;
  const aside = join(state.containers, `.removed-${randomName(6)}`);
  releaseName(state, id, name);
  try {
    renameSync(state.container(id).directory, aside);
  } catch (error) {
    if (isCode(error, "ENOENT")) return;
    throw error;
  }
  appendEvent(state, { type: "remove", id, name });
  rmSync(aside, { recursive: true, force: true });
}

/**
 * Waits until all that is to be done at a container's end has been done.
 *
 * @param signal gives up waiting
 * @throws ContainerError if that takes too long; the signal's reason if it was aborted
 */
export async function untilOver(
  state: State,
  record: ContainerRecord,
  signal?: AbortSignal,
): Promise<void> {
  const { directory, exits } = state.container(record.id);
  const look = (): true | undefined => {
    const container = ownContainerById(state, record.id);
    const over = container === undefined || isOver(state, container);
    return over || undefined;
  };
  const late = AbortSignal.timeout(PATIENCE);
  const enough = signal === undefined ? late : AbortSignal.any([late, signal]);
  if ((await watchFor([directory, exits], look, enough)) !== undefined) return;
  signal?.throwIfAborted();
  throw new ContainerError(
    "failed",
    `the monitor of ${record.name} did not end in ${PATIENCE} ms`,
    {
      hint: "is it stopped, or its conmond?",
    },
  );
}

/** Exec sessions whose callers were killed. */
function pruneSessions(state: State): void {
  const used = new Set(findShims().map(({ options }) => options.bundle));
  for (const name of namesIn(state.sessions)) {
    const path = join(state.sessions, name);
    if (!used.has(path)) rmSync(path, { recursive: true, force: true });
  }
}

/** What was half removed, or half made. */
function pruneHalfDone(state: State): void {
  for (const name of namesIn(state.containers)) {
    if (name.startsWith(".removed-") || isAbandoned(state.container(name))) {
      rmSync(join(state.containers, name), { recursive: true, force: true });
    }
  }
  pruneNames(state);
}

/** Names of containers that are no more. */
function pruneNames(state: State): void {
  for (const name of namesIn(state.names)) {
    const id = ownerOf(state, name);
    if (id !== undefined && !existsSync(state.container(id).directory))
      releaseName(state, id, name);
  }
}

function namesIn(directory: string): string[] {
  return existsSync(directory) ? readdirSync(directory) : [];
}
