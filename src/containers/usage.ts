/** What a container uses of the machine: from its cgroup, version 1 or 2, or else from its processes. */
import { existsSync, readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { directoryIn, parseCgroupMounts } from "../events/cgroup.ts";
import { type ProcessStat, parseStat } from "../processes/stat.ts";
import type { Container } from "./container.ts";
import { readIfThere } from "./files.ts";

/** What has been used so far, and what is used now. */
export interface Usage {
  /** Where it was read: `cgroup`, or `processes` for those of a container without one of its own. */
  readonly source: "cgroup" | "processes";
  /** Processor time since the start, in nanoseconds. */
  readonly cpu: number;
  /** In bytes, without what the kernel would give back at once: files that are not in use. */
  readonly memory: number;
  /** In bytes; `null`: no limit. */
  readonly memoryLimit: number | null;
  readonly processes: number;
}

/** Of the kernel's clock that processor time of processes is counted in, in nanoseconds. */
const TICK = 10_000_000;
/** Of memory, in bytes, unless the kernel says otherwise: those for ARM64 can have 16 and 64 KiB. */
const USUAL_PAGE = 4096;
/** The page size's type in the auxiliary vector, AT_PAGESZ of getauxval(3). */
const PAGE_SIZE_TYPE = 6n;
/** Version 1 says this, about, where there is no limit. */
const NO_LIMIT = 2 ** 60;

/**
 * What the container uses; undefined if it does not run.
 *
 * @param proc where the proc file system is
 */
export function readUsage(container: Container, proc = "/proc"): Usage | undefined {
  const { pid, id } = container;
  if (pid === null) return undefined;
  const paths = cgroupsOf(pid, id, proc);
  return fromCgroup(paths) ?? fromProcesses(pid, proc);
}

/**
 * The directories of its cgroups by controller; `""` is that of version 2. A cgroup whose name does not tell
 * of the container is not its own.
 */
function cgroupsOf(pid: number, id: string, proc: string): Map<string, string> {
  const membership = readIfThere(join(proc, String(pid), "cgroup")) ?? "";
  const mounts = parseCgroupMounts(readIfThere(join(proc, "self/mountinfo")) ?? "");
  const found = new Map<string, string>();
  for (const line of membership.split("\n")) {
    const [, controllers = "", path] = /^\d+:([^:]*):(\/.*)$/.exec(line) ?? [];
    if (path?.includes(id) !== true) continue;
    for (const controller of controllers.split(",")) {
      const directory = mounts
        .filter(({ version, options }) =>
          controller === "" ? version === 2 : version === 1 && options.has(controller),
        )
        .map((mount) => directoryIn(mount, path))
        .find((candidate) => candidate !== undefined && existsSync(candidate));
      if (directory !== undefined) found.set(controller, directory);
    }
  }
  return found;
}

function fromCgroup(paths: ReadonlyMap<string, string>): Usage | undefined {
  const [memory, cpu, unified] = [paths.get("memory"), paths.get("cpuacct"), paths.get("")];
  if (memory !== undefined && cpu !== undefined) {
    const used = numberIn(memory, "memory.usage_in_bytes");
    const idle = fieldIn(memory, "memory.stat", "total_inactive_file");
    const limit = numberIn(memory, "memory.limit_in_bytes") ?? NO_LIMIT;
    const time = numberIn(cpu, "cpuacct.usage");
    if (used === undefined || time === undefined) return undefined;
    return {
      source: "cgroup",
      cpu: time,
      memory: Math.max(0, used - (idle ?? 0)),
      memoryLimit: limit < NO_LIMIT ? limit : null,
      processes: processesIn(memory),
    };
  }
  return unified === undefined ? undefined : fromUnified(unified);
}

function fromUnified(directory: string): Usage | undefined {
  const used = numberIn(directory, "memory.current");
  const microseconds = fieldIn(directory, "cpu.stat", "usage_usec");
  if (used === undefined || microseconds === undefined) return undefined;
  const idle = fieldIn(directory, "memory.stat", "inactive_file") ?? 0;
  return {
    source: "cgroup",
    cpu: microseconds * 1000,
    memory: Math.max(0, used - idle),
    // "max" is no number.
    memoryLimit: numberIn(directory, "memory.max") ?? null,
    processes: processesIn(directory),
  };
}

function processesIn(directory: string): number {
  return (readIfThere(join(directory, "cgroup.procs")) ?? "").split("\n").length - 1;
}

function numberIn(directory: string, file: string): number | undefined {
  const text = readIfThere(join(directory, file))?.trim() ?? "";
  return /^\d+$/.test(text) ? Number(text) : undefined;
}

function fieldIn(directory: string, file: string, name: string): number | undefined {
  const text = readIfThere(join(directory, file)) ?? "";
  const line = text.split("\n").find((candidate) => candidate.startsWith(`${name} `));
  return line === undefined ? undefined : Number(line.slice(name.length + 1));
}

/** The process and all that descend from it. */
function fromProcesses(pid: number, proc: string): Usage | undefined {
  const children = new Map<number, number[]>();
  const stats = new Map<number, ProcessStat>();
  for (const name of readdirSync(proc)) {
    if (!/^\d+$/.test(name)) continue;
    const text = readIfThere(join(proc, name, "stat"));
    if (text === undefined) continue;
    const stat = parseStat(text);
    stats.set(stat.pid, stat);
    children.set(stat.parent, [...(children.get(stat.parent) ?? []), stat.pid]);
  }
  if (!stats.has(pid)) return undefined;
  const page = pageSize(proc);
  let [cpu, memory, processes] = [0, 0, 0];
  for (const queue = [pid]; queue.length > 0; ) {
    const next = queue.pop();
    if (next === undefined) break;
    const stat = stats.get(next);
    if (stat === undefined) continue;
    cpu += stat.cpuTicks * TICK;
    memory += stat.residentPages * page;
    processes++;
    queue.push(...(children.get(next) ?? []));
  }
  return { source: "processes", cpu, memory, memoryLimit: null, processes };
}

/** In bytes. */
function pageSize(proc: string): number {
  // Pairs of a type and a value, as long as a pointer.
  const vector = readFileSync(join(proc, "self/auxv"));
  for (let at = 0; at + 16 <= vector.length; at += 16) {
    if (vector.readBigUInt64LE(at) === PAGE_SIZE_TYPE)
      return Number(vector.readBigUInt64LE(at + 8));
  }
  return USUAL_PAGE;
}
