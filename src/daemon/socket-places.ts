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
 * The sockets that a command may be about: where one listens at the first of them that is the one, as it is for the
 * shim; where nobody listens at any, the first is the place for one.
 *
 * @param option what was given with `--socket`
 * @throws ContainerError where there is neither an option nor a default
 */
export function possibleSockets(
  option: string | undefined,
  environment: NodeJS.ProcessEnv,
): [first: string, ...others: string[]] {
  if (option !== undefined) return [resolve(option)];
  const [first, ...others] = socketPlaces(environment);
  if (first !== undefined) return [first, ...others];
  throw new ContainerError(
    "failed",
    environment.CONMOND_SOCKET === ""
      ? "CONMOND_SOCKET is empty, so that no shared conmond is used"
      : "XDG_RUNTIME_DIR is not set, so that there is no place for the socket",
    { hint: "name the socket with --socket PATH" },
  );
}
