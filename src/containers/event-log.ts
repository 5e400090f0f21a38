/** events.jsonl: what has happened, a JSON object a line. */
import { closeSync, fstatSync, openSync, renameSync, statSync, writeSync } from "node:fs";
import { isCode, isDiskFull } from "./errors.ts";
import type { State } from "./state.ts";

/** The kinds of {@link ContainerEvent}s. */
export const EVENT_TYPES = [
  "create",
  "start",
  "exit",
  "oom",
  "restart",
  "stop",
  "kill",
  "exec",
  "attach",
  "detach",
  "remove",
] as const;

export type EventType = (typeof EVENT_TYPES)[number];

/** Something that happened to a container that was started here. */
export interface ContainerEvent {
  /** RFC 3339, UTC, in milliseconds. */
  readonly time: string;
  readonly type: EventType;
  readonly id: string;
  readonly name: string;
  /** `exit`: the status. */
  readonly status?: number;
  /** `start`: the pid of its process. */
  readonly pid?: number;
  /** `kill`: the signal. */
  readonly signal?: string;
  /** `exec`: the command. */
  readonly command?: readonly string[];
  /** `restart`: in how many milliseconds. */
  readonly delay?: number;
}

/** A larger file is put aside, in bytes; one old file is kept. */
const SIZE_MAX = 8 * 1024 * 1024;

/**
 * Adds an event, by one write(2): what is there stays whole whoever writes at the same time. Where the disk is full it
 * is lost, since what it tells of, such as a container's end, matters more.
 */
export function appendEvent(state: State, event: Omit<ContainerEvent, "time">): void {
  const line = `${JSON.stringify({ time: new Date().toISOString(), ...event })}\n`;
  const fd = openSync(state.events, "a", 0o600);
  try {
    writeSync(fd, line);
    putAside(state, fd);
  } catch (error) {
    if (!isDiskFull(error)) throw error;
  } finally {
    closeSync(fd);
  }
}

function putAside(state: State, fd: number): void {
  const own = fstatSync(fd);
  if (own.size < SIZE_MAX) return;
  try {
    // Somebody else may have done it just now.
    if (statSync(state.events).ino === own.ino) renameSync(state.events, `${state.events}.1`);
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
  }
}
