/**
 * Where the memory cgroup of a process is, from `/proc/PID/cgroup` and `/proc/self/mountinfo`; see
 * cgroups(7) and proc(5).
 */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";

/** The cgroups that a process is in: paths as its `/proc/PID/cgroup` has them. */
export interface Membership {
  /** In the version 1 hierarchy of the memory controller, where there is one. */
  readonly memory: string | undefined;
  /** In the version 2 hierarchy, where there is one; hybrid hosts have both. */
  readonly unified: string | undefined;
}

/** A mount of a cgroup file system. */
export interface CgroupMount {
  readonly version: 1 | 2;
  /** Which directory of the hierarchy is mounted; `/` unless it is a bind mount or in a namespace. */
  readonly root: string;
  /** Where it is mounted. */
  readonly point: string;
  /** The version 1 controllers of the hierarchy, among other mount options. */
  readonly options: ReadonlySet<string>;
}

/** A cgroup that tells of memory running out. */
export interface MemoryCgroup {
  readonly version: 1 | 2;
  /** Absolute path. */
  readonly directory: string;
}

/** Reads lines such as `4:cpu,memory:/machine/x` (version 1) and `0::/machine/x` (version 2). */
export function parseMembership(text: string): Membership {
  let memory: string | undefined;
  let unified: string | undefined;
  for (const line of text.split("\n")) {
    const found = /^(\d+):([^:]*):(\/.*)$/.exec(line);
    if (found === null) continue;
    const [, id, controllers = "", path] = found;
    if (id === "0" && controllers === "") unified = path;
    else if (controllers.split(",").includes("memory")) memory = path;
  }
  return { memory, unified };
}

/** Picks the cgroup file systems out of a mountinfo. */
export function parseCgroupMounts(text: string): CgroupMount[] {
  return text.split("\n").flatMap((line) => {
    // The number of optional fields before the dash varies.
    const [before = "", after = ""] = line.split(" - ", 2);
    const [, , , root, point] = before.split(" ");
    const [type, , options = ""] = after.split(" ");
    if (root === undefined || point === undefined) return [];
    if (type !== "cgroup" && type !== "cgroup2") return [];
    return [
      {
        version: type === "cgroup" ? 1 : 2,
        root: unescapeOctal(root),
        point: unescapeOctal(point),
        options: new Set(options.split(",")),
      },
    ];
  });
}

/** White space and backslashes are written as a backslash and three octal digits. */
function unescapeOctal(text: string): string {
  return text.replace(/\\([0-7]{3})/g, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 8)),
  );
}

/**
 * Where a cgroup can be seen in this mount; undefined where it is not below the mount's root. The path of
 * one outside of our cgroup namespace begins with `/..`, and a mount of `/` does not show that.
 */
export function directoryIn(mount: CgroupMount, path: string): string | undefined {
  const root = mount.root === "/" ? "" : mount.root;
  if (path !== root && !path.startsWith(`${root}/`)) return undefined;
  const below = path.slice(root.length);
  if (below.split("/").includes("..")) return undefined;
  return path === "/" ? mount.point : join(mount.point, below);
}

/**
 * Finds the cgroup that limits a process's memory. On a hybrid host that is the one of version 1,
 * unless there is none: a controller is in one of the hierarchies only.
 *
 * The root cgroup counts as none. It has no limit, and a process that is just ending is listed
 * there wherever it was.
 *
 * @param proc where the proc file system is
 * @throws Error that says why there is none to watch
 */
export function findMemoryCgroup(pid: number, proc: string): MemoryCgroup {
  const { memory, unified } = parseMembership(readFileSync(join(proc, `${pid}/cgroup`), "utf8"));
  const mounts = parseCgroupMounts(readFileSync(join(proc, "self/mountinfo"), "utf8"));
  if (memory !== undefined) {
    const ofMemory = mounts.filter(
      ({ version, options }) => version === 1 && options.has("memory"),
    );
    const directory = locate(ofMemory, pid, memory, "memory.oom_control");
    if (directory !== undefined) return { version: 1, directory };
  }
  if (unified !== undefined) {
    const second = mounts.filter(({ version }) => version === 2);
    const directory = locate(second, pid, unified, "memory.events");
    if (directory !== undefined) return { version: 2, directory };
  }
  const where = `memory in ${memory ?? "no cgroup"}, all else in ${unified ?? "no cgroup"}`;
  throw new Error(`no memory controller can be seen for process ${pid} (${where})`);
}

/** The first mount that shows the cgroup, with the file that tells of memory. */
function locate(
  mounts: CgroupMount[],
  pid: number,
  path: string,
  file: string,
): string | undefined {
  const directories = mounts.map((mount) => directoryIn(mount, path));
  const found = directories.find(
    (directory) => directory !== undefined && existsSync(join(directory, file)),
  );
  if (found !== undefined && path === "/") {
    throw new Error(`process ${pid} is in the root cgroup, or is ending`);
  }
  return found;
}
