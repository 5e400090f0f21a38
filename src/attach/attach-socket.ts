import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { failure } from "../faults/failure.ts";
import { MAX_SOCKET_PATH, O_PATH } from "../sockets/socket-path.ts";
import * as sys from "../sys/mod.ts";

const SOCKET_MODE = 0o700;
const PENDING_CLIENTS = 128;

/** Where the attach socket of a bundle is. */
export function attachSocketPath(bundle: string): string {
  return join(bundle, "attach");
}

/**
 * Where the link to the bundle is made. A path of exactly 107 bytes loses its last byte, as callers
 * expect it of conmon.
 */
export function attachLinkPath(socketDirectory: string, linkName: string): string {
  const path = join(socketDirectory, linkName);
  const bytes = Buffer.from(path);
  return bytes.length === MAX_SOCKET_PATH ? bytes.subarray(0, -1).toString() : path;
}

/**
 * Makes the listening attach socket of a bundle, of mode 0700, in place of whatever is there under
 * its name. The bundle's path may be longer than a socket's address.
 *
 * @param onNaming called just before that; what it throws prevents it
 * @returns the descriptor.
 * @throws Error that names the bundle or the socket and the reason.
 */
export function openAttachSocket(bundle: string, onNaming: () => void = () => {}): number {
  const directory = openBundle(bundle);
  const path = attachSocketPath(bundle);
  let fd: number | undefined;
  try {
    fd = sys.unixSocket("seqpacket");
    // The mode goes with the socket into the file system, so that nobody can be too quick for it.
    fs.fchmodSync(fd, SOCKET_MODE);
    const short = Buffer.byteLength(path) <= MAX_SOCKET_PATH;
    onNaming();
    bindInPlaceOf(path, fd, short ? path : `/proc/self/fd/${directory}/attach`);
    // The umask may have taken something away.
    fs.chmodSync(path, SOCKET_MODE);
    sys.listen(fd, PENDING_CLIENTS);
    return fd;
  } catch (cause) {
    if (fd !== undefined) sys.close(fd);
    throw failure(`Failed to make the attach socket ${path}`, cause);
  } finally {
    fs.closeSync(directory);
  }
}

/**
 * Makes a symbolic link to the bundle, an absolute path. An old link is replaced in one step.
 *
 * @throws Error that names the link and the reason.
 */
export function linkToBundle(link: string, bundle: string): void {
  try {
    replaceLink(link, bundle);
  } catch (cause) {
    throw failure(`Failed to make the link ${link} to the bundle`, cause);
  }
}

function openBundle(bundle: string): number {
  try {
    return fs.openSync(bundle, O_PATH | fs.constants.O_DIRECTORY);
  } catch (cause) {
    throw failure(`Failed to open the bundle ${bundle}`, cause);
  }
}

/** What is there under the name is removed first; there is hardly ever anything. */
function bindInPlaceOf(path: string, fd: number, address: string): void {
  try {
    sys.bindUnix(fd, address);
  } catch (error) {
    if (!sys.isSystemError(error, "EADDRINUSE")) throw error;
    removeOld(path);
    sys.bindUnix(fd, address);
  }
}

/**
 * Makes room for something of this name: whatever has it is removed.
 *
 * @throws Error when that is a directory, or a system error
 */
export function removeOld(path: string): void {
  const found = fs.lstatSync(path, { throwIfNoEntry: false });
  if (found?.isDirectory()) throw new Error("there is a directory of that name");
  fs.rmSync(path, { force: true });
}

function replaceLink(link: string, bundle: string): void {
  try {
    fs.symlinkSync(bundle, link);
    return;
  } catch (error) {
    if (!sys.isSystemError(error, "EEXIST")) throw error;
  }
  const fresh = join(dirname(link), `.attach-${sys.randomName(8)}`);
  fs.symlinkSync(bundle, fresh);
  try {
    fs.renameSync(fresh, link);
  } catch (error) {
    fs.unlinkSync(fresh);
    throw error;
  }
}
