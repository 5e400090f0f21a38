/** Whether there is a journald. */
import * as sys from "../sys/mod.ts";
import { JOURNAL_SOCKET } from "./journal-socket.ts";

/**
 * Tries to connect to journald, and sends nothing.
 *
 * @param path for tests
 * @throws a system error if nobody listens
 */
export function connectJournald(path: string = JOURNAL_SOCKET): void {
  const fd = sys.unixSocket("dgram");
  try {
    sys.connectUnix(fd, path);
  } finally {
    sys.close(fd);
  }
}
