import { accessSync, constants, existsSync, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

/** Where this project is. */
export const projectRoot = fileURLToPath(new URL("../..", import.meta.url));

/** The monitors that tests run: ours, ours under the sanitizers, and what Debian installs. */
export const monitors = {
  ours: join(projectRoot, "bin/conmon"),
  sanitized: join(projectRoot, "build/bin/conmon-sanitized"),
  debian: "/usr/bin/conmon",
} as const;

/** One of {@link monitors} by its name, or the path of another. */
export type Monitor = keyof typeof monitors | (string & {});

/** The path of a monitor given by name or by path. */
export function monitorPath(monitor: Monitor): string {
  return Object.hasOwn(monitors, monitor) ? monitors[monitor as keyof typeof monitors] : monitor;
}

/** The bundled daemon that `npm run build` makes. */
export const conmondProgram = join(projectRoot, "dist/conmond.cjs");

/** The built-in OCI runtime without isolation. */
export const hostRuntimeProgram = join(projectRoot, "bin/conmon-host-runtime");

/** PATH for the processes that tests start: root's programs belong to it as well. */
export const programPath = [
  ...(process.env.PATH ?? "").split(delimiter).filter((folder) => folder !== ""),
  ...["/usr/local/sbin", "/usr/sbin", "/sbin"],
].join(delimiter);

/** The path of a program, or undefined where it is not installed. */
export function findProgram(name: string): string | undefined {
  const paths = programPath.split(delimiter).map((folder) => join(folder, name));
  return paths.find((path) => existsSync(path) && statSync(path).isFile() && isExecutable(path));
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false; // Whatever the reason: it cannot be run.
  }
}

/**
 * The path of a program that a test cannot do without.
 *
 * @throws Error naming it where it is not installed
 */
export function needProgram(name: string): string {
  const path = findProgram(name);
  if (path === undefined) throw new Error(`${name} is not installed`);
  return path;
}

/**
 * For a test's `skip` option: false when the user is root and all programs are installed, else
 * the reason to skip. Under CI=true a skipped test counts as failed, see scripts/test.mjs.
 *
 *     test("a title", { skip: unlessRootWith("runc", "podman") }, async (t) => {});
 */
export function unlessRootWith(...programs: string[]): string | false {
  if (process.geteuid?.() !== 0) return "needs root";
  const missing = programs.filter((name) => findProgram(name) === undefined);
  return missing.length > 0 && `needs ${missing.join(", ")}`;
}
