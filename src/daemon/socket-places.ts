/** Where a shared conmond listens. */
import { join, resolve } from "node:path";
import { ContainerError } from "../containers/errors.ts";

/** The sockets at which the shim looks for a conmond, in its order; none where it is told to go private. */
export function socketPlaces(environment: NodeJS.ProcessEnv): string[] {
  const { CONMOND_SOCKET: chosen, XDG_RUNTIME_DIR: runtimeDirectory } = environment;
  if (chosen !== undefined) return chosen === "" ? [] : [resolve(chosen)];
  const bases = [runtimeDirectory || undefined, process.geteuid?.() === 0 ? "/run" : undefined];
  return bases
    .filter((base) => base !== undefined)
    .map((base) => join(base, "conmond", "conmond.sock"));
}

/**
 * The socket that a command is about.
 *
 * @param option what was given with `--socket`
 * @throws ContainerError where there is neither an option nor a default
 */
export function chosenSocket(option: string | undefined, environment: NodeJS.ProcessEnv): string {
  if (option !== undefined) return resolve(option);
  const [first] = socketPlaces(environment);
  if (first !== undefined) return first;
  throw new ContainerError(
    "failed",
    environment.CONMOND_SOCKET === ""
      ? "CONMOND_SOCKET is empty, so that no shared conmond is used"
      : "XDG_RUNTIME_DIR is not set, so that there is no place for the socket",
    { hint: "name the socket with --socket PATH" },
  );
}
