/** What `/proc` tells of a running conmond. */
import { readdirSync, readFileSync, readlinkSync, realpathSync, statSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { hasEnded, type ProcessStat, parseStat } from "../processes/stat.ts";
import { runBounded } from "../programs/bounded-run.ts";

/** The unit of times in `/proc/PID/stat`, per second: USER_HZ, which is the same on all architectures of today. */
const TICKS = 100;

/** Facts that could not be found out, as other users' are, are undefined. */
export interface ProcessFacts {
  readonly pid: number;
  /** With the interpreter and the script. */
  readonly commandLine: readonly string[];
  readonly startedAt: Date | undefined;
  /** Shims that are connected. */
  readonly sessions: number | undefined;
  readonly residentBytes: number | undefined;
  /** What would be free if it ended. */
  readonly privateBytes: number | undefined;
  /** The systemd unit that it is in, if it is a service named conmond. */
  readonly unit: string | undefined;
  /** The systemd manager is the user's. */
  readonly isUserUnit: boolean;
}

/** Looks at a process; undefined when it is not there. */
export function processFacts(pid: number): ProcessFacts | undefined {
  const stat = liveStat(pid);
  if (stat === undefined) return undefined;
  const cgroup = factOf(pid, "cgroup") ?? "";
  const memory = factOf(pid, "smaps_rollup");
  return {
    pid,
    commandLine: (factOf(pid, "cmdline") ?? "").split("\0").slice(0, -1),
    startedAt: startTime(stat),
    sessions: countSessions(pid),
    residentBytes: kibibytes(factOf(pid, "status"), /^VmRSS:/),
    privateBytes: kibibytes(memory, /^Private_/),
    unit: /\/(conmond[^/]*\.service)$/m.exec(cgroup)?.[1],
    isUserUnit: /\/user@\d+\.service\//.test(cgroup),
  };
}

/** A process and when it was started: no other has both. Undefined when it is not there. */
export function identity(pid: number): string | undefined {
  const stat = liveStat(pid);
  return stat === undefined ? undefined : `${pid} ${stat.startTime}`;
}

function liveStat(pid: number): ProcessStat | undefined {
  const line = factOf(pid, "stat");
  const stat = line === undefined ? undefined : parseStat(line);
  return stat === undefined || hasEnded(stat) ? undefined : stat;
}

function factOf(pid: number, name: string): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/${name}`, "utf8");
  } catch {
    return undefined; // It has ended, or is not ours to look at.
  }
}

/** By how long it has been running: the time of the boot is known to the second only, and the clock may be set. */
function startTime(stat: ProcessStat): Date | undefined {
  const ticks = Number(stat.startTime);
  const [uptime] = readFileSync("/proc/uptime", "latin1").split(" ");
  const age = Number(uptime) - ticks / TICKS;
  return Number.isNaN(age) ? undefined : new Date(Date.now() - age * 1000);
}

/** The sum of all lines that match. */
function kibibytes(text: string | undefined, line: RegExp): number | undefined {
  const lines = (text ?? "").split("\n").filter((candidate) => line.test(candidate));
  if (lines.length === 0) return undefined;
  const sizes = lines.map((candidate) => Number(/(\d+) kB/.exec(candidate)?.[1] ?? 0));
  return sizes.reduce((sum, size) => sum + size, 0) * 1024;
}

/**
 * A shim's connection is the only SEQPACKET one that a conmond has, apart from those of attached clients, which
 * bear the name of the socket that they came to.
 */
function countSessions(pid: number): number | undefined {
  const inodes = socketInodes(pid);
  if (inodes === undefined) return undefined;
  return parseUnixSockets(readFileSync("/proc/net/unix", "utf8")).filter(
    ({ inode, type, state, path }) =>
      inodes.has(inode) && type === SEQPACKET && state === CONNECTED && !/\/attach$/.test(path),
  ).length;
}

function socketInodes(pid: number): Set<string> | undefined {
  try {
    const descriptors = readdirSync(`/proc/${pid}/fd`);
    return new Set(descriptors.flatMap((fd) => socketInode(`/proc/${pid}/fd/${fd}`) ?? []));
  } catch {
    return undefined;
  }
}

function socketInode(path: string): string | undefined {
  try {
    return /^socket:\[(\d+)\]$/.exec(readlinkSync(path))?.[1];
  } catch {
    return undefined; // It has been closed meanwhile.
  }
}

const SEQPACKET = "0005";
const CONNECTED = "03";

/** A line of `/proc/net/unix`, see unix(7) and proc(5). */
export interface UnixSocket {
  readonly type: string;
  readonly state: string;
  readonly inode: string;
  /** Empty for a socket that has no name, as those of clients. */
  readonly path: string;
}

export function parseUnixSockets(text: string): UnixSocket[] {
  return text.split("\n").flatMap((line) => {
    const found = /^[0-9a-f]+: \S+ \S+ \S+ (\S+) (\S+) +(\d+) ?(.*)$/i.exec(line);
    if (found === null) return [];
    const [, type = "", state = "", inode = "", path = ""] = found;
    return [{ type, state, inode, path }];
  });
}

/** Which version a conmond is. */
export interface RunningVersion {
  /** Undefined where it cannot be found out. */
  readonly version: string | undefined;
  /** Its files are newer than the process: it is an older version, or another build of the same. */
  readonly outdated: boolean;
}

/** Asks the files that a conmond was started from. */
export async function versionOf(facts: ProcessFacts): Promise<RunningVersion> {
  const [node, script] = facts.commandLine;
  if (node === undefined || script === undefined) return { version: undefined, outdated: false };
  const bundle = bundleOf(script);
  if (bundle === undefined) return { version: undefined, outdated: false };
  const changed = statSync(bundle).mtimeMs;
  const outdated = facts.startedAt !== undefined && changed > facts.startedAt.getTime();
  const { stdout, fault } = await runBounded(process.execPath, [bundle, "--version"], {
    milliseconds: 5000,
  });
  return { version: fault === undefined ? stdout.trim() : undefined, outdated };
}

/** The bundle behind `bin/conmond`, or the script itself. */
function bundleOf(script: string): string | undefined {
  try {
    const path = realpathSync(script);
    if (basename(path) !== "conmond") return path;
    return realpathSync(join(dirname(dirname(path)), "dist/conmond.cjs"));
  } catch {
    return undefined; // It has been removed.
  }
}
