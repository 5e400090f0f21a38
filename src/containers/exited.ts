/** What is done when a container has ended: the monitor's exit command. */
import { existsSync } from "node:fs";
import { isCode } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { failedRun } from "./failed-run.ts";
import { readIfThere } from "./files.ts";
import { readPidFile } from "./process-state.ts";
import { type ContainerRecord, readRecord } from "./record.ts";
import { discardContainer } from "./remove.ts";
import { beginIfLeft, restart, undoMaking } from "./restart.ts";
import { afterRun, type Runs, readRuns, unbegunRun, writeRuns } from "./runs.ts";
import { deleteContainer } from "./runtime.ts";
import { isBeingStarted } from "./start-lock.ts";
import type { State } from "./state.ts";
import { pause } from "./times.ts";
import { watchFor } from "./watch.ts";

/**
 * Tells of a container's end, and starts it again, or removes it, as was asked for when it was started. It
 * takes as long as the back-off does, and does nothing if the container has been removed meanwhile. If it is killed,
 * it is run once more (see launch.ts) and goes on where it was.
 *
 * @param monitor the pid of the monitor whose exit command this is; undefined if that is of a version that did not say
 * @throws ContainerError if it cannot be started again
 */
export async function afterExit(state: State, id: string, monitor?: number): Promise<void> {
  const record = readRecord(state, id);
  if (record === undefined) return;
  try {
    await settle(state, record, monitor);
  } catch (error) {
    // Whoever removes it by force does not wait for us.
    if (isCode(error, "ENOENT") && readRecord(state, id) === undefined) return;
    throw error;
  }
}

async function settle(
  state: State,
  record: ContainerRecord,
  monitor: number | undefined,
): Promise<void> {
  const paths = state.container(record.id);
  const unbegun = unbegunRun(paths);
  if (unbegun !== undefined) return await settleUnbegun(state, record, unbegun);
  const runs = readRuns(paths);
  if (runs === undefined) return;
  if (monitor !== undefined && runs.keeper === monitor) return await resume(state, record, runs);
  // It has been started again since: somebody else's exit command comes after that.
  if (monitor !== undefined && readPidFile(paths.monitorPid) !== monitor) return;
  // It could not be made again; the exit command that tried that knows what to do.
  if (runs.started === null) return;
  const { id, name } = record;
  const status = Number(readIfThere(paths.exit) ?? "-1");
  if (existsSync(paths.oom)) appendEvent(state, { type: "oom", id, name });
  appendEvent(state, { type: "exit", id, name, status });
  await deleteContainer(record, id);
  await decide(state, record, { ...runs, status, keeper: monitor });
}

/** It ended before anybody had it begin: there is nothing that its policy could start again. */
async function settleUnbegun(state: State, record: ContainerRecord, runs: Runs): Promise<void> {
  // It could not be made, or not begin; whoever tried that knows what to do. Who comes later waits for us.
  if (isBeingStarted(state.container(record.id))) return;
  await deleteContainer(record, record.id);
  finish(state, record, failedRun(state, record, runs, undefined));
}

/** Goes on where this same exit command was killed. */
async function resume(state: State, record: ContainerRecord, runs: Runs): Promise<void> {
  if (runs.ended === null && runs.started !== null) return await beginIfLeft(state, record);
  if (runs.ended === null)
    return await decide(state, record, await undoMaking(state, record, runs));
  if (runs.next === null) return finish(state, record, runs);
  const over = await startWhenDue(state, record, runs, Date.parse(runs.next) - Date.now());
  if (over !== undefined) await decide(state, record, over);
}

function finish(state: State, record: ContainerRecord, runs: Runs): void {
  writeRuns(state.container(record.id), runs);
  if (record.remove) discardContainer(state, record);
}

/** Does what is to be done after a run, and after each next one that has ended before it could begin. */
async function decide(state: State, record: ContainerRecord, ended: Runs): Promise<void> {
  let over: Runs | undefined = ended;
  while (over !== undefined) over = await carryOn(state, record, over, over.status ?? -1);
}

/**
 * Does what is to be done after a run.
 *
 * @returns the next run, if that has ended before it could begin; else all is done
 */
async function carryOn(
  state: State,
  record: ContainerRecord,
  runs: Runs,
  status: number,
): Promise<Runs | undefined> {
  const { id, name } = record;
  const paths = state.container(id);
  const wanted = existsSync(paths.stop) || !existsSync(paths.record);
  const after = afterRun(runs, record.restart, { status, at: new Date(), wanted });
  if (after.next === null) {
    finish(state, record, after);
    return undefined;
  }
  const delay = Math.max(0, Date.parse(after.next) - Date.now());
  appendEvent(state, { type: "restart", id, name, delay });
  writeRuns(paths, after);
  return await startWhenDue(state, record, after, delay);
}

/** Returns the run that its policy is to be asked about, if nothing has begun. `delay` is in milliseconds. */
async function startWhenDue(
  state: State,
  record: ContainerRecord,
  runs: Runs,
  delay: number,
): Promise<Runs | undefined> {
  // Asked once more, the policy knows that its end is wanted.
  if (await isStopped(state, record, Math.max(0, delay))) return runs;
  return await restart(state, record, runs);
}

/** Whether its end was asked for while it waited. */
async function isStopped(state: State, record: ContainerRecord, delay: number): Promise<boolean> {
  const paths = state.container(record.id);
  const over = new AbortController();
  const look = () => existsSync(paths.stop) || !existsSync(paths.record) || undefined;
  const stopped = watchFor([paths.directory], look, over.signal);
  await Promise.race([pause(delay, over.signal), stopped]);
  over.abort();
  return (await stopped) ?? false;
}
