/** Attaching to a container that runs. */
import { Connection } from "./connection.ts";
import type { Container } from "./container.ts";
import { ContainerError } from "./errors.ts";
import { appendEvent } from "./event-log.ts";
import type { State } from "./state.ts";

/**
 * Connects to a container.
 *
 * @param signal closes the connection
 * @returns its output from now on, and its input; to be closed
 * @throws ContainerError if it does not run
 */
export function attachTo(state: State, container: Container, signal?: AbortSignal): Connection {
  const { id, name, own } = container;
  if (container.state !== "running" && container.state !== "created") {
    throw new ContainerError("conflict", `cannot attach to ${name}: it is ${container.state}`, {
      hint: `conmonctl logs ${name} shows what it has written`,
    });
  }
  const tell = (type: "attach" | "detach"): void => {
    if (own) appendEvent(state, { type, id, name });
  };
  const onDetach = (): void => tell("detach");
  const connection = Connection.open(container.bundle, { onDetach, signal });
  tell("attach");
  return connection;
}
