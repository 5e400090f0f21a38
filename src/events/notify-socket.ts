/** The socket in the bundle to which a container sends its sd-notify messages. */
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { failure } from "../faults/failure.ts";
import { removeName, withShortPath } from "../sockets/socket-path.ts";
import * as sys from "../sys/mod.ts";

/** Whoever the container's processes run as may send. */
const SOCKET_MODE = 0o777;

/** Where the socket is; its directory is what gets mounted into the container. */
export function notifySocketPath(bundle: string): string {
  return join(bundle, "notify", "notify.sock");
}

/**
 * Makes the datagram socket of a bundle in place of an old one, and its directory if it is missing.
 *
 * @returns the descriptor
 * @throws Error that names the socket and the reason
 */
export function openNotifySocket(bundle: string): number {
  const path = notifySocketPath(bundle);
  let fd: number | undefined;
  try {
    fs.mkdirSync(dirname(path), { mode: 0o755, recursive: true });
    removeNotifySocket(bundle);
    fd = sys.unixSocket("dgram");
    bindForAll(fd, path);
    return fd;
  } catch (cause) {
    if (fd !== undefined) sys.close(fd);
    throw failure(`Failed to make the sd-notify socket ${path}`, cause);
  }
}

/**
 * The mode goes with the socket into the file system. To set it afterwards, by its path, would be
 * to trust a directory that a container can write to.
 */
function bindForAll(fd: number, path: string): void {
  fs.fchmodSync(fd, SOCKET_MODE);
  const umask = process.umask(0);
  try {
    withShortPath(path, (short) => sys.bindUnix(fd, short));
  } finally {
    process.umask(umask);
  }
}

/**
 * Removes the socket, or a file or link that the container has put in its place; nothing there is no
 * error. A directory is not removed: for what is in there nobody can vouch.
 *
 * @throws Error that names the path and the reason
 */
export function removeNotifySocket(bundle: string): void {
  removeName(notifySocketPath(bundle));
}
