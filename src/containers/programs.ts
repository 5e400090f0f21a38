/** Where the programs are that containers need: our own, and OCI runtimes. */
import { accessSync, constants, existsSync, statSync } from "node:fs";
import { delimiter, dirname, isAbsolute, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import { ContainerError } from "./errors.ts";

/**
 * From the sources (`src/containers`), from a bundle (`dist`), and from one that is installed
 * (`lib/conmon-ts`) to the directory that has `bin` in it.
 */
const ROOTS = ["../..", ".."].map((steps) => fileURLToPath(new URL(steps, import.meta.url)));

/** In the order in which they are looked for. */
const KNOWN_RUNTIMES = ["runc", "crun"];

/** The monitor that belongs to this library. */
export function monitorProgram(): string {
  return ownProgram(["bin/conmon"], "conmon");
}

/** The bundled command line, which the monitor runs when a container has ended. */
export function commandLineProgram(): string {
  return ownProgram(["dist/conmonctl.cjs", "lib/conmon-ts/conmonctl.cjs"], "conmonctl.cjs");
}

/**
 * The path of a runtime.
 *
 * @param wanted a name such as `runc`, a path, `host` for the built-in one without isolation; default: the
 *   first of runc and crun that is installed
 * @throws ContainerError if there is none
 */
export function findRuntime(wanted?: string): string {
  if (wanted === "host") return ownProgram(["bin/conmon-host-runtime"], "conmon-host-runtime");
  if (wanted === undefined) {
    const found = KNOWN_RUNTIMES.map(findProgram).find((path) => path !== undefined);
    if (found !== undefined) return found;
    throw new ContainerError("not-started", "no OCI runtime is installed: neither runc nor crun", {
      hint: "install runc, or use --runtime host, which isolates nothing",
    });
  }
  const path = wanted.includes("/") ? resolve(wanted) : findProgram(wanted);
  if (path !== undefined && isExecutable(path)) return path;
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
  if (path.split(delimiter).some((folder) => isExecutable(join(folder, "node")))) return own;
  // At the end, so that nothing else is found there that would have been found elsewhere.
  return { ...own, PATH: [path, dirname(process.execPath)].filter(Boolean).join(delimiter) };
}

/** Where a program is, on PATH or where administrators' programs are, which a user's PATH may lack. */
export function findProgram(name: string): string | undefined {
  const folders = (process.env.PATH ?? "").split(delimiter);
  const all = [...folders, "/usr/local/sbin", "/usr/sbin", "/sbin"].filter(isAbsolute);
  return all.map((folder) => join(folder, name)).find(isExecutable);
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // Not there or not ours to run: either way it is not the program looked for.
  }
}

function ownProgram(places: readonly string[], name: string): string {
  const paths = ROOTS.flatMap((root) => places.map((place) => join(root, place)));
  const found = paths.find((path) => existsSync(path));
  if (found !== undefined) return found;
  throw new ContainerError("not-started", `${name} is missing (looked for ${paths.join(", ")})`, {
    hint: "run `npm run build`",
  });
}
