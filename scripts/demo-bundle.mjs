/**
 * The demo's OCI bundle: its root file system is the host's own programs and libraries, mounted
 * read-only, so that no image is needed. The format of config.json is that of the OCI runtime
 * specification 1.0.
 */
import { lstatSync, mkdirSync, readlinkSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";

const HOST_FOLDERS = ["usr", "bin", "sbin", "lib", "lib32", "lib64", "libx32"];

const SCRIPT = `
echo "hello from $(uname -n): I am process $$ in here, my user is $(id -u)"
for i in 1 2 3; do sleep 0.4; echo "working, step $i of 3"; done
echo "this line goes to stderr" >&2
printf "and this last one has no newline"
exit 3
`;

/** Makes the bundle in `directory`, which has to be there. */
export function makeBundle(directory) {
  const rootfs = join(directory, "rootfs");
  for (const folder of ["proc", "dev", "tmp", "etc"]) {
    mkdirSync(join(rootfs, folder), { recursive: true });
  }
  const mounts = HOST_FOLDERS.flatMap((folder) => takeFromHost(folder, rootfs));
  writeFileSync(join(directory, "config.json"), JSON.stringify(makeConfig(mounts), null, 2));
}

/** A link, as /bin mostly is, is made anew. For a directory its mount is returned. */
function takeFromHost(folder, rootfs) {
  const source = join("/", folder);
  const status = lstatSync(source, { throwIfNoEntry: false });
  if (status?.isSymbolicLink()) symlinkSync(readlinkSync(source), join(rootfs, folder));
  if (!status?.isDirectory()) return [];
  mkdirSync(join(rootfs, folder));
  const options = ["bind", "ro", "nosuid", "nodev"];
  return [{ destination: source, type: "bind", source, options }];
}

function makeConfig(hostMounts) {
  return {
    ociVersion: "1.0.2",
    process: {
      terminal: false,
      user: { uid: 0, gid: 0 },
      args: ["/bin/sh", "-c", SCRIPT],
      env: ["PATH=/usr/local/bin:/usr/bin:/bin"],
      cwd: "/",
      noNewPrivileges: true,
    },
    root: { path: "rootfs", readonly: true },
    hostname: "demo",
    mounts: [
      { destination: "/proc", type: "proc", source: "proc" },
      tmpfs("/dev", ["nosuid", "mode=755", "size=64k"]),
      tmpfs("/tmp", ["nosuid", "nodev", "mode=1777", "size=1m"]),
      ...hostMounts,
    ],
    linux: makeNamespaces(process.getuid(), process.getgid()),
  };
}

function tmpfs(destination, options) {
  return { destination, type: "tmpfs", source: "tmpfs", options };
}

/** Without root's rights the container's root is the caller, in a user namespace. */
function makeNamespaces(user, group) {
  const types = ["pid", "ipc", "uts", "mount", "network"];
  if (user === 0) return { namespaces: types.map((type) => ({ type })) };
  return {
    namespaces: [...types, "user"].map((type) => ({ type })),
    uidMappings: [{ containerID: 0, hostID: user, size: 1 }],
    gidMappings: [{ containerID: 0, hostID: group, size: 1 }],
  };
}
