/** The monitors that run, whoever started them: found in /proc, where nothing can be stale. */
import { readdirSync, readFileSync, statSync } from "node:fs";
import { basename, join, resolve } from "node:path";
import { parseStat } from "../processes/stat.ts";
import { type Options, parseOptions } from "../session/options.ts";
import { changedAt, linkTarget, readIfThere } from "./files.ts";

/** Who started a container. */
export type Owner = "conmonctl" | "podman" | "crio" | "other";

/** A monitor of ours, with what it was told. */
export interface Shim {
  readonly pid: number;
  /** When it was started, in clock ticks since the machine was. */
  readonly startTicks: number;
  readonly started: Date | undefined;
  readonly options: Options;
  /** The container's ID. */
  readonly id: string;
  readonly owner: Owner;
  /** Where relative paths among the options begin. */
  readonly workingDirectory: string;
  /** The session's memory file, see src/session/journal.ts: `/proc/PID/fd/N`. */
  readonly journal: string;
}

/** The monitors of containers, the oldest first. A container that is being restarted has two for a moment. */
export function findShims(proc = "/proc"): Shim[] {
  const pids = readdirSync(proc).filter((name) => /^\d+$/.test(name));
  const shims = pids.map((pid) => readShim(proc, pid)).filter((shim) => shim !== undefined);
  return shims.sort((a, b) => a.startTicks - b.startTicks);
}

/**
 * Undefined for all other processes, and for those of other users, which root can see as well: what a monitor says of
 * itself is believed, and its runtime executed.
 */
export function readShim(proc: string, pid: string): Shim | undefined {
  const directory = join(proc, pid);
  const executable = linkTarget(join(directory, "exe"))?.replace(/ \(deleted\)$/, "");
  if (executable === undefined || !/^conmon(-|$)/.test(basename(executable))) return undefined;
  // Debian's has the same name. Ours is known by its memory file, whatever version it is of.
  const journal = findJournal(directory);
  const options = journal === undefined ? undefined : readOptions(directory);
  const workingDirectory = linkTarget(join(directory, "cwd")) ?? "/";
  if (journal === undefined || options?.cid === undefined || !isOwn(directory)) return undefined;
  return {
    pid: Number(pid),
    startTicks: startTicks(directory),
    started: changedAt(directory),
    options,
    id: options.cid,
    owner: ownerOf(options),
    workingDirectory,
    journal,
  };
}

/**
 * By all of its user IDs, since a file of another user's may have made it somebody else for a part; and by its root
 * directory, since root in a container has the same IDs.
 */
function isOwn(directory: string): boolean {
  const [, ids] = /^Uid:\s*(\d.*)$/m.exec(readIfThere(join(directory, "status")) ?? "") ?? [];
  const own = process.geteuid?.();
  // Without any it has ended: nobody's.
  const isOurs = ids?.split("\t").every((id) => Number(id) === own) ?? false;
  return isOurs && isSameFile(join(directory, "root"), "/");
}

function isSameFile(one: string, other: string): boolean {
  try {
    const [{ dev, ino }, known] = [statSync(one), statSync(other)];
    return dev === known.dev && ino === known.ino;
  } catch {
    return false; // It has ended.
  }
}

function findJournal(directory: string): string | undefined {
  const folder = join(directory, "fd");
  let names: string[];
  try {
    names = readdirSync(folder);
  } catch {
    return undefined; // It has ended, or is somebody else's.
  }
  const paths = names.map((name) => join(folder, name));
  return paths.find((path) => linkTarget(path)?.startsWith("/memfd:conmon-journal"));
}

function readOptions(directory: string): Options | undefined {
  try {
    const words = readFileSync(join(directory, "cmdline"), "utf8").split("\0");
    return parseOptions(words.slice(1, -1));
  } catch {
    return undefined; // It has ended, or it is of a version with other options.
  }
}

function startTicks(directory: string): number {
  return Number(parseStat(readIfThere(join(directory, "stat")) ?? "").startTime);
}

/** The state directory that conmonctl had when it started this monitor; undefined for those of others. */
export function stateOf({ options, owner }: Shim): string | undefined {
  return owner === "conmonctl" ? options.exitCommandArgs.at(-2) : undefined;
}

/** The path that an option names. */
export function pathOf(shim: Shim, path: string): string {
  return resolve(shim.workingDirectory, path);
}

function ownerOf(options: Options): Owner {
  const afterwards = [options.exitCommand ?? "", ...options.exitCommandArgs];
  if (afterwards.includes("internal") && afterwards.includes("exited")) return "conmonctl";
  if (basename(options.exitCommand ?? "") === "podman") return "podman";
  const paths = [options.exitDir, options.socketDir, options.persistDir, options.bundle];
  if (paths.some((path) => path !== undefined && /(^|\/)(crio|cri-o)(\/|$)/.test(path)))
    return "crio";
  if (paths.some((path) => path !== undefined && /\/libpod\/|overlay-containers/.test(path))) {
    return "podman";
  }
  return "other";
}
