import { execFileSync } from "node:child_process";
import { copyFileSync, existsSync, mkdirSync, statSync, symlinkSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { needProgram } from "./programs.ts";
import type { Scratch } from "./scratch.ts";

/** A mount of config.json, as the OCI runtime specification has it. */
export interface Mount {
  destination: string;
  type?: string;
  source: string;
  options?: string[];
}

/** As much of config.json as tests change. */
export interface OciConfig {
  ociVersion: string;
  hostname: string;
  process: {
    terminal: boolean;
    user: { uid: number; gid: number };
    args: string[];
    env: string[];
    cwd: string;
    noNewPrivileges: boolean;
    capabilities: Record<string, string[]>;
    rlimits?: { type: string; soft: number; hard: number }[];
    [key: string]: unknown;
  };
  root: { path: string; readonly: boolean };
  mounts: Mount[];
  linux: {
    namespaces: { type: string; path?: string }[];
    resources?: Record<string, unknown>;
    [key: string]: unknown;
  };
  [key: string]: unknown;
}

/** What a container is to be. Only `args` has no default. */
export interface BundleOptions {
  /** The command; programs are busybox's, in /bin. */
  readonly args: readonly string[];
  /** `NAME=VALUE`, besides a PATH. */
  readonly env?: readonly string[];
  /** Default: false. */
  readonly terminal?: boolean;
  /** Besides /proc, /dev, /dev/pts and /tmp. What a bind mount is put on is made. */
  readonly mounts?: readonly Mount[];
  /** The last word on config.json. */
  readonly change?: (config: OciConfig) => void;
}

/** A bundle for an OCI runtime. */
export interface Bundle {
  /** A container ID that nothing else has. */
  readonly id: string;
  readonly directory: string;
  /** Shared by all bundles of a test, read-only for containers apart from /tmp. */
  readonly rootfs: string;
}

const CAPABILITIES = ["CHOWN", "DAC_OVERRIDE", "FOWNER", "KILL", "SETGID", "SETUID"];

/** Makes a bundle with busybox in it. */
export function makeBundle(scratch: Scratch, options: BundleOptions): Bundle {
  const id = scratch.uniqueName();
  const directory = scratch.folder("bundles", id);
  const rootfs = scratch.path("rootfs");
  if (!existsSync(rootfs)) makeBusyboxRoot(rootfs);
  for (const mount of options.mounts ?? []) makeMountPoint(rootfs, mount);
  const config = makeConfig(scratch, rootfs, options);
  options.change?.(config);
  writeFileSync(join(directory, "config.json"), JSON.stringify(config));
  return { id, directory, rootfs };
}

/** Makes a root file system of busybox, with a link in /bin for each of its programs. */
export function makeBusyboxRoot(directory: string): void {
  const busybox = needProgram("busybox");
  for (const folder of ["bin", "dev", "etc", "mnt", "proc", "root", "sys", "tmp"]) {
    mkdirSync(join(directory, folder), { recursive: true });
  }
  copyFileSync(busybox, join(directory, "bin/busybox"));
  for (const program of busyboxPrograms(busybox)) {
    symlinkSync("busybox", join(directory, "bin", program));
  }
  writeFileSync(join(directory, "etc/passwd"), "root:x:0:0:root:/root:/bin/sh\n");
  writeFileSync(join(directory, "etc/group"), "root:x:0:\n");
}

function busyboxPrograms(busybox: string): string[] {
  const lines = execFileSync(busybox, ["--list"], { encoding: "utf8" }).split("\n");
  return lines.filter((name) => name !== "" && name !== "busybox");
}

function makeMountPoint(rootfs: string, { source, destination }: Mount): void {
  const path = join(rootfs, destination);
  const ofFile = source.startsWith("/") && !statSync(source).isDirectory();
  mkdirSync(ofFile ? dirname(path) : path, { recursive: true });
  if (ofFile) writeFileSync(path, "");
}

function makeConfig(scratch: Scratch, rootfs: string, options: BundleOptions): OciConfig {
  const capabilities = CAPABILITIES.map((name) => `CAP_${name}`);
  return {
    ociVersion: "1.0.2",
    hostname: "test",
    process: {
      terminal: options.terminal ?? false,
      user: { uid: 0, gid: 0 },
      args: [...options.args],
      // With the mark the test's end finds the container's processes.
      env: ["PATH=/bin", "TERM=xterm", `CONMON_TS_TEST=${scratch.id}`, ...(options.env ?? [])],
      cwd: "/",
      noNewPrivileges: true,
      capabilities: {
        bounding: capabilities,
        effective: capabilities,
        permitted: capabilities,
      },
    },
    root: { path: rootfs, readonly: true },
    mounts: [...STANDARD_MOUNTS, ...(options.mounts ?? [])],
    linux: {
      namespaces: ["pid", "ipc", "uts", "mount", "network"].map((type) => ({ type })),
    },
  };
}

const STANDARD_MOUNTS: readonly Mount[] = [
  { destination: "/proc", type: "proc", source: "proc" },
  {
    destination: "/dev",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "mode=755", "size=64k"],
  },
  {
    destination: "/dev/pts",
    type: "devpts",
    source: "devpts",
    options: ["nosuid", "noexec", "newinstance", "ptmxmode=0666", "mode=0620"],
  },
  {
    destination: "/tmp",
    type: "tmpfs",
    source: "tmpfs",
    options: ["nosuid", "nodev", "mode=1777"],
  },
];
