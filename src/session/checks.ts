/** The checks between the command line and a session, and the defaults of what was not given. */
import type { LogDriver } from "../logging/log-drivers.ts";
import {
  checkLogDrivers,
  distinctLogDrivers,
  isFile,
  parseLogDriver,
} from "../logging/log-drivers.ts";
import { ConmonError, type ErrorPrefix } from "./errors.ts";
import { LOG_OPTIONS_VARIABLE, type LogOptions, parseLogOptions } from "./log-options.ts";
import type { KeyOfKind } from "./option-table.ts";
import { OPTION_TABLE } from "./option-table.ts";
import type { Options } from "./options.ts";
import type { Level } from "./own-messages.ts";

/** What the checks have to know of the world: the caller's, not our own. */
export interface SessionEnvironment {
  /** Absolute; empty when it has been removed. */
  readonly workingDirectory: string;
  /** The environment variables. */
  readonly variables: ReadonlyMap<string, string>;
  /** As access(2) with X_OK says of an absolute path; a directory can pass. */
  isExecutable(path: string): boolean;
  /** An absolute path with all symbolic links followed, or `undefined` if there is no such file. */
  realPath(path: string): string | undefined;
  /** The container is there already: it is too late to refuse it for what is, or is not, on disk. Default: false. */
  readonly running?: boolean;
}

/** What the runtime is asked to do. All paths are absolute. */
export type Launch =
  | { readonly kind: "create"; readonly bundle: string }
  | { readonly kind: "restore"; readonly bundle: string; readonly checkpoint: string }
  | {
      readonly kind: "exec";
      /** `undefined`: there is no place for an attach socket and fifos. */
      readonly bundle: string | undefined;
      readonly processSpec: string;
      /** Wait for the caller's word on the start pipe once the attach socket is there. */
      readonly attach: boolean;
    };

/** How the container's output is logged; `maxFiles` is decided. */
export interface LogSettings extends Omit<LogOptions, "maxFiles"> {
  /** At least one, no two for the same place; paths are absolute. */
  readonly drivers: readonly LogDriver[];
  /** Bytes in one log file; `undefined`: no limit. */
  readonly maxSize: number | undefined;
  /** Bytes over the whole run; `undefined`: no limit. */
  readonly globalMaxSize: number | undefined;
  /** Keep full files, instead of dropping them. */
  readonly rotate: boolean;
  /** How many full files are kept. */
  readonly maxFiles: number;
  readonly tag: string | undefined;
  /** `LABEL=VALUE`, checked when journald or a plug-in is among the drivers. */
  readonly labels: readonly string[];
  /** Mark pieces of lines in the journal. */
  readonly markPartials: boolean;
  /** fsync at the end. */
  readonly sync: boolean;
  /** Log files may be below these alone; anywhere if there is none. Absolute. */
  readonly allowlistDirs: readonly string[];
}

/** The options that a session uses as they were given; the table describes them. */
const TAKEN_OVER = [
  "name",
  "runtimeArgs",
  "runtimeOpts",
  "systemdCgroup",
  "noPivot",
  "noNewKeyring",
  "terminal",
  "stdin",
  "leaveStdinOpen",
  "syslog",
  "fullAttach",
  "sync",
] as const;

type TakenOver = (typeof TAKEN_OVER)[number];

/** A session's options with every default filled in. All paths are absolute. */
export interface CheckedOptions extends Pick<Options, TakenOver> {
  readonly cid: string;
  /** The container's ID where none was given, which only an exec with API version 0 may do. */
  readonly cuuid: string;
  readonly apiVersion: number;
  readonly launch: Launch;
  readonly runtime: string;
  /** LISTEN_PID is there and is to become the runtime's pid, whatever it was. */
  readonly replaceListenPid: boolean;
  readonly containerPidfile: string;
  readonly conmonPidfile: string | undefined;
  readonly persistDir: string | undefined;
  readonly exitDir: string | undefined;
  /** An argument vector, the program's path first. */
  readonly exitCommand: readonly string[] | undefined;
  readonly exitDelaySeconds: number;
  readonly logs: LogSettings;
  readonly logLevel: Level;
  readonly socketDir: string;
  /** A path, or an abstract name that begins with `@`. */
  readonly sdnotifySocket: string | undefined;
  /** `undefined`: no limit. */
  readonly timeoutSeconds: number | undefined;
  /** Things to tell the caller that are no errors, as `[conmon:w]: TEXT`. */
  readonly warnings: readonly string[];
}

/**
 * Checks the options in the order that conmon does, so that of several faults callers read the same
 * one, and fills in the defaults. `--help` and `--version` are the caller's to handle before.
 *
 * @throws ConmonError with the first fault
 */
