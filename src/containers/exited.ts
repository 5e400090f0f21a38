/** What is done when a container has ended: the monitor's exit command. */
import { existsSync } from "node:fs";
import { isCode } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { readIfThere } from "./files.ts";
import { launchMonitor } from "./launch.ts";
import { type ContainerRecord, readRecord } from "./record.ts";
import { discardContainer } from "./remove.ts";
import { afterRun, type Runs, readRuns, writeRuns } from "./runs.ts";
import { deleteContainer, startContainer } from "./runtime.ts";
import type { State } from "./state.ts";
import { pause } from "./times.ts";
import { watchFor } from "./watch.ts";

/**
 * Tells of a container's end, and starts it again, or removes it, as was asked for when it was started. It
 * takes as long as the back-off does, and does nothing if the container has been removed meanwhile.
 *
 * @throws ContainerError if it cannot be started again
 */
export async function afterExit(state: State, id: string): Promise<void> {
  const record = readRecord(state, id);
  if (record === undefined) return;
  try {
    await settle(state, record);
  } catch (error) {
    // Whoever removes it by force does not wait for us.
    if (isCode(error, "ENOENT") && readRecord(state, id) === undefined) return;
    throw error;
  }
}

async function settle(state: State, record: ContainerRecord): Promise<void> {
  const { id, name } = record;
  const paths = state.container(id);
  const runs = readRuns(paths);
  // It could not even be made; whoever tried that takes it away.
  if (runs === undefined) return;
  const status = Number(readIfThere(paths.exit) ?? "-1");
  if (existsSync(paths.oom)) appendEvent(state, { type: "oom", id, name });
  appendEvent(state, { type: "exit", id, name, status });
  await deleteContainer(record, id);
  const wanted = existsSync(paths.stop);
  const after = afterRun(runs, record.restart, { status, at: new Date(), wanted });
  if (after.next === null) {
    writeRuns(paths, after);
    if (record.remove) discardContainer(state, record);
    return;
  }
  const delay = Math.max(0, Date.parse(after.next) - Date.now());
  appendEvent(state, { type: "restart", id, name, delay });
  writeRuns(paths, after);
  await restart(state, record, after, delay);
}

async function restart(
  state: State,
  record: ContainerRecord,
  runs: Runs,
  delay: number,
): Promise<void> {
  const paths = state.container(record.id);
  if (await isStopped(state, record, delay)) {
    writeRuns(paths, { ...runs, next: null });
    return;
  }
  const fresh: Runs = { ...runs, count: runs.count + 1, ended: null, status: null, next: null };
  writeRuns(paths, { ...fresh, started: null });
  const monitor = launchMonitor(state, record);
  try {
    const pid = await monitor.created();
    writeRuns(paths, { ...fresh, started: new Date().toISOString() });
    appendEvent(state, { type: "start", id: record.id, name: record.name, pid });
    await startContainer(record, record.id);
  } catch (error) {
    writeRuns(paths, { ...fresh, ended: new Date().toISOString() });
    await deleteContainer(record, record.id);
    throw error;
  } finally {
    monitor.release();
  }
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
