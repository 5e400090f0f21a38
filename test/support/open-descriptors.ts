/** Which descriptors this process has open, to find those that a test has left over. */
import { readdirSync, readlinkSync } from "node:fs";

/** Each with what it is open on: pipes and sockets have numbers of their own. */
function look(): Set<string> {
  const found = new Set<string>();
  for (const fd of readdirSync("/proc/self/fd")) {
    try {
      found.add(`${fd} -> ${readlinkSync(`/proc/self/fd/${fd}`)}`);
    } catch {
      // The one that the directory was read by is gone again.
    }
  }
  return found;
}

/**
 * Remembers what is open. Node.js and its loaders close files of their own at any time, and open the
 * sources that they load: neither is a test's business.
 *
 * @returns tells what has been opened since then and still is
 */
export function watchDescriptors(): () => string[] {
  const before = look();
  return () =>
    [...look()].filter(
      (open) => !before.has(open) && !/ -> .*(\.[cm]?[jt]s|\.json|\.wasm|\.node)$/.test(open),
    );
}
