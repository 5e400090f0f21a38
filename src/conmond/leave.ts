/** conmond's own end, which no thread of a log plug-in may hold up. */
import { endThreads, hasThreads } from "../logging/plugin/thread.ts";

/** How long threads are given to end, in milliseconds. It takes them a few, unless they are stuck. */
const THREAD_GRACE_MS = 1000;

/** Ends the process when the threads have ended, or without waiting for those that do not. */
export async function leave(status: number): Promise<void> {
  await endThreads(THREAD_GRACE_MS);
  leaveAtOnce(status);
}

/** Ends the process now. */
export function leaveAtOnce(status: number): never {
  // process.exit() would wait for a thread that is stuck in a system call, for ever.
  if (hasThreads()) process.kill(process.pid, "SIGKILL");
  process.exit(status);
}
