/**
 * A root directory of the host's own programs and libraries, mounted read-only, so that no image is needed.
 */
import { lstatSync, mkdirSync, readlinkSync, symlinkSync } from "node:fs";
import { join } from "node:path";
import type { OciMount } from "./oci.ts";

const HOST_FOLDERS = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32", "etc"];
const EMPTY_FOLDERS = ["dev", "proc", "root", "run", "tmp", "var"];

/** Makes the directory with its mount points. Returns what is to be mounted there. */
export function makeHostRoot(rootfs: string): OciMount[] {
  for (const folder of EMPTY_FOLDERS) mkdirSync(join(rootfs, folder), { recursive: true });
  return HOST_FOLDERS.flatMap((folder) => takeFromHost(folder, rootfs));
}

/** A link, as /bin mostly is, is made anew. For a directory its mount is returned. */
function takeFromHost(folder: string, rootfs: string): OciMount[] {
  const source = join("/", folder);
  const status = lstatSync(source, { throwIfNoEntry: false });
  if (status?.isSymbolicLink()) symlinkSync(readlinkSync(source), join(rootfs, folder));
  if (!status?.isDirectory()) return [];
  mkdirSync(join(rootfs, folder));
  return [
    { destination: source, type: "bind", source, options: ["bind", "ro", "nosuid", "nodev"] },
  ];
}
