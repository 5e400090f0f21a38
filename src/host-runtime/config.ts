/** A bundle's config.json: what this runtime needs of it, and what it leaves undone. */
import { readFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { Failure, messageOf } from "./failure.ts";
import { JsonField } from "./json-field.ts";
import { type ProcessSpec, readProcess } from "./process-spec.ts";

/** The hooks of the OCI runtime specification, in the order of a container's life. */
export const HOOK_KINDS = [
  "prestart",
  "createRuntime",
  "createContainer",
  "startContainer",
  "poststart",
  "poststop",
] as const;

export type HookKind = (typeof HOOK_KINDS)[number];

/** A program that is run at some point of a container's life. */
export interface Hook {
  /** Absolute. */
  readonly path: string;
  /** The first one is the program's name for itself. */
  readonly args: readonly string[];
  readonly env: readonly string[];
  /** In seconds; without it the hook may take as long as it wants. */
  readonly timeout?: number;
}

export type Hooks = Readonly<Record<HookKind, readonly Hook[]>>;

/** A line of an ID mapping: `size` IDs from `containerId` on are those from `hostId` on. */
export interface IdMapping {
  readonly containerId: number;
  readonly hostId: number;
  readonly size: number;
}

/** How the IDs of a user namespace are those of the host. */
export interface UserNamespace {
  readonly users: readonly IdMapping[];
  readonly groups: readonly IdMapping[];
}

export interface Config {
  readonly process: ProcessSpec;
  readonly rootfs: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly hooks: Hooks;
  /** If one is asked for. It is not made, but says who its IDs are. */
  readonly userNamespace: UserNamespace | undefined;
  /** What a container would have and this one has not, in words for a list. */
  readonly undone: readonly string[];
}

/**
 * Reads the config.json of a bundle.
 *
 * @throws Failure that says what is missing or wrong
 */
export function readConfig(bundle: string): Config {
  const path = join(bundle, "config.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === "ENOENT";
    const message = missing ? `JSON specification file ${path} not found` : messageOf(cause);
    throw new Failure(message, { cause });
  }
  return parseConfig(text, bundle);
}

/** See {@link readConfig}. */
export function parseConfig(text: string, bundle: string): Config {
  const field = JsonField.parse(text, "config.json");
  if (!field.get("process").isThere) throw new Failure("config.json: process is missing");
  const root = field.get("root").get("path");
  return {
    process: readProcess(field.get("process")),
    rootfs: root.isThere ? resolve(bundle, root.text()) : bundle,
    annotations: readAnnotations(field.get("annotations")),
    hooks: readHooks(field.get("hooks")),
    userNamespace: readUserNamespace(field.get("linux")),
    undone: listUndone(field),
  };
}

function readAnnotations(field: JsonField): Record<string, string> {
  if (!field.isThere) return {};
  return Object.fromEntries(
    Object.keys(field.object()).map((name) => [name, field.get(name).text()]),
  );
}

function readHooks(field: JsonField): Hooks {
  const read = (kind: HookKind) => field.get(kind).list().map(readHook);
  return Object.fromEntries(HOOK_KINDS.map((kind) => [kind, read(kind)])) as unknown as Hooks;
}

function readHook(field: JsonField): Hook {
  const path = field.get("path").text();
  if (!path.startsWith("/"))
    throw new Failure(`${field.place}.path must be absolute, not "${path}"`);
  const timeout = field.get("timeout");
  return {
    path,
    args: field.get("args").texts(),
    env: field.get("env").texts(),
    ...(timeout.isThere ? { timeout: timeout.integer(1, 1_000_000) } : {}),
  };
}

function readUserNamespace(linux: JsonField): UserNamespace | undefined {
  const types = linux
    .get("namespaces")
    .list()
    .map((one) => one.get("type").text());
  if (!types.includes("user")) return undefined;
  return {
    users: linux.get("uidMappings").list().map(readMapping),
    groups: linux.get("gidMappings").list().map(readMapping),
  };
}

function readMapping(field: JsonField): IdMapping {
  const most = 0xffff_ffff;
  return {
    containerId: field.get("containerID").integer(0, most),
    hostId: field.get("hostID").integer(0, most),
    size: field.get("size").integer(0, most),
  };
}

function listUndone(config: JsonField): string[] {
  const linux = config.get("linux");
  const namespaces = linux.get("namespaces").list();
  const types = namespaces.map((one) => one.get("type").text());
  const mounts = config.get("mounts").list().length;
  const root = config.get("root").get("path");
  const has = (field: JsonField, what: string) => (isAsked(field) ? [what] : []);
  return [
    ...(root.isThere ? [`the root file system ${root.text()}`] : []),
    ...(types.length > 0 ? [`namespaces (${types.join(", ")})`] : []),
    ...(mounts > 0 ? [`${mounts} mount${mounts === 1 ? "" : "s"}`] : []),
    ...has(config.get("process").get("capabilities"), "capabilities"),
    ...has(linux.get("seccomp"), "the seccomp filter"),
    ...has(linux.get("resources"), "resource control by cgroups"),
    ...has(linux.get("devices"), "devices"),
    ...has(linux.get("sysctl"), "sysctl settings"),
    ...has(config.get("process").get("apparmorProfile"), "the AppArmor profile"),
    ...has(config.get("process").get("selinuxLabel"), "the SELinux label"),
  ];
}

/** Callers write empty lists, objects and strings for what they do not want. */
function isAsked({ isThere, value }: JsonField): boolean {
  if (!isThere || value === "") return false;
  return typeof value !== "object" || Object.keys(value as object).length > 0;
}
