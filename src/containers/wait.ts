/** Waiting for a container's end. */
import { existsSync } from "node:fs";
import { dirname } from "node:path";
import { type Container, isOver } from "./container.ts";
import { ContainerError } from "./errors.ts";
import type { ContainerEvent } from "./event-log.ts";
import { readIfThere } from "./files.ts";
import { findContainer, ownContainerById } from "./find.ts";
import { isObject } from "./oci.ts";
import { isAlive } from "./process-state.ts";
import { parseJson, readRecord } from "./record.ts";
import type { State } from "./state.ts";
import { watchFor } from "./watch.ts";

/** How long the removal after the end may take, in milliseconds. */
const REMOVAL = 10_000;

/**
 * Waits until a container is over: with a restart policy, until it is not started again; one that is to be
 * removed then, until it is.
 *
 * @returns its exit status, `null` if nobody knows it; undefined if the signal was aborted first
 */
export async function waitForEnd(
  state: State,
  container: Container,
  signal?: AbortSignal,
): Promise<number | null | undefined> {
  if (!container.own) return await waitForForeign(container, signal);
  return await waitForOwn(state, container.id, signal);
}

/** The same for a container that has, or had, a record: it may have been removed by now. */
export async function waitForOwn(
  state: State,
  id: string,
  signal?: AbortSignal,
): Promise<number | null | undefined> {
  const paths = state.container(id);
  const look = () => finalStatus(state, id);
  const status = await watchFor([paths.directory, paths.exits, state.containers], look, signal);
  if (status !== undefined && readRecord(state, id)?.remove === true) {
    const isGone = () => !existsSync(paths.record) || undefined;
    await watchFor([state.containers], isGone, AbortSignal.timeout(REMOVAL));
  }
  return status;
}

/** What there is to know once it is over; undefined as long as it is not. */
function finalStatus(state: State, id: string): number | null | undefined {
  const record = readRecord(state, id);
  if (record === undefined) return lastExit(state, id);
  const { restart } = record;
  const status = exitStatus(readIfThere(state.container(id).exit));
  if (restart.when === "no" && status !== undefined) return status;
  const container = ownContainerById(state, id);
  if (container === undefined) return lastExit(state, id);
  return isOver(state, container) ? container.exitStatus : undefined;
}

/** Of a container that has been removed since. */
function lastExit(state: State, id: string): number | null {
  const text = `${readIfThere(`${state.events}.1`) ?? ""}${readIfThere(state.events) ?? ""}`;
  const lines = text.split("\n").filter((line) => line.includes(id));
  const events = lines.map(parseJson).filter(isEvent);
  return events.findLast((event) => event.type === "exit")?.status ?? null;
}

function isEvent(value: unknown): value is ContainerEvent {
  return isObject(value) && typeof value.type === "string";
}

async function waitForForeign(
  container: Container,
  signal: AbortSignal | undefined,
): Promise<number | null | undefined> {
  const { exitFiles, monitorPid } = container;
  const look = (): number | null | undefined => {
    const statuses = exitFiles.map((path) => exitStatus(readIfThere(path)));
    const status = statuses.find((each) => each !== undefined);
    if (status !== undefined) return status;
    return monitorPid !== null && isAlive(monitorPid) ? undefined : null;
  };
  return await watchFor(exitFiles.map(dirname), look, signal);
}

function exitStatus(text: string | undefined): number | undefined {
  return text !== undefined && /^-?\d{1,10}$/.test(text) ? Number(text) : undefined;
}

/**
 * Waits for the end of the container that is meant.
 *
 * @throws ContainerError if nobody knows how it ended
 */
export async function wait(
  state: State,
  text: string,
  signal?: AbortSignal,
): Promise<number | undefined> {
  const container = findContainer(state, text);
  const status = await waitForEnd(state, container, signal);
  if (status !== null) return status;
  throw new ContainerError("failed", `nobody knows how container ${container.name} ended`, {
    hint: "its monitor was killed, or had no room to write",
  });
}
