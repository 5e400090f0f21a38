/** The gate: the socket on which a container that was created waits for `start`. */
import { join } from "node:path";
import { withShortPath } from "../sockets/socket-path.ts";
import * as sys from "../sys/mod.ts";
import { receive } from "./launch.ts";
import { GATE } from "./store.ts";

/** Several `start` at the same time: one gets through, the others wait to be turned away. */
const BACKLOG = 16;

/**
 * Makes the gate in a container's directory and listens; nobody accepts yet.
 *
 * @returns the listening socket, in blocking mode
 */
export function openGate(directory: string): number {
  const gate = sys.unixSocket("seqpacket");
  try {
    withShortPath(join(directory, GATE), (path) => sys.bindUnix(gate, path));
    sys.listen(gate, BACKLOG);
    sys.setNonBlocking(gate, false);
    return gate;
  } catch (error) {
    sys.close(gate);
    throw error;
  }
}

/**
 * Connects to a container that waits at its gate.
 *
 * @returns the connection once it is ready for the word; undefined when it does not wait any more
 */
export function enterGate(directory: string): number | undefined {
  const connection = sys.unixSocket("seqpacket");
  try {
    withShortPath(join(directory, GATE), (path) => sys.connectUnix(connection, path));
    sys.setNonBlocking(connection, false);
    if (receive(connection)?.step === "ready") return connection;
  } catch (error) {
    const gone = ["ENOENT", "ECONNREFUSED", "ECONNRESET"];
    if (!gone.some((code) => sys.isSystemError(error, code))) throw error;
  }
  sys.close(connection);
  return undefined;
}