export function checkOptions(options: Options, environment: SessionEnvironment): CheckedOptions {
  const maxFiles = checkMaxFiles(options);
  const cid = given(options.cid, "Container ID not provided. Use --cid", "conmon: ");
  const logLevel = checkLogLevel(options.logLevel);
  const apiVersion = options.apiVersion ?? 0;
  checkMode(options, apiVersion);
  const cuuid = checkCuuid(options, cid, apiVersion);
  const runtime = checkRuntime(options.runtime, environment);
  checkProcessSpec(options);
  if (environment.workingDirectory === "" && !environment.running) {
    throw new ConmonError("Failed to get working directory");
  }
  const exitDelaySeconds = checkExitDelay(options.exitDelay ?? 0);
  const { logs, warnings } = checkLogs(options, cid, maxFiles, environment);
  checkNothingEmpty(options);
  checkVariables(options, environment.variables);

  return {
    ...takenOver(options),
    ...pathsOf(options, cid, environment.workingDirectory),
    cid,
    cuuid,
    apiVersion,
    runtime,
    exitDelaySeconds,
    logs,
    logLevel,
    warnings,
    replaceListenPid: options.replaceListenPid && environment.variables.has("LISTEN_PID"),
    timeoutSeconds: positive(options.timeout),
  };
}

function checkMaxFiles({ logMaxFiles = 1, logRotate }: Options): number {
  const prefix = "conmon: ";
  if (logMaxFiles < 0) {
    throw new ConmonError(`log-max-files must be non-negative, got ${logMaxFiles}`, { prefix });
  }
  if (logRotate && logMaxFiles === 0) {
    const reason = "log-max-files must be at least 1 when log-rotate is enabled, got 0";
    throw new ConmonError(reason, { prefix });
  }
  return logMaxFiles;
}

function checkLogLevel(name = "warn"): Level {
  switch (name.toLowerCase()) {
    case "error":
    case "fatal":
    case "panic":
      return "error";
    case "warn":
    case "warning":
      return "warn";
    case "info":
      return "info";
    case "debug":
      return "debug";
    case "trace":
      return "trace";
  }
  throw new ConmonError(`No such log level ${name}`);
}

function checkMode({ exec, restore, execAttach }: Options, apiVersion: number): void {
  if (exec && restore !== undefined) {
    throw new ConmonError("Cannot use 'exec' and 'restore' at the same time");
  }
  if (execAttach && !exec) throw new ConmonError("Attach can only be specified with exec");
  if (execAttach && apiVersion < 1) {
    throw new ConmonError("Attach can only be specified for a non-legacy exec session");
  }
}

/** Exec before API version 1 knew no UUIDs. */
function checkCuuid({ cuuid, exec }: Options, cid: string, apiVersion: number): string {
  if (exec && apiVersion < 1) return cuuid || cid;
  return given(cuuid, "Container UUID not provided. Use --cuuid");
}

function checkRuntime(path: string | undefined, environment: SessionEnvironment): string {
  if (path === undefined) throw new ConmonError("Runtime path not provided. Use --runtime");
  const runtime = absolute(path, environment.workingDirectory);
  if (path === "" || !environment.isExecutable(runtime)) {
    throw new ConmonError(`Runtime path ${path} is not valid`);
  }
  return runtime;
}

function checkProcessSpec({ exec, execProcessSpec }: Options): void {
  if (exec) {
    given(execProcessSpec, "Exec process spec path not provided. Use --exec-process-spec");
  }
}

function checkExitDelay(seconds: number): number {
  if (seconds >= 0) return seconds;
  throw new ConmonError("Delay before invoking exit command must be greater than or equal to 0");
}

const NOTHING_TO_COMPRESS =
  "log option compress has no effect without --log-rotate or log option max-files";

function checkLogs(
  options: Options,
  cid: string,
  maxFiles: number,
  environment: SessionEnvironment,
): { logs: LogSettings; warnings: string[] } {
  if (options.logPaths.length === 0) {
    throw new ConmonError("Log driver not provided. Use --log-path");
  }
  const here = environment.workingDirectory;
  const drivers = distinctLogDrivers(
    options.logPaths.map(parseLogDriver).map((driver) => absoluteDriver(driver, here)),
  );
  const own = parseLogOptions(options.logOptions, environment.variables.get(LOG_OPTIONS_VARIABLE));
  const { logTag: tag, logLabels: labels, noContainerPartialMessage } = options;
  const allowlistDirs = options.logAllowlistDirs.map((dir) => absolute(dir, here));
  const warnings = checkLogDrivers(drivers, {
    cid,
    tag,
    labels,
    allowlistDirs: environment.running ? [] : allowlistDirs,
    noContainerPartialMessage,
    realPath: (path) => environment.realPath(path),
  });
  const rotate = options.logRotate || own.maxFiles !== undefined;
  if (own.compress !== "none" && !rotate) warnings.push(NOTHING_TO_COMPRESS);
  const logs = {
    ...own,
    drivers,
    maxFiles: own.maxFiles ?? maxFiles,
    tag,
    labels,
    maxSize: positive(options.logSizeMax),
    globalMaxSize: positive(options.logGlobalSizeMax),
    rotate,
    markPartials: !noContainerPartialMessage,
    sync: !options.noSyncLog,
    allowlistDirs,
  };
  return { logs, warnings };
}

