/** Starting a container that is there: one that has ended, or one that was made and has not begun. */
import { rmSync } from "node:fs";
import { type AttachedContainer, begin, type StartedContainer } from "./begin.ts";
import type { Container } from "./container.ts";
import { ContainerError } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { failedRun } from "./failed-run.ts";
import { ownContainerById } from "./find.ts";
import { launchMonitor } from "./launch.ts";
import { lostLogWarning } from "./log-warning.ts";
import type { Monitor } from "./monitor.ts";
import type { BeginOptions } from "./options.ts";
import { type ContainerRecord, readRecord } from "./record.ts";
import { notOurs, untilOver } from "./remove.ts";
import { FIRST_RUN, madeRun, type Runs, readRuns, unbegunRun, writeRuns } from "./runs.ts";
import { deleteContainer } from "./runtime.ts";
import { lockForStart } from "./start-lock.ts";
import type { State } from "./state.ts";
import { wantEnd } from "./wanted-end.ts";

/** Which container, as it was a moment ago. */
type Wanted = Pick<Container, "id" | "name" | "own" | "owner">;

/**
 * Starts a container: again, as it was started at first, with its log going on; or for the first time, if it was only
 * made by `create`, or by a `run` that was killed.
 *
 * @throws ContainerError if it runs, if somebody else starts it, or if it cannot be started: then it has ended. The
 *   signal's reason if it was aborted; a container that was only made can be started later
 */
export function start(
  state: State,
  container: Wanted,
  options: BeginOptions & { readonly attach: true },
): Promise<AttachedContainer>;
export function start(
  state: State,
  container: Wanted,
  options?: BeginOptions,
): Promise<StartedContainer>;
export async function start(
  state: State,
  { id, name, own, owner }: Wanted,
  options: BeginOptions = {},
): Promise<StartedContainer> {
  if (!own) throw notOurs({ name, owner }, "start");
  options.signal?.throwIfAborted();
  const paths = state.container(id);
  const unlock = lockForStart(paths, name);
  try {
    const container = ownContainerById(state, id);
    const record = readRecord(state, id);
    if (container === undefined || record === undefined) {
      throw new ContainerError("not-found", `container ${name} has just been removed`);
    }
    // The lock is ours, so it is not just being made: whoever made it has gone, or wanted no more.
    const made = container.monitorPid === null ? undefined : madeRun(paths, container.state);
    if (made !== undefined) {
      warn(record, options);
      return await beginMade(state, record, { pid: container.pid, runs: made }, options);
    }
    checkEnded(container);
    await untilOver(state, record, options.signal);
    await settleUnbegun(state, record);
    warn(record, options);
    return await launchAgain(state, record, options);
  } finally {
    unlock();
  }
}

function warn({ name, logs }: ContainerRecord, { onWarning }: BeginOptions): void {
  const text = onWarning && lostLogWarning(name, logs);
  if (text !== undefined) onWarning?.(text);
}

async function beginMade(
  state: State,
  record: ContainerRecord,
  { pid, runs }: { readonly pid: number | null; readonly runs: Runs },
  options: BeginOptions,
): Promise<StartedContainer> {
  if (pid === null) {
    throw new ContainerError("conflict", `container ${record.name} has no process yet`, {
      hint: "its runtime is still making it",
    });
  }
  try {
    return await begin(state, { record, pid, runs }, options);
  } catch (error) {
    const started = readRuns(state.container(record.id))?.started ?? null;
    if (started !== runs.started)
      await giveUp(state, record, error, () => untilOver(state, record));
    throw error;
  }
}

/** One that was made and ended before it had begun. Its exit command has left that to us, since we have the lock. */
async function settleUnbegun(state: State, record: ContainerRecord): Promise<void> {
  const paths = state.container(record.id);
  const unbegun = unbegunRun(paths);
  if (unbegun === undefined) return;
  await deleteContainer(record, record.id);
  writeRuns(paths, failedRun(state, record, unbegun, undefined));
}

function checkEnded({ name, state: condition }: Container): void {
  if (condition === "exited") return;
  const hints = {
    created: undefined,
    running: `conmonctl attach ${name} connects to it`,
    restarting: "it is started again by itself, after a pause",
    lost: `its monitor was killed: conmonctl rm --force ${name} removes what is left`,
  };
  throw new ContainerError("conflict", `cannot start container ${name}: it is ${condition}`, {
    hint: hints[condition],
  });
}

async function launchAgain(
  state: State,
  record: ContainerRecord,
  options: BeginOptions,
): Promise<StartedContainer> {
  const { id, name } = record;
  const paths = state.container(id);
  const count = (readRuns(paths)?.count ?? 0) + 1;
  const runs: Runs = { ...FIRST_RUN, count, made: new Date().toISOString() };
  rmSync(paths.stop, { force: true });
  writeRuns(paths, runs);
  let monitor: Monitor | undefined;
  try {
    monitor = launchMonitor(state, record);
    const pid = await monitor.created();
    appendEvent(state, { type: "create", id, name });
    return await begin(state, { record, pid, runs }, options);
  } catch (error) {
    await giveUp(state, record, error, async () => await monitor?.ended());
    throw error;
  } finally {
    monitor?.release();
  }
}

/**
 * What has been made of it ends, and is not started once more by its policy.
 *
 * @param ended waits for the end of its monitor
 */
async function giveUp(
  state: State,
  record: ContainerRecord,
  error: unknown,
  ended: () => Promise<void>,
): Promise<void> {
  const { id } = record;
  const paths = state.container(id);
  wantEnd(state, id);
  await deleteContainer(record, id);
  await ended();
  const runs = readRuns(paths);
  // The exit command of a run that had begun has told of its end, and may have removed the container.
  if (runs?.ended === null) writeRuns(paths, failedRun(state, record, runs, error));
}
