/** The programs that containers need: our own, and OCI runtimes. */
import { existsSync } from "node:fs";
import { delimiter, dirname, join, resolve } from "node:path";
import { findProgram, isExecutableFile } from "../programs/find-program.ts";
import { type Installation, ownInstallation } from "../programs/installation.ts";
import { ContainerError } from "./errors.ts";

/** In the order in which they are looked for. */
const KNOWN_RUNTIMES = ["runc", "crun"];

/**
 * The monitor that belongs to this program.
 *
 * @throws ContainerError if it is missing
 */
export function monitorProgram(): string {
  return ownProgram("conmon");
}

/**
 * The bundled command line, which the monitor runs when a container has ended.
 *
 * @throws ContainerError if it is missing
 */
export function commandLineProgram(): string {
  return ownProgram("conmonctl");
}

/**
 * The path of a runtime.
 *
 * @param wanted a name such as `runc`, a path, `host` for the built-in one without isolation; default: the
 *   first of runc and crun that is installed
 * @throws ContainerError if there is none
 */
export function findRuntime(wanted?: string): string {
  if (wanted === "host") return ownProgram("hostRuntime");
  if (wanted === undefined) {
    const found = KNOWN_RUNTIMES.map((name) => findProgram(name)).find(
      (path) => path !== undefined,
    );
    if (found !== undefined) return found;
    throw new ContainerError("not-started", "no OCI runtime is installed: neither runc nor crun", {
      hint: "install runc, or use --runtime host, which isolates nothing",
    });
  }
  const path = wanted.includes("/") ? resolve(wanted) : findProgram(wanted);
  if (path !== undefined && isExecutableFile(path)) return path;
  throw new ContainerError("not-started", `there is no executable runtime ${wanted}`, {
    hint: "give the name of an installed one, such as runc or crun, its path, or host",
  });
}

/**
 * The environment of programs that are started here: our own, in which `node` can be found. The built-in runtime
 * begins with `#!/usr/bin/env node`, and whoever has started us may have done so by a path.
 *
 * @param own for tests; default: this process's
 */
export function programEnvironment(own: NodeJS.ProcessEnv = process.env): NodeJS.ProcessEnv {
  const path = own.PATH ?? "";
  if (path.split(delimiter).some((folder) => isExecutableFile(join(folder, "node")))) return own;
  // At the end, so that nothing else is found there that would have been found elsewhere.
  return { ...own, PATH: [path, dirname(process.execPath)].filter(Boolean).join(delimiter) };
}

function ownProgram(part: keyof Installation): string {
  const path = ownInstallation()[part];
  if (existsSync(path)) return path;
  throw new ContainerError("not-started", `${path} is missing`, { hint: "run `npm run build`" });
}
