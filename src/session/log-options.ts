/**
 * Settings of the logs that conmon has no options for: `--log-opt NAME=VALUE`, and `$CONMON_LOG_OPTS` for
 * callers that hand on no options of ours.
 */
import { DEFAULT_RECORD_SIZE, MAX_RECORD_SIZE } from "../logging/cri-framing.ts";
import { ConmonError } from "./errors.ts";

/** The environment variable: `NAME=VALUE` several times, with commas or white space between. */
export const LOG_OPTIONS_VARIABLE = "CONMON_LOG_OPTS";

/** What to do with output that would pass a limit of the rate. */
export type OnLimit = "block" | "drop";

/** How fast a container may log; `undefined`: no limit. */
export interface RateSettings {
  readonly bytesPerSecond: number | undefined;
  readonly linesPerSecond: number | undefined;
  readonly onLimit: OnLimit;
}

/** What the `--log-opt`s say, with the defaults of those that were not given. */
export interface LogOptions {
  /** Bytes of output in the longest record. Default 16384. */
  readonly recordSize: number;
  /** Seconds after which a file is full, counted from its first record; `undefined`: no limit. */
  readonly maxAge: number | undefined;
  /** How many backups are kept; `undefined`: what `--log-rotate` and `--log-max-files` say. */
  readonly maxFiles: number | undefined;
  /** Compress backups. */
  readonly compress: "none" | "gzip";
  /** Bytes of the log file and all backups together; `undefined`: no limit. */
  readonly maxTotalSize: number | undefined;
  /** What to do with output while the log cannot be written. */
  readonly onError: "drop" | "block";
  readonly rate: RateSettings;
}

interface Name<T> {
  /** What is allowed, to complete "must be ...". */
  readonly allowed: string;
  /** Undefined for what is not allowed. */
  readonly parse: (text: string) => T | undefined;
}

const SECONDS = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 } as const;
const BYTES = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30 } as const;
const MAX_FILES = 10_000;

const NAMES = {
  "record-size": number("a number of bytes", 1, MAX_RECORD_SIZE),
  "max-age": {
    allowed: "a time of at least 1s, as in 90s, 30m, 24h, 7d, 2w or 1d12h",
    parse: parseDuration,
  },
  "max-files": number("a number", 1, MAX_FILES),
  compress: oneOf("none", "gzip"),
  "max-total-size": size(),
  "on-error": oneOf("drop", "block"),
  "max-bytes-per-second": size(),
  "max-lines-per-second": number("a number", 1, 1_000_000_000),
  "on-limit": oneOf("block", "drop"),
} as const satisfies Record<string, Name<unknown>>;

type Values = {
  -readonly [N in keyof typeof NAMES]?: Exclude<ReturnType<(typeof NAMES)[N]["parse"]>, undefined>;
};

/** All names, for those who explain them. */
export const LOG_OPTION_NAMES: readonly string[] = Object.keys(NAMES);

/**
 * Reads what callers say. Of several values for a name the last counts, and `--log-opt` before the
 * environment.
 *
 * @param given The values of `--log-opt`, in order.
 * @param variable The value of {@link LOG_OPTIONS_VARIABLE}, if it is set.
 * @throws ConmonError that names the option, its value and what is allowed
 */
export function parseLogOptions(
  given: readonly string[],
  variable: string | undefined,
): LogOptions {
  const values: Values = {};
  const words = (variable ?? "").split(/[\s,]+/).filter((word) => word !== "");
  for (const word of words) read(word, `${LOG_OPTIONS_VARIABLE}: `, values);
  for (const word of given) read(word, "--log-opt ", values);
  return {
    recordSize: values["record-size"] ?? DEFAULT_RECORD_SIZE,
    maxAge: values["max-age"],
    maxFiles: values["max-files"],
    compress: values.compress ?? "none",
    maxTotalSize: values["max-total-size"],
    onError: values["on-error"] ?? "drop",
    rate: {
      bytesPerSecond: values["max-bytes-per-second"],
      linesPerSecond: values["max-lines-per-second"],
      onLimit: values["on-limit"] ?? "block",
    },
  };
}

function read(word: string, source: string, into: Values): void {
  const equals = word.indexOf("=");
  const name = equals < 0 ? word : word.slice(0, equals);
  if (!isName(name)) {
    throw new ConmonError(
      `${source}${word}: there is no ${name || "empty name"}; known are ${LOG_OPTION_NAMES.join(", ")}`,
    );
  }
  if (equals < 0) throw new ConmonError(`${source}${word}: must be ${name}=VALUE`);
  const value = NAMES[name].parse(word.slice(equals + 1));
  if (value === undefined) {
    throw new ConmonError(`${source}${word}: ${name} must be ${NAMES[name].allowed}`);
  }
  // The value is that name's: its own parser made it.
  Object.assign(into, { [name]: value });
}

function isName(name: string): name is keyof typeof NAMES {
  return Object.hasOwn(NAMES, name);
}

function oneOf<const T extends readonly string[]>(...words: T): Name<T[number]> {
  return { allowed: words.join(" or "), parse: (text) => words.find((word) => word === text) };
}

function number(what: string, least: number, most: number): Name<number> {
  const parse = (text: string): number | undefined => {
    const value = /^\d{1,15}$/.test(text) ? Number(text) : 0;
    return value >= least && value <= most ? value : undefined;
  };
  return { allowed: `${what} from ${least} to ${most}`, parse };
}

function size(): Name<number> {
  const parse = (text: string): number | undefined => {
    const [, digits, unit = ""] = /^(\d{1,15})([kmg]?)$/i.exec(text) ?? [];
    if (digits === undefined) return undefined;
    const bytes = Number(digits) * BYTES[unit.toLowerCase() as keyof typeof BYTES];
    return bytes >= 1 && bytes <= Number.MAX_SAFE_INTEGER ? bytes : undefined;
  };
  return { allowed: "a number of bytes from 1 on, as in 65536, 64k, 10m or 1g", parse };
}

function parseDuration(text: string): number | undefined {
  if (!/^(\d{1,9}[smhdw])+$/i.test(text)) return undefined;
  let seconds = 0;
  for (const [, digits, unit = "s"] of text.matchAll(/(\d+)([smhdw])/gi)) {
    seconds += Number(digits) * SECONDS[unit.toLowerCase() as keyof typeof SECONDS];
  }
  return seconds >= 1 && Number.isSafeInteger(seconds) ? seconds : undefined;
}
