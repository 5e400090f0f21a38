/** The bundle that a container is started from: made anew for each, from options or from a given bundle. */
import { readFileSync, statSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { ContainerError, reasonOf } from "./errors.ts";
import { writeWhole } from "./files.ts";
import { makeHostRoot } from "./host-root.ts";
import { isConfig, type OciConfig, type OciMount, type OciProcess } from "./oci.ts";
import type { MountOption, ProcessOptions, RunOptions } from "./options.ts";
import { isHostRuntime, silenceRuntime } from "./plain-process.ts";
import { parseJson } from "./record.ts";
import { resolveUser } from "./user.ts";

const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/** Of a CPU's time, in microseconds: how it is counted out. */
const CPU_PERIOD = 100_000;

/** What a container's root may do if nobody says otherwise. */
const CAPABILITIES = [
  "CHOWN",
  "DAC_OVERRIDE",
  "FOWNER",
  "FSETID",
  "KILL",
  "NET_BIND_SERVICE",
  "SETFCAP",
  "SETGID",
  "SETPCAP",
  "SETUID",
  "SYS_CHROOT",
].map((name) => `CAP_${name}`);

/**
 * Makes a bundle.
 *
 * @param directory has to be there, and empty
 * @param options with `runtime` as a path
 * @returns its config.json
 * @throws ContainerError for a given bundle that is none
 */
export function makeBundle(directory: string, id: string, options: RunOptions): OciConfig {
  const config =
    options.bundle === undefined
      ? makeConfig(directory, id, options)
      : readBundle(options.bundle, options);
  applyProcessOptions(config, options);
  if (options.hostname !== undefined) config.hostname = options.hostname;
  config.mounts = [...(config.mounts ?? []), ...(options.mounts ?? []).map(toMount)];
  applyLimits(config, options);
  if (options.network !== undefined) setNetwork(config, options.network);
  const warned = options.onWarning !== undefined && isHostRuntime(options.runtime ?? "");
  if (warned) silenceRuntime(config);
  writeWhole(join(directory, "config.json"), JSON.stringify(config, null, 2));
  return config;
}

/** The config.json of a bundle, with paths that are right from everywhere. */
export function readBundle(directory: string, options: Pick<RunOptions, "rootfs"> = {}): OciConfig {
  const bundle = resolve(directory);
  const config = readConfig(bundle);
  config.root.path = resolve(bundle, options.rootfs ?? config.root.path);
  for (const mount of config.mounts ?? []) {
    const isBind = mount.type === "bind" || mount.options?.some((word) => /^r?bind$/.test(word));
    if (isBind && mount.source !== undefined) mount.source = resolve(bundle, mount.source);
  }
  return config;
}

function readConfig(bundle: string): OciConfig {
  const path = join(bundle, "config.json");
  let text: string;
  try {
    text = readFileSync(path, "utf8");
  } catch (cause) {
    throw new ContainerError("not-started", `${bundle} is no bundle: ${path}: ${reasonOf(cause)}`, {
      hint: "to run a command on the host's own /usr, put -- before it",
      cause,
    });
  }
  const value = parseJson(text);
  if (isConfig(value)) return value;
  throw new ContainerError("not-started", `${path} is no OCI configuration with root and process`);
}

/** Changes the process of a configuration as the options say. */
export function applyProcessOptions(config: OciConfig, options: ProcessOptions): void {
  checkProcessOptions(options);
  const own: OciProcess = config.process;
  if (options.command !== undefined) own.args = [...options.command];
  if (options.terminal !== undefined) own.terminal = options.terminal;
  // Some runtimes make the terminal of that size, so that the process never sees another one.
  if (own.terminal && options.size !== undefined) {
    own.consoleSize = { height: options.size.rows, width: options.size.columns };
  }
  if (options.workingDirectory !== undefined) own.cwd = options.workingDirectory;
  if (options.user !== undefined) own.user = resolveUser(options.user, etcOf(config));
  const added = (options.env ?? []).flatMap(withOwnValue);
  const terminal = own.terminal && !own.env?.some((word) => word.startsWith("TERM="));
  const all = [...(terminal ? ["TERM=xterm"] : []), ...(own.env ?? []), ...added];
  // The last of a name counts.
  own.env = [...new Map(all.map((word) => [word.split("=", 1)[0], word])).values()];
}

/** Runtimes differ in what they make of these, and no runtime says what to do. */
function checkProcessOptions({ workingDirectory, env = [] }: ProcessOptions): void {
  if (workingDirectory !== undefined && !isAbsolute(workingDirectory)) {
    const what = `${JSON.stringify(workingDirectory)} is no working directory`;
    throw new ContainerError("invalid", what, { hint: "give a path that begins with /" });
  }
  const nameless = env.find((word) => word === "" || word.startsWith("="));
  if (nameless === undefined) return;
  throw new ContainerError("invalid", `${JSON.stringify(nameless)} is no environment variable`, {
    hint: "give NAME=VALUE, or NAME alone for the own value",
  });
}

/** Where the host has what the container sees as /etc. */
function etcOf({ mounts, root }: OciConfig): string {
  const mount = mounts?.findLast(({ destination }) => destination === "/etc");
  return mount?.source ?? join(root.path, "etc");
}

/** `NAME` alone stands for the caller's own variable. */
function withOwnValue(word: string): string[] {
  if (word.includes("=")) return [word];
  const value = process.env[word];
  return value === undefined ? [] : [`${word}=${value}`];
}

function makeConfig(directory: string, id: string, options: RunOptions): OciConfig {
  if (options.command === undefined || options.command.length === 0) {
    throw new ContainerError("invalid", "there is neither a bundle nor a command to run");
  }
  const user = process.getuid?.() ?? 0;
  const group = process.getgid?.() ?? 0;
  const rootfs = options.rootfs === undefined ? undefined : existingRoot(options.rootfs);
  const made = join(directory, "rootfs");
  const hostMounts = rootfs === undefined ? makeHostRoot(made) : [];
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: [...options.command],
      env: [DEFAULT_PATH, "HOME=/root"],
      cwd: "/",
      noNewPrivileges: true,
      capabilities: {
        bounding: CAPABILITIES,
        effective: CAPABILITIES,
        permitted: CAPABILITIES,
      },
    },
    root: { path: rootfs ?? made, readonly: rootfs === undefined },
    hostname: id.slice(0, 12),
    mounts: [
      ...standardMounts(user),
      ...(rootfs === undefined ? privateFolders() : []),
      ...hostMounts,
    ],
    linux: { ...namespaces(user, group), maskedPaths: MASKED, readonlyPaths: READ_ONLY },
  };
}

