/** Starting a container again that has ended, or one whose `run` was killed before it could begin. */
import { rmSync } from "node:fs";
import { type BeginOptions, begin, type StartedContainer } from "./begin.ts";
import type { Container } from "./container.ts";
import { ContainerError } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { failedRun } from "./failed-run.ts";
import { writeWhole } from "./files.ts";
import { ownContainerById } from "./find.ts";
import { launchMonitor } from "./launch.ts";
import type { Monitor } from "./monitor.ts";
import { type ContainerRecord, readRecord } from "./record.ts";
import { notOurs, untilOver } from "./remove.ts";
import { FIRST_RUN, type Runs, readRuns, writeRuns } from "./runs.ts";
import { deleteContainer } from "./runtime.ts";
import { lockForStart } from "./starting.ts";
import type { State } from "./state.ts";

/**
 * Starts a container again, as it was started at first. Its log goes on.
 *
 * @throws ContainerError if it runs, if somebody else starts it, or if it cannot be started; then it has ended
 */
export async function startAgain(
  state: State,
  { id, name, own, owner }: Pick<Container, "id" | "name" | "own" | "owner">,
  options: BeginOptions = {},
): Promise<StartedContainer> {
  if (!own) throw notOurs({ name, owner }, "start");
  const unlock = lockForStart(state.container(id), name);
  try {
    const container = ownContainerById(state, id);
    const record = readRecord(state, id);
    if (container === undefined || record === undefined) {
      throw new ContainerError("not-found", `container ${name} has just been removed`);
    }
    // The lock is ours, so it is not just being made: whoever made it has gone.
    if (isAbandoned(state, container))
      return await beginAbandoned(state, record, container, options);
    checkEnded(container);
    await untilOver(state, record);
    return await launchAgain(state, record, options);
  } finally {
    unlock();
  }
}

function isAbandoned(state: State, { id, state: condition, monitorPid }: Container): boolean {
  const hasBegun = readRuns(state.container(id)) !== undefined;
  return condition === "created" && monitorPid !== null && !hasBegun;
}

async function beginAbandoned(
  state: State,
  record: ContainerRecord,
  { name, pid }: Container,
  options: BeginOptions,
): Promise<StartedContainer> {
  if (pid !== null) return await begin(state, record, { pid, runs: FIRST_RUN }, options);
  throw new ContainerError("conflict", `container ${name} has no process yet`, {
    hint: "its runtime is still making it",
  });
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
  const runs: Runs = { ...FIRST_RUN, count: (readRuns(paths)?.count ?? 0) + 1 };
  rmSync(paths.stop, { force: true });
  writeRuns(paths, { ...runs, made: new Date().toISOString() });
  let monitor: Monitor | undefined;
  try {
    monitor = launchMonitor(state, record);
    const pid = await monitor.created();
    appendEvent(state, { type: "create", id, name });
    return await begin(state, record, { pid, runs }, options);
  } catch (error) {
    // What has been made of it ends now, and is not to be started once more by its policy.
    writeWhole(paths.stop, "");
    await deleteContainer(record, id);
    await monitor?.ended();
    writeRuns(paths, failedRun(state, record, runs, error));
    throw error;
  } finally {
    monitor?.release();
  }
}
