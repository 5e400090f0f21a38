/** Is a shim one that we can serve: our own user's, seeing the same files and processes as we do? */
import { readlinkSync } from "node:fs";
import * as sys from "../sys/mod.ts";

/** Paths that the shim sends are opened here, pids are looked up here: these must be shared. */
const SHARED = ["ns/user", "ns/mnt", "ns/pid", "root"] as const;

/** @returns why the process at the other end cannot be served, or undefined when it can */
export function refusePeer(fd: number): string | undefined {
  try {
    const peer = sys.peerCredentials(fd);
    const own = process.geteuid?.();
    if (peer.uid !== own) return `conmond serves user ${own}, the shim is user ${peer.uid}'s`;
    const differs = SHARED.find((what) => readlinkSync(`/proc/${peer.pid}/${what}`) !== ours(what));
    return differs && `the shim is in another place than conmond: ${differs} differs`;
  } catch (error) {
    return `conmond cannot tell where the shim is: ${(error as Error).message}`;
  }
}

/** conmond stays where it is. */
const known = new Map<string, string>();

function ours(what: string): string {
  const place = known.get(what) ?? readlinkSync(`/proc/self/${what}`);
  known.set(what, place);
  return place;
}
