/** Processes as /proc shows them. See proc(5). */
import { readdirSync, readFileSync } from "node:fs";
import { hasEnded, type ProcessId, type ProcessStat, parseStat } from "../processes/stat.ts";
import * as sys from "../sys/mod.ts";

/** The process that has this pid now, if one has. A zombie counts. */
export function statOf(pid: number): ProcessStat | undefined {
  try {
    return parseStat(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch (error) {
    // ESRCH: it ended while we were reading.
    if (sys.isSystemError(error, "ENOENT") || sys.isSystemError(error, "ESRCH")) return undefined;
    throw error;
  }
}

/** Whether this process runs; a zombie does not. */
export function isAlive(id: ProcessId): boolean {
  const stat = statOf(id.pid);
  return stat !== undefined && stat.startTime === id.startTime && !hasEnded(stat);
}

/**
 * Sends a signal to this process and never to another one that has its pid.
 *
 * @returns false when it has ended
 * @throws SystemError EPERM when it is not ours to signal; ENOSYS before Linux 5.3
 */
export function sendSignal(id: ProcessId, signal: number): boolean {
  return withProcess(id, (fd) => {
    try {
      sys.pidfdSendSignal(fd, signal);
      return true;
    } catch (error) {
      if (sys.isSystemError(error, "ESRCH")) return false;
      throw error;
    }
  });
}

/** Runs `act` with a pidfd of the process; false when it has ended. */
function withProcess(id: ProcessId, act: (fd: number) => boolean): boolean {
  const fd = openProcess(id.pid);
  if (fd === undefined) return false;
  try {
    // What we have open is this process if its start says so now that we have it.
    return isAlive(id) && act(fd);
  } finally {
    sys.close(fd);
  }
}

function openProcess(pid: number): number | undefined {
  try {
    return sys.pidfdOpen(pid);
  } catch (error) {
    if (sys.isSystemError(error, "ESRCH")) return undefined;
    throw error;
  }
}

/** Resolves to true when the process has ended, to false when it has not after so many milliseconds. */
export async function waitForEnd(id: ProcessId, milliseconds: number): Promise<boolean> {
  const fd = openProcess(id.pid);
  if (fd === undefined) return true;
  if (!isAlive(id)) {
    sys.close(fd);
    return true;
  }
  return await new Promise((resolve) => {
    const finish = (ended: boolean) => {
      clearTimeout(timer);
      readiness.close();
      sys.close(fd);
      resolve(ended);
    };
    const timer = setTimeout(() => finish(false), milliseconds);
    const readiness = new sys.Readiness(fd, () => finish(true));
    readiness.watch(sys.READABLE);
  });
}

/**
 * Those that belong to the leaders, which have sessions of their own: the leaders, all in their sessions
 * and all descendants. Who left the session and whose parents have ended cannot be told from a stranger.
 *
 * @param leaders those that were started, of which some may have ended
 */
export function findMembers(leaders: readonly ProcessId[], all = readAll()): ProcessStat[] {
  const byPid = new Map(all.map((stat) => [stat.pid, stat]));
  // A session's number is not given to a new process while somebody is in it. If its leader is another one,
  // nobody of ours can be there any more.
  const sessions = new Set(
    leaders
      .filter(({ pid, startTime }) => (byPid.get(pid)?.startTime ?? startTime) === startTime)
      .map(({ pid }) => pid),
  );
  const members = new Set(all.filter((one) => sessions.has(one.session)).map(({ pid }) => pid));
  for (let before = -1; before !== members.size; ) {
    before = members.size;
    for (const { pid, parent } of all) if (members.has(parent)) members.add(pid);
  }
  return all.filter((one) => members.has(one.pid) && !hasEnded(one));
}

function readAll(): ProcessStat[] {
  return readdirSync("/proc")
    .filter((name) => /^\d+$/.test(name))
    .map((name) => statOf(Number(name)))
    .filter((stat) => stat !== undefined);
}
