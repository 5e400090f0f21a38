/** What `--log-driver` and `--log-opt` mean to conmon. */
import { isFile, parseLogDriver } from "../logging/log-drivers.ts";
import { LOG_OPTION_NAMES } from "../session/log-options.ts";
import { ContainerError } from "./errors.ts";
import { parseSize } from "./size.ts";

export interface LogSettings {
  /** Values of conmon's `--log-path`. */
  readonly logs: readonly string[];
  /** Further options of conmon. */
  readonly arguments: readonly string[];
}

const OWN_NAMES = ["path", "max-size", "rotate", "tag", "label"];

/**
 * How large a log may get in the state directory, which is in memory, before it is rotated, in bytes. One old
 * file is kept, so that a container's log takes twice that.
 */
const DEFAULT_SIZE_MAX = 16 * 2 ** 20;

/**
 * @param drivers as conmon's `--log-path`; a file's path may be missing
 * @param options `NAME=VALUE`
 * @param file where the log is if no path is given
 * @returns with a limit of {@link DEFAULT_SIZE_MAX} for a log in `file`, if no `max-size` is given; 0: none
 * @throws ContainerError for what conmon would not take; values of its own `--log-opt`s it checks itself
 */
export function logSettings(
  drivers: readonly string[],
  options: readonly string[],
  file: string,
): LogSettings {
  let path = file;
  const args: string[] = [];
  for (const option of options) {
    const { name, value } = split(option);
    if (name === "path") path = value;
    else args.push(...argumentsOf(name, value, option));
  }
  const logs = (drivers.length === 0 ? ["k8s-file"] : drivers).map((driver) =>
    withPath(driver, path),
  );
  checkPaths(logs);
  const isLimited = args.includes("--log-size-max");
  const isInMemory = logs.some((log) => log.endsWith(`-file:${file}`));
  return { logs, arguments: isInMemory && !isLimited ? [...args, ...defaultLimit(options)] : args };
}

function defaultLimit(options: readonly string[]): string[] {
  const isRotationChosen = options.some((option) => /^rotate(=|$)/.test(option));
  const rotation = isRotationChosen ? [] : ["--log-rotate"];
  return ["--log-size-max", String(DEFAULT_SIZE_MAX), ...rotation];
}

/** Two logs in one file would be none. */
function checkPaths(logs: readonly string[]): void {
  const paths = logs
    .map((log) => /^(?:k8s|json)-file:(.*)$/.exec(log)?.[1])
    .filter((path) => path !== undefined);
  const twice = paths.find((path, index) => paths.indexOf(path) !== index);
  if (twice === undefined) return;
  throw new ContainerError("invalid", `two logs would be in one file, ${twice}`, {
    hint: "give one of them a path: --log-driver json-file:/PATH",
  });
}

function withPath(driver: string, path: string): string {
  if (/^(k8s-file|json-file):?$/.test(driver)) return `${driver.replace(":", "")}:${path}`;
  try {
    const parsed = parseLogDriver(driver);
    if (parsed.driver === "passthrough") {
      throw new Error("with passthrough there is nobody whose output it could be");
    }
    return isFile(parsed) && !driver.includes(":") ? unknownDriver(driver) : driver;
  } catch (cause) {
    const reason = cause instanceof Error ? cause.message : String(cause);
    throw new ContainerError("invalid", `log driver ${JSON.stringify(driver)}: ${reason}`, {
      hint: "there are k8s-file, json-file, journald, plugin:/PATH and none",
      cause,
    });
  }
}

function unknownDriver(driver: string): never {
  throw new Error(`there is no driver ${driver}`);
}

function split(option: string): { name: string; value: string } {
  const equals = option.indexOf("=");
  const name = equals < 0 ? option : option.slice(0, equals);
  const known = [...OWN_NAMES, ...LOG_OPTION_NAMES];
  if (!known.includes(name)) {
    throw new ContainerError("invalid", `log option ${option}: there is no ${name}`, {
      hint: `there are ${known.join(", ")}`,
    });
  }
  if (equals < 0 && name !== "rotate") {
    throw new ContainerError("invalid", `log option ${option}: must be ${name}=VALUE`);
  }
  return { name, value: equals < 0 ? "true" : option.slice(equals + 1) };
}

function argumentsOf(name: string, value: string, option: string): string[] {
  switch (name) {
    case "max-size":
      return ["--log-size-max", String(bytes(value, option))];
    case "rotate":
      return value === "false" ? [] : ["--log-rotate"];
    case "tag":
      return ["--log-tag", value];
    case "label":
      return ["--log-label", value];
    default:
      return ["--log-opt", option];
  }
}

function bytes(text: string, option: string): number {
  const size = parseSize(text);
  if (size !== undefined) return size;
  throw new ContainerError("invalid", `log option ${option}: must be a size such as 10m`);
}
