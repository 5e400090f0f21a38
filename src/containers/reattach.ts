/** Following a container through its restarts. */
import { existsSync } from "node:fs";
import { join } from "node:path";
import { Connection } from "./connection.ts";
import { isOver } from "./container.ts";
import { writeWhole } from "./files.ts";
import { ownContainerById } from "./find.ts";
import { follow } from "./followers.ts";
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
    if (count > run && existsSync(socket)) return connect(paths, count);
    return isOver(state, container) ? "over" : undefined;
  };
  const found = await watchFor([paths.directory, paths.bundle], look, signal);
  return found === "over" ? undefined : found;
}

/** Says that a container's end is wanted: it will not be started again. */
export function wantEnd(state: State, id: string): void {
  const paths = state.container(id);
  if (existsSync(paths.directory)) writeWhole(paths.stop, "");
}

/** A socket of the run before may still be there; the next look finds the right one. */
function connect(
  paths: ContainerPaths,
  run: number,
): { readonly connection: Connection; readonly run: number } | undefined {
  let connection: Connection;
  try {
    connection = Connection.open(paths.bundle);
  } catch {
    return undefined;
  }
  follow(paths, run);
  return { connection, run };
}