function absoluteDriver(driver: LogDriver, workingDirectory: string): LogDriver {
  if (!isFile(driver)) return driver;
  return { ...driver, path: absolute(driver.path, workingDirectory) };
}

/** The options whose value is the path of something: an empty one would mean the working directory. */
const PATH_OPTIONS: readonly KeyOfKind<"string" | "list">[] = [
  "bundle",
  "containerPidfile",
  "conmonPidfile",
  "persistDir",
  "exitDir",
  "exitCommand",
  "restore",
  "socketDir",
  "sdnotifySocket",
  "logAllowlistDirs",
];

function checkNothingEmpty(options: Options): void {
  for (const key of PATH_OPTIONS) {
    const value = options[key];
    if (value !== "" && !(Array.isArray(value) && value.includes(""))) continue;
    const name = OPTION_TABLE.find((entry) => entry.key === key)?.long;
    throw new ConmonError(`--${name} must not be empty`);
  }
}

function checkVariables({ execAttach }: Options, variables: ReadonlyMap<string, string>): void {
  if (execAttach && !variables.has("_OCI_ATTACHPIPE")) {
    throw new ConmonError("--attach specified but _OCI_ATTACHPIPE was not");
  }
  const listenPid = variables.get("LISTEN_PID");
  // What stands behind the number does not matter, as it does not for conmon.
  if (listenPid !== undefined && !/^\s*\+?0*[1-9]\d{0,9}(?!\d)/.test(listenPid)) {
    throw new ConmonError(`Invalid LISTEN_PID ${listenPid.slice(0, 10)}`);
  }
}

function takenOver(options: Options): Pick<Options, TakenOver> {
  const entries = TAKEN_OVER.map((key) => [key, options[key]]);
  // Object.fromEntries forgets the names; they are those of the list.
  return Object.fromEntries(entries) as Pick<Options, TakenOver>;
}

type Paths = Pick<
  CheckedOptions,
  | "launch"
  | "containerPidfile"
  | "conmonPidfile"
  | "persistDir"
  | "exitDir"
  | "exitCommand"
  | "socketDir"
  | "sdnotifySocket"
>;

function pathsOf(options: Options, cid: string, workingDirectory: string): Paths {
  const at = (path: string): string => absolute(path, workingDirectory);
  const maybeAt = (path: string | undefined): string | undefined =>
    path === undefined ? undefined : at(path);
  const { exitCommand, exitCommandArgs, sdnotifySocket } = options;
  return {
    launch: launchOf(options, workingDirectory),
    containerPidfile: at(options.containerPidfile ?? `pidfile-${cid}`),
    conmonPidfile: maybeAt(options.conmonPidfile),
    persistDir: maybeAt(options.persistDir),
    exitDir: maybeAt(options.exitDir),
    exitCommand: exitCommand === undefined ? undefined : [at(exitCommand), ...exitCommandArgs],
    socketDir: at(options.socketDir ?? "/var/run/crio"),
    sdnotifySocket: sdnotifySocket?.startsWith("@") ? sdnotifySocket : maybeAt(sdnotifySocket),
  };
}

function launchOf(options: Options, workingDirectory: string): Launch {
  const { bundle: given, exec, execProcessSpec, execAttach: attach, restore } = options;
  const bundle = given === undefined ? undefined : absolute(given, workingDirectory);
  if (exec && execProcessSpec !== undefined) {
    const processSpec = absolute(execProcessSpec, workingDirectory);
    return { kind: "exec", bundle, processSpec, attach };
  }
  if (restore !== undefined) {
    const checkpoint = absolute(restore, workingDirectory);
    return { kind: "restore", bundle: bundle ?? workingDirectory, checkpoint };
  }
  return { kind: "create", bundle: bundle ?? workingDirectory };
}

/** What the caller's option says, or the error if it says nothing. */
function given(value: string | undefined, reason: string, prefix?: ErrorPrefix): string {
  if (value !== undefined && value !== "") return value;
  throw new ConmonError(reason, prefix === undefined ? {} : { prefix });
}

/** As the caller meant it. Nothing is normalised: behind a symbolic link `..` is another place. */
function absolute(path: string, workingDirectory: string): string {
  if (path.startsWith("/")) return path;
  return workingDirectory.endsWith("/") ? workingDirectory + path : `${workingDirectory}/${path}`;
}

/** A limit; 0 and less stand for none. */
function positive(value: number | bigint | undefined): number | undefined {
  if (value === undefined || value <= 0) return undefined;
  return Math.min(Number(value), Number.MAX_SAFE_INTEGER);
}
