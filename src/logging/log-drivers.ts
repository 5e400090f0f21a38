/**
 * The values of `--log-path`: which logs the container's output goes to. Spellings and error texts
 * are those of conmon 2.2; `json-file` and `plugin` are our own.
 */
import { basename, dirname, join, normalize } from "node:path";
import { getSystemErrorMap } from "node:util";
import { ConmonError } from "../session/errors.ts";

/**
 * A log that the container's output goes to. More drivers may join: switch over `driver`.
 * - `k8s-file`: the CRI format in the file `path`
 * - `json-file`: Docker's JSON lines in the file `path`
 * - `journald`: systemd's journal
 * - `plugin`: a module of somebody else's, see docs/sinks.md
 * - `passthrough`: the container has the caller's own stdin, stdout and stderr
 * - `none`: nothing is kept
 */
export type LogDriver =
  | { readonly driver: "k8s-file"; readonly path: string }
  | { readonly driver: "json-file"; readonly path: string }
  | {
      readonly driver: "plugin";
      /** Absolute. */
      readonly path: string;
      /** For the plug-in to read. */
      readonly options: string;
    }
  | { readonly driver: "journald" }
  | { readonly driver: "passthrough" }
  | { readonly driver: "none" };

/** The spellings of the log drivers, for `--help`. */
export const LOG_DRIVER_SPELLINGS: readonly { spelling: string; description: string }[] = [
  { spelling: "k8s-file:PATH", description: "The file PATH, in the format of CRI." },
  { spelling: ":PATH, PATH", description: "The same; :none is a file of that name." },
  { spelling: "json-file:PATH", description: "The file PATH, in the format of Docker." },
  { spelling: "journald", description: "systemd's journal." },
  {
    spelling: "plugin:/PATH[:OPTIONS]",
    description: "A JavaScript module; OPTIONS are for it to read.",
  },
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
    case "k8s-file":
    case "json-file": {
      const path = value.slice(name.length + 1);
      if (/^:*$/.test(path)) throw new ConmonError(`${name} requires a filename`);
      return { driver: name, path };
    }
    case "plugin":
      return parsePlugin(value.slice(name.length + 1));
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

/** `PATH[:OPTIONS]`. It is code that is to be run: a relative path would leave open whose. */
function parsePlugin(value: string): LogDriver {
  const colon = value.indexOf(":");
  const path = colon < 0 ? value : value.slice(0, colon);
  if (!path.startsWith("/")) {
    throw new ConmonError(`plugin requires the absolute path of a module, got "${path}"`);
  }
  return { driver: "plugin", path, options: colon < 0 ? "" : value.slice(colon + 1) };
}

/** `drivers` without those that would log to the same place a second time. The order stays. */
export function distinctLogDrivers(drivers: readonly LogDriver[]): LogDriver[] {
  const places = new Map<string, LogDriver>();
  for (const driver of drivers) {
    const place = placeOf(driver);
    if (!places.has(place)) places.set(place, driver);
  }
  return [...places.values()];
}

/** Two formats in one file would make it unreadable, so the file alone counts. */
function placeOf(driver: LogDriver): string {
  switch (driver.driver) {
    case "k8s-file":
    case "json-file":
      return `file ${normalize(driver.path)}`;
    case "plugin":
      return `plugin ${normalize(driver.path)}:${driver.options}`;
    default:
      return `driver ${driver.driver}`;
  }
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
    if (isFile(driver)) checkAllowed(driver.path, context);
  }
  const describes = names.has("journald") || names.has("plugin");
  const file = drivers.find(isFile)?.driver;
  if (file !== undefined && !describes) {
    if (context.tag !== undefined) throw new ConmonError(`${file} doesn't support --log-tag`);
    if (context.labels.length > 0) throw new ConmonError(`${file} doesn't support --log-label`);
  }
  if (names.has("journald") && Buffer.byteLength(context.cid) <= 12) {
    throw new ConmonError("Container ID must be longer than 12 characters");
  }
  if (describes) context.labels.forEach(checkLabel);
  return warnings(names, context);
}

/** Whether a driver's `path` is that of a log. */
export function isFile(
  driver: LogDriver,
): driver is Extract<LogDriver, { driver: "k8s-file" | "json-file" }> {
  return driver.driver === "k8s-file" || driver.driver === "json-file";
}

function warnings(names: ReadonlySet<string>, context: LogDriverContext): string[] {
  const found: string[] = [];
  if (context.noContainerPartialMessage && !names.has("journald")) {
    found.push("--no-container-partial-message has no effect without journald log driver");
  }
  const others = ["k8s-file", "json-file", "journald", "plugin"];
  if (names.has("passthrough") && others.some((name) => names.has(name))) {
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

/**
 * Checks whether a log file may be at a path, with the links in it followed.
 *
 * @throws ConmonError that names it
 */
export function checkAllowed(
  path: string,
  { allowlistDirs, realPath }: Pick<LogDriverContext, "allowlistDirs" | "realPath">,
): void {
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
