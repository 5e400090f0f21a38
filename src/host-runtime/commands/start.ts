/** `start`: lets a container that was created execute its program. */
import { rmSync } from "node:fs";
import type { Call } from "../command.ts";
import { Failure } from "../failure.ts";
import { enterGate } from "../gate.ts";
import { runAllHooks, runHooks } from "../hooks.ts";
import { giveTheWord } from "../launch.ts";
import { ociState } from "../store.ts";

export function start({ args: [id = ""], log, store }: Call): number {
  const { container, place } = store.load(id);
  const status = place.status(container);
  if (status === "stopped") throw new Failure("cannot start a container that has stopped");
  const connection = status === "created" ? enterGate(place.directory) : undefined;
  if (connection === undefined) {
    const stopped = place.status(container) === "stopped";
    // A start that was killed may have left it.
    if (!stopped) rmSync(place.gate, { force: true });
    throw new Failure(
      stopped
        ? "cannot start a container that has stopped"
        : "cannot start an already running container",
    );
  }
  runHooks(container.hooks, "startContainer", ociState(container, "created"));
  giveTheWord(connection);
  rmSync(place.gate, { force: true });
  const warn = (text: string) => log.warning(text);
  runAllHooks(container.hooks, "poststart", ociState(container, "running"), warn);
  return 0;
}
