/**
 * The values of `--log-path`: which logs the container's output goes to. Spellings and error texts
 * are those of conmon 2.2.
 */
import { basename, dirname, join, normalize } from "node:path";
import { getSystemErrorMap } from "node:util";
import { ConmonError } from "../session/errors.ts";

/**
 * A log that the container's output goes to. More drivers may join: switch over `driver`.
 * - `k8s-file`: the CRI format in the file `path`
 * - `journald`: systemd's journal
 * - `passthrough`: the container has the caller's own stdin, stdout and stderr
 * - `none`: nothing is kept
 */
export type LogDriver =
  | { readonly driver: "k8s-file"; readonly path: string }
  | { readonly driver: "journald" }
  | { readonly driver: "passthrough" }
  | { readonly driver: "none" };

/** The spellings of the log drivers, for `--help`. */
export const LOG_DRIVER_SPELLINGS: readonly { spelling: string; description: string }[] = [
  { spelling: "k8s-file:PATH", description: "The file PATH, in the format of CRI." },
  { spelling: ":PATH, PATH", description: "The same; :none is a file of that name." },
  { spelling: "journald", description: "systemd's journal." },
  { spelling: "passthrough", description: "The caller's own stdout and stderr; stdin as well." },
  { spelling: "none, off, null", description: "No log." },
];

/**
 * Reads one value of `--log-path`. A path is returned as it was given.
 *
 * @throws ConmonError for an empty value, a missing file name or an unknown driver
 */
export function parseLogDriver(value: string): LogDriver {
  if (/^:*$/.test(value)) throw new ConmonError("log-path must not be empty");
  if (value.startsWith(":")) return { driver: "k8s-file", path: value.replace(/^:+/, "") };
  const colon = value.indexOf(":");
  const name = colon < 0 ? value : value.slice(0, colon);
  switch (name) {
    case "k8s-file": {
      const path = value.slice(name.length + 1);
      if (/^:*$/.test(path)) throw new ConmonError("k8s-file requires a filename");
      return { driver: "k8s-file", path };
    }
    case "journald":
    case "passthrough":
      return { driver: name };
    case "none":
    case "off":
    case "null":
      return { driver: "none" };
  }
  // No driver has a slash in its name, but paths may have colons in theirs.
  if (colon >= 0 && !name.includes("/")) throw new ConmonError(`No such log driver ${name}`);
  return { driver: "k8s-file", path: value };
}

/** `drivers` without those that would log to the same place a second time. The order stays. */
export function distinctLogDrivers(drivers: readonly LogDriver[]): LogDriver[] {
  const places = new Map<string, LogDriver>();
  for (const driver of drivers) {
    const place =
      driver.driver === "k8s-file" ? `file ${normalize(driver.path)}` : `driver ${driver.driver}`;
    if (!places.has(place)) places.set(place, driver);
  }
  return [...places.values()];
}

/** What {@link checkLogDrivers} looks at besides the drivers. */
export interface LogDriverContext {
  readonly cid: string;
  readonly tag: string | undefined;
  readonly labels: readonly string[];
  /** Absolute paths; log files may be anywhere if there is none. */
  readonly allowlistDirs: readonly string[];
  readonly noContainerPartialMessage: boolean;
  /** The path with all symbolic links followed, or `undefined` if there is no such file. */
  realPath(path: string): string | undefined;
}

/**
 * Checks whether the drivers, with absolute paths, go together with the other options, and returns
 * warnings for the caller.
 *
 * @throws ConmonError with the first thing that is wrong
 */
export function checkLogDrivers(
  drivers: readonly LogDriver[],
  context: LogDriverContext,
): string[] {
  const names = new Set(drivers.map(({ driver }) => driver));
  for (const driver of drivers) {
    if (driver.driver === "k8s-file") checkAllowed(driver.path, context);
  }
  if (names.has("k8s-file") && !names.has("journald")) {
    if (context.tag !== undefined) throw new ConmonError("k8s-file doesn't support --log-tag");
    if (context.labels.length > 0) throw new ConmonError("k8s-file doesn't support --log-label");
  }
  if (names.has("journald")) {
    if (Buffer.byteLength(context.cid) <= 12) {
      throw new ConmonError("Container ID must be longer than 12 characters");
    }
    context.labels.forEach(checkLabel);
  }
  return warnings(names, context);
}

function warnings(names: ReadonlySet<string>, context: LogDriverContext): string[] {
  const found: string[] = [];
  if (context.noContainerPartialMessage && !names.has("journald")) {
    found.push("--no-container-partial-message has no effect without journald log driver");
  }
  if (names.has("passthrough") && (names.has("k8s-file") || names.has("journald"))) {
    found.push("log driver passthrough leaves nothing for the other log drivers");
  }
  return found;
}

function checkLabel(label: string): void {
  if (label.startsWith("=")) {
    throw new ConmonError(
      `Container labels must be in format LABEL=VALUE (no LABEL present in '${label}')`,
    );
  }
  const [name = "", ...values] = label.split("=");
  if (values.length !== 1) {
    throw new ConmonError(
      `Container labels must be in format LABEL=VALUE (none or more than one '=' present in '${label}')`,
    );
  }
  if (!/^[A-Z0-9_]+$/.test(name)) {
    throw new ConmonError(
      `Container label names must contain only uppercase letters, numbers and underscore (in '${label}')`,
    );
  }
}

function checkAllowed(path: string, { allowlistDirs, realPath }: LogDriverContext): void {
  if (allowlistDirs.length === 0) return;
  const directory = realPath(dirname(path)) ?? normalize(dirname(path));
  const file = realPath(path) ?? join(directory, basename(path));
  for (const allowed of allowlistDirs) {
    const real = realPath(allowed) ?? normalize(allowed);
    // The slash keeps /logs-of-others from passing for a part of /logs.
    if (file.startsWith(real.endsWith("/") ? real : `${real}/`)) return;
  }
  throw new ConmonError(`Log file ${path} is not below any directory of --log-allowlist-dir`);
}

/** What the caller reads when a log file cannot be opened; `cause` is the failed system call. */
export function logOpenError(path: string, cause: unknown): ConmonError {
  return new ConmonError(`Failed to open log file ${path}: ${reasonOf(cause)}`, { cause });
}

function reasonOf(cause: unknown): string {
  if (!(cause instanceof Error)) return String(cause);
  const errno = "errno" in cause && typeof cause.errno === "number" ? Math.abs(cause.errno) : 0;
  return getSystemErrorMap().get(-errno)?.[1] ?? cause.message;
}
