/** Which cgroups there are, and whether containers can be put into some. */
import { accessSync, constants, readFileSync } from "node:fs";
import { join } from "node:path";
import {
  type CgroupMount,
  directoryIn,
  parseCgroupMounts,
  parseMembership,
} from "../events/cgroup.ts";
import { type Check, type Finding, fail, ok, skip, warn } from "./check.ts";

export const cgroups: Check = {
  name: "cgroups",
  look: async () => {
    const mounts = parseCgroupMounts(readFileSync("/proc/self/mountinfo", "utf8"));
    return judgeCgroups(mounts, readFileSync("/proc/self/cgroup", "utf8"));
  },
};

/** @param membership as in `/proc/self/cgroup` */
export function judgeCgroups(mounts: readonly CgroupMount[], membership: string): Finding[] {
  const first = mounts.filter(({ version }) => version === 1);
  const second = mounts.filter(({ version }) => version === 2);
  if (mounts.length === 0) {
    return [fail("no cgroups are mounted", "mount /sys/fs/cgroup, or use the host's")];
  }
  const kind =
    first.length === 0
      ? "version 2"
      : second.length === 0
        ? "version 1"
        : "version 1 and 2 (hybrid)";
  const { memory, unified } = parseMembership(membership);
  const ofMemory = first.find(({ options }) => options.has("memory"));
  const [unifiedMount] = second;
  // The controller is in one of them only.
  const mount = ofMemory ?? unifiedMount;
  const directory = mount && directoryIn(mount, (ofMemory ? memory : unified) ?? "/");
  if (mount === undefined) {
    const advice = "boot without cgroup_disable=memory";
    return [
      warn(`${kind}, without a memory controller: limits and OOM notices are missing`, advice),
    ];
  }
  const where = directory ?? mount.point;
  return [hasMemory(kind, ofMemory !== undefined, where), writable(where)];
}

function hasMemory(kind: string, isFirst: boolean, directory: string): Finding {
  if (isFirst) return ok(`${kind}, with a memory controller`);
  const controllers = readFileSync(join(directory, "cgroup.controllers"), "utf8").trim().split(" ");
  if (controllers.includes("memory")) return ok(`${kind}, with a memory controller`);
  const advice = "have systemd delegate it: Delegate=memory in user@.service";
  return warn(`${kind}, without a memory controller in ${directory}`, advice);
}

function writable(directory: string): Finding {
  try {
    accessSync(directory, constants.W_OK);
    return ok(`new cgroups can be made below ${directory}`);
  } catch (error) {
    if (process.geteuid?.() !== 0) {
      return skip(`no cgroups can be made below ${directory}: systemd makes those of users`);
    }
    const advice = "mount it writable, or start containers without cgroups";
    return fail(`no cgroups can be made below ${directory}: ${(error as Error).message}`, advice);
  }
}
