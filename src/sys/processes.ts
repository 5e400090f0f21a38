import { addon } from "./addon.ts";

/** Processes. All throw a {@link SystemError}, and a TypeError or RangeError for arguments that make no sense. */
export interface ProcessCalls {
  /**
   * Opens a process: a descriptor that means this very process, whoever gets its pid later. It is
   * readable once the process has ended (as a zombie too), and close-on-exec. Linux 5.3 has it.
   *
   * @throws ESRCH when there is no such process.
   */
  pidfdOpen(pid: number): number;

  /**
   * Sends a signal, by its number, to the process of such a descriptor; 0 only asks whether it can be sent.
   *
   * @throws ESRCH when the process has ended and was reaped; EPERM when it is somebody else's.
   */
  pidfdSendSignal(fd: number, signal: number): void;

  /**
   * Ends this process by _exit(2): no exit handler runs, no event loop turns once more, and so no child that
   * has ended is reaped on the way out; its status is for whoever adopts it.
   *
   * @param status 0 to 255
   */
  leaveAtOnce(status: number): never;
}

export const { pidfdOpen, pidfdSendSignal }: ProcessCalls = addon;

/** See {@link ProcessCalls.leaveAtOnce}; a function with a declared type, as TypeScript wants it for `never`. */
export function leaveAtOnce(status: number): never {
  return addon.leaveAtOnce(status);
}
