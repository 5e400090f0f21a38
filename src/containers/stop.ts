/** Ending containers, and sending them signals. */
import { constants } from "node:os";
import { parseSignal } from "../processes/signals.ts";
import { type Container, isOver } from "./container.ts";
import { ContainerError } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import { ownContainerById } from "./find.ts";
import { killContainer } from "./runtime.ts";
import type { State } from "./state.ts";
import { waitForEnd } from "./wait.ts";
import { wantEnd } from "./wanted-end.ts";

/** How long a container may take to end by itself, in seconds. */
export const STOP_TIMEOUT = 10;

/**
 * Ends a container: SIGTERM, and SIGKILL if that has not ended it in time. It is not started again.
 *
 * @param seconds how long it may take
 * @param signal gives up waiting; the container is not killed then
 * @returns its exit status, `null` if nobody knows it
 * @throws ContainerError; the signal's reason if it was aborted
 */
export async function stopContainer(
  state: State,
  container: Container,
  seconds: number = STOP_TIMEOUT,
  signal?: AbortSignal,
): Promise<number | null> {
  signal?.throwIfAborted();
  const { id, name } = container;
  // One that has just ended may be about to be started again.
  if (container.own && !isOver(state, container)) {
    wantEnd(state, id);
    appendEvent(state, { type: "stop", id, name });
    // It may have been started just before it was known that its end is wanted.
    return await endNow(state, ownContainerById(state, id) ?? container, seconds, signal);
  }
  return await endNow(state, container, seconds, signal);
}

async function endNow(
  state: State,
  container: Container,
  seconds: number,
  signal: AbortSignal | undefined,
): Promise<number | null> {
  const ended = waitForEnd(state, container, signal);
  // It is for whoever awaits it below.
  ended.catch(() => {});
  if (container.state === "running" || container.state === "created") {
    await endProcess(container, ended, seconds);
  }
  const status = await ended;
  signal?.throwIfAborted();
  return status ?? null;
}

async function endProcess(
  container: Container,
  ended: Promise<unknown>,
  seconds: number,
): Promise<void> {
  if (container.state === "running" && seconds > 0) {
    await killUnlessEnded(container, "TERM");
    if (await isInTime(ended, seconds)) return;
  }
  await killUnlessEnded(container, "KILL");
}

/** Sends a signal to a container's first process; by its name, with or without SIG, or its number. */
export async function signalContainer(
  state: State,
  container: Container,
  signal: string,
): Promise<void> {
  const { id, name } = container;
  const number = signalNumber(signal);
  if (container.state !== "running" && container.state !== "created") {
    throw new ContainerError(
      "conflict",
      `cannot signal container ${name}: it is ${container.state}`,
    );
  }
  await killContainer(container, id, String(number));
  if (container.own) appendEvent(state, { type: "kill", id, name, signal: signalName(number) });
}

/**
 * The number of a signal, as {@link parseSignal} reads it.
 *
 * @throws ContainerError for what is none; 0 is not sent
 */
export function signalNumber(signal: string): number {
  const number = parseSignal(signal);
  if (number !== undefined && number !== 0) return number;
  throw new ContainerError("invalid", `there is no signal ${signal}`, {
    hint: "give a name such as TERM, or a number",
  });
}

function signalName(number: number): string {
  const entries = Object.entries(constants.signals);
  return entries.find(([, value]) => value === number)?.[0] ?? String(number);
}

/** It may end by itself at any time, and then there is nobody to signal. */
async function killUnlessEnded(container: Container, signal: string): Promise<void> {
  try {
    await killContainer(container, container.id, signal);
  } catch (error) {
    const ended = /not running|does not exist|no such process|already finished/i;
    if (!(error instanceof Error) || !ended.test(error.message)) throw error;
  }
}

async function isInTime(event: Promise<unknown>, seconds: number): Promise<boolean> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<false>((resolve) => {
    timer = setTimeout(resolve, seconds * 1000, false);
  });
  try {
    return await Promise.race([event.then(() => true as const), late]);
  } finally {
    clearTimeout(timer);
  }
}
