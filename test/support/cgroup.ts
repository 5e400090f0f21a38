import { rmdirSync } from "node:fs";
import { waitUntilGone } from "./processes.ts";

/**
 * Removes a cgroup whose processes have ended or are about to.
 *
 * The kernel may count a process as the cgroup's a little longer than anything can be seen of it: it is
 * gone from cgroup.procs, and has let go of its files, before it leaves the cgroup.
 *
 * @throws Error (EBUSY) when something is still in it after a while
 */
export async function removeCgroup(directory: string): Promise<void> {
  const faults = await waitUntilGone(() => {
    try {
      rmdirSync(directory);
      return [];
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EBUSY") throw error;
      return [error];
    }
  });
  if (faults.length > 0) throw faults[0];
}