/** What in /proc tells of the host, or would change it. */
const MASKED = ["/proc/acpi", "/proc/kcore", "/proc/keys", "/proc/timer_list", "/proc/scsi"];
const READ_ONLY = ["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

function existingRoot(path: string): string {
  const root = resolve(path);
  if (statSync(root, { throwIfNoEntry: false })?.isDirectory()) return root;
  throw new ContainerError("not-started", `the root ${root} is no directory`);
}

function standardMounts(user: number): OciMount[] {
  // Group 5 is that of terminals; in a user namespace with one group there is none.
  const terminalGroup = user === 0 ? ["gid=5"] : [];
  return [
    { destination: "/proc", type: "proc", source: "proc" },
    tmpfs("/dev", ["nosuid", "strictatime", "mode=755", "size=65536k"]),
    {
      destination: "/dev/pts",
      type: "devpts",
      source: "devpts",
      options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620", ...terminalGroup],
    },
    tmpfs("/dev/shm", ["nosuid", "noexec", "nodev", "mode=1777", "size=65536k"]),
  ];
}

/** What programs of the host expect to be able to write to. */
function privateFolders(): OciMount[] {
  return [
    tmpfs("/tmp", ["nosuid", "nodev", "mode=1777"]),
    tmpfs("/run", ["nosuid", "nodev", "mode=755"]),
    tmpfs("/root", ["nosuid", "nodev", "mode=700"]),
  ];
}

function tmpfs(destination: string, options: string[]): OciMount {
  return { destination, type: "tmpfs", source: "tmpfs", options };
}

/** Without root's rights the container's root is the caller, in a user namespace. */
function namespaces(user: number, group: number): NonNullable<OciConfig["linux"]> {
  const types = ["pid", "ipc", "uts", "mount", "network"];
  if (user === 0) return { namespaces: types.map((type) => ({ type })) };
  return {
    namespaces: [...types, "user"].map((type) => ({ type })),
    uidMappings: [{ containerID: 0, hostID: user, size: 1 }],
    gidMappings: [{ containerID: 0, hostID: group, size: 1 }],
  };
}

/** Whatever the bundle says: it may share the host's network, or join another one. */
function setNetwork(config: OciConfig, network: "none" | "host"): void {
  const linux = config.linux ?? {};
  const others = linux.namespaces?.filter(({ type }) => type !== "network") ?? [];
  linux.namespaces = network === "host" ? others : [...others, { type: "network" }];
  config.linux = linux;
}

function toMount({ type, source, destination, readOnly, size }: MountOption): OciMount {
  const access = readOnly === true ? "ro" : "rw";
  if (type === "tmpfs") {
    const limit = size === undefined ? [] : [`size=${size}`];
    return tmpfs(destination, ["nosuid", "nodev", access, ...limit]);
  }
  if (source === undefined || !statSync(source, { throwIfNoEntry: false })) {
    throw new ContainerError(
      "invalid",
      `there is nothing at ${source ?? ""} to mount on ${destination}`,
    );
  }
  return { destination, type: "bind", source: resolve(source), options: ["rbind", access] };
}

function applyLimits(config: OciConfig, { memory, cpus }: RunOptions): void {
  if (memory === undefined && cpus === undefined) return;
  const linux = config.linux ?? {};
  const resources: Record<string, unknown> = { ...linux.resources };
  if (memory !== undefined) resources.memory = { limit: memory };
  if (cpus !== undefined) {
    resources.cpu = { period: CPU_PERIOD, quota: Math.max(1000, Math.round(cpus * CPU_PERIOD)) };
  }
  config.linux = { ...linux, resources };
}
