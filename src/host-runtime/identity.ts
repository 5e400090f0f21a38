/** Which user of the host a process becomes. */
import { readFileSync } from "node:fs";
import type { IdMapping, UserNamespace } from "./config.ts";
import { Failure } from "./failure.ts";
import type { User } from "./process-spec.ts";

/** What is to be changed, in IDs of the host. Undefined: it stays as the runtime's own. */
export interface Identity {
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
  readonly groups: readonly number[] | undefined;
}

/** Who the runtime is. */
export interface Self {
  readonly uid: number;
  readonly gid: number;
  readonly groups: readonly number[];
  /** False in a user namespace that may not (see user_namespaces(7), `setgroups`). */
  readonly maySetGroups: boolean;
}

/** Asks the kernel who we are. */
export function readSelf(): Self {
  const uid = process.geteuid?.() ?? 0;
  return {
    uid,
    gid: process.getegid?.() ?? 0,
    groups: process.getgroups?.() ?? [],
    maySetGroups: uid === 0 && !groupsAreDenied(),
  };
}

function groupsAreDenied(): boolean {
  try {
    return readFileSync("/proc/self/setgroups", "utf8").trim() === "deny";
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return false; // A kernel without user namespaces.
    throw error;
  }
}

/**
 * Finds out what to change for a process to be this user.
 *
 * Root becomes anybody. Everybody else can only be what they are: their groups stay with them, and
 * additional groups must be among these.
 *
 * @param namespace the user namespace that the bundle asks for, whose IDs are translated to the host's
 * @throws Failure for who cannot be, or has no ID on the host
 */
export function identify(user: User, namespace: UserNamespace | undefined, self: Self): Identity {
  const uid = onHost(user.uid, namespace?.users, "user");
  const gid = onHost(user.gid, namespace?.groups, "group");
  const groups = user.additionalGids.map((id) => onHost(id, namespace?.groups, "group"));
  if (self.uid !== 0) {
    refuseOthers(uid, gid, groups, self);
    return { ids: undefined, groups: undefined };
  }
  if (!self.maySetGroups && groups.some((id) => !self.groups.includes(id))) {
    throw new Failure("additional groups cannot be set in this user namespace");
  }
  return { ids: { uid, gid }, groups: self.maySetGroups ? groups : undefined };
}

function onHost(id: number, mappings: readonly IdMapping[] | undefined, what: string): number {
  if (mappings === undefined) return id;
  const range = mappings.find(({ containerId: at, size }) => id >= at && id < at + size);
  // To take the ID as it is would make the container's root the host's.
  if (range === undefined) throw new Failure(`${what} ${id} has no mapping in the user namespace`);
  return range.hostId + (id - range.containerId);
}

function refuseOthers(uid: number, gid: number, groups: readonly number[], self: Self): void {
  const own = `only root can change that, and this is user ${self.uid}, group ${self.gid}`;
  if (uid !== self.uid) throw new Failure(`cannot run a process as user ${uid}: ${own}`);
  if (gid !== self.gid) throw new Failure(`cannot run a process with group ${gid}: ${own}`);
  const missing = groups.filter((id) => id !== self.gid && !self.groups.includes(id));
  if (missing.length > 0) {
    throw new Failure(`cannot run a process with the additional group ${missing[0]}: ${own}`);
  }
}

/** The home directory that the user database has for a user of the host, else "/". */
export function homeOf(uid: number, passwd: string = readPasswd()): string {
  for (const line of passwd.split("\n")) {
    const [, , id, , , home] = line.split(":");
    if (id === String(uid) && home) return home;
  }
  return "/";
}

function readPasswd(): string {
  try {
    return readFileSync("/etc/passwd", "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return "";
    throw error;
  }
}
