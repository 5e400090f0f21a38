/** Following a container through its restarts. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { attachTo } from "./attach.ts";
import { Connection } from "./connection.ts";
import { type Container, isOver } from "./container.ts";
import { ownContainerById } from "./find.ts";
import { follow, unfollow } from "./followers.ts";
import { readRuns } from "./runs.ts";
import type { ContainerPaths, State } from "./state.ts";
import { watchFor } from "./watch.ts";

/**
 * Waits until a container that is to be started again can be attached to, which is before it begins, and says
 * so to whoever starts it: see followers.ts.
 *
 * @param run the number of the run that has ended
 * @returns the connection and the number of the new run; undefined if there is none, or the signal was aborted
 */
export async function attachToNextRun(
  state: State,
  id: string,
  run: number,
  signal?: AbortSignal,
): Promise<{ readonly connection: Connection; readonly run: number } | undefined> {
  const paths = state.container(id);
  const socket = join(paths.bundle, "attach");
  const look = () => {
    const container = ownContainerById(state, id);
    if (container === undefined) return "over";
    const count = readRuns(paths)?.count ?? run;
    if (count > run && existsSync(socket)) return connect(paths, count, signal);
    return isOver(state, container) ? "over" : undefined;
  };
  const found = await watchFor([paths.directory, paths.bundle], look, signal);
  return found === "over" ? undefined : found;
}

/**
 * A connection to each run of a container with a restart policy, the present one first. The next one comes when
 * the connection before has ended, or was closed, and the container is started again; there is no other one after
 * its end. A run does not begin before it has been attached to, unless that takes too long: see followers.ts.
 *
 * @param signal ends it, and closes the connection
 * @throws ContainerError if it does not run, or was not started by conmonctl
 */
export async function* attachToRuns(
  state: State,
  container: Container,
  signal?: AbortSignal,
): AsyncGenerator<Connection, void, undefined> {
  const { id } = container;
  const paths = state.container(id);
  let run = readRuns(paths)?.count ?? 1;
  let connection: Connection | undefined = attachTo(state, container, signal);
  try {
    if (container.own) follow(paths, run);
    while (connection !== undefined) {
      yield connection;
      connection.close();
      const next = await attachToNextRun(state, id, run, signal);
      connection = next?.connection;
      run = next?.run ?? run;
    }
  } finally {
    connection?.close();
    unfollow(paths);
  }
}

/** A socket of the run before may still be there; the next look finds the right one. */
function connect(
  paths: ContainerPaths,
  run: number,
  signal: AbortSignal | undefined,
): { readonly connection: Connection; readonly run: number } | undefined {
  let connection: Connection;
  try {
    connection = Connection.open(paths.bundle, { signal });
  } catch {
    return undefined;
  }
  follow(paths, run);
  return { connection, run };
}
