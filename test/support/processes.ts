import { existsSync, readdirSync, readFileSync, readlinkSync } from "node:fs";
import { setTimeout as delay } from "node:timers/promises";
import { PATIENCE } from "./waiting.ts";

/** A process as a test names it when it should not be there. */
export interface Sighting {
  readonly pid: number;
  /** Its command line, the arguments separated by spaces. */
  readonly command: string;
}

/**
 * The processes that have the mark in their command line or environment, or whose own mounts come
 * from a path with the mark, as those of a container do whose bundle is in the test's directory.
 */
export function processesWith(mark: string): Sighting[] {
  const ownMounts = readlinkSync("/proc/self/ns/mnt");
  return allPids().flatMap((pid) => {
    if (pid === process.pid || !isMarked(pid, mark, ownMounts)) return [];
    return [{ pid, command: factOf(pid, "cmdline").replaceAll("\0", " ").trimEnd() }];
  });
}

function isMarked(pid: number, mark: string, ownMounts: string): boolean {
  if (factOf(pid, "cmdline").includes(mark) || factOf(pid, "environ").includes(mark)) return true;
  return mountNamespaceOf(pid) !== ownMounts && factOf(pid, "mountinfo").includes(mark);
}

/** The children of a process that have ended and have not been reaped, by pid. */
export function zombiesOf(parent: number): number[] {
  return allPids().filter((pid) => {
    // After the program's name, which may hold anything, come the state and the parent.
    const [state, parentPid] = factOf(pid, "stat").split(") ").at(-1)?.split(" ") ?? [];
    return state === "Z" && Number(parentPid) === parent;
  });
}

/** Whether a process is there and not a zombie. */
export function isAlive(pid: number): boolean {
  const state = factOf(pid, "stat").split(") ").at(-1)?.[0];
  return state !== undefined && !"ZX".includes(state);
}

/**
 * Resolves when nothing that `find` returns, processes as a rule, is left.
 *
 * The kernel tells only parents of a process's end, so this has to look again and again.
 *
 * @returns those that are still there when the time, in milliseconds, is over
 */
export async function waitUntilGone<T>(
  find: () => T[],
  milliseconds: number = PATIENCE,
): Promise<T[]> {
  const end = Date.now() + milliseconds;
  let found = find();
  while (found.length > 0 && Date.now() < end) {
    await delay(10);
    found = find();
  }
  return found;
}

function allPids(): number[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map(Number);
}

function mountNamespaceOf(pid: number): string | undefined {
  return ifStillThere(pid, () => readlinkSync(`/proc/${pid}/ns/mnt`));
}

function factOf(pid: number, fact: "cmdline" | "environ" | "mountinfo" | "stat"): string {
  return ifStillThere(pid, () => readFileSync(`/proc/${pid}/${fact}`, "latin1")) ?? "";
}

/** A process may end, or turn into a zombie, between any two looks at it. */
function ifStillThere<T>(pid: number, look: () => T): T | undefined {
  try {
    return look();
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (["ENOENT", "ESRCH", "EINVAL"].includes(code)) return undefined;
    // Other users' processes are none of ours.
    if (["EACCES", "EPERM"].includes(code) && existsSync(`/proc/${pid}`)) return undefined;
    throw error;
  }
}

/** Whether a process has a file open. */
export function hasOpen(pid: number, path: string): boolean {
  return openFilesOf(pid).includes(path);
}

/** What a process has open, as /proc names it: a path, `socket:[INODE]` and the like. */
export function openFilesOf(pid: number): string[] {
  const descriptors = ifStillThere(pid, () => readdirSync(`/proc/${pid}/fd`)) ?? [];
  return descriptors.flatMap(
    (fd) => ifStillThere(pid, () => readlinkSync(`/proc/${pid}/fd/${fd}`)) ?? [],
  );
}

/** How many sockets a process has open. */
export function socketsOf(pid: number): number {
  const descriptors = ifStillThere(pid, () => readdirSync(`/proc/${pid}/fd`)) ?? [];
  return descriptors.filter((fd) =>
    ifStillThere(pid, () => readlinkSync(`/proc/${pid}/fd/${fd}`))?.startsWith("socket:"),
  ).length;
}

/**
 * A field of a process's or thread's status, see proc_pid_status(5).
 *
 * @param task - a pid, or `PID/task/TID`
 * @throws Error when there is no such process or field
 */
export function statusField(task: number | string, field: string): string {
  const status = readFileSync(`/proc/${task}/status`, "latin1");
  const value = status.match(new RegExp(`^${field}:\\s+(.*)$`, "m"))?.[1];
  if (value === undefined) throw new Error(`/proc/${task}/status has no ${field}`);
  return value;
}
