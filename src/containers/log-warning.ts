/** A log that nobody takes is no error: journald may come later. So it has to be said when a container is made. */
import { connectJournald } from "../logging/journal-listener.ts";
import { JOURNAL_SOCKET } from "../logging/journal-socket.ts";
import { isSystemError } from "../sys/errors.ts";
import { reasonOf } from "./errors.ts";

/**
 * What the user is to be told of the logs of a container; undefined if all of them can be written, as far as is known.
 *
 * @param logs as conmon's `--log-path`
 * @param socket for tests
 */
export function lostLogWarning(
  name: string,
  logs: readonly string[],
  socket: string = JOURNAL_SOCKET,
): string | undefined {
  if (!logs.some((log) => /^journald(:|$)/.test(log))) return undefined;
  try {
    connectJournald(socket);
    return undefined;
  } catch (error) {
    const lost = `until journald listens at ${socket} the journal gets nothing of what ${name} writes`;
    const reason = isSystemError(error) ? error.code : reasonOf(error);
    return `${lost} (${reason}); \`run --log-driver k8s-file\` keeps it in a file`;
  }
}
