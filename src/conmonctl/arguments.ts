/** What people write after options, as values. All throw commander's error, whose message names the option. */
import { InvalidArgumentError } from "commander";
import type { MountOption, RestartPolicy } from "../containers/mod.ts";
import { parseSize as sizeInBytes } from "../containers/size.ts";
import { parseTimeArgument } from "../logging/read/mod.ts";
import { readWallClock, type WallClock } from "../sys/mod.ts";

/** For options that can be given several times. */
export function collect(value: string, before: readonly string[] = []): string[] {
  return [...before, value];
}

/** A size such as `512m`, in bytes, above 0. */
export function parseSize(text: string): number {
  const bytes = sizeInBytes(text) ?? 0;
  if (bytes > 0) return bytes;
  throw new InvalidArgumentError("A size is expected, such as 65536, 512m or 2g.");
}

/** A number above zero, such as 1.5. */
export function parsePositive(text: string): number {
  const value = /^\d+(\.\d+)?$/.test(text) ? Number(text) : 0;
  if (value > 0) return value;
  throw new InvalidArgumentError("A number above 0 is expected.");
}

/** A whole number from 0 on. */
export function parseCount(text: string): number {
  if (/^\d{1,15}$/.test(text)) return Number(text);
  throw new InvalidArgumentError("A whole number from 0 on is expected.");
}

/** Seconds, whole and above 0. */
export function parseSeconds(text: string): number {
  const seconds = parseCount(text);
  if (seconds > 0 && seconds < 2 ** 31) return seconds;
  throw new InvalidArgumentError("A whole number of seconds from 1 on is expected.");
}

export function parseRestart(text: string): RestartPolicy {
  const [when, most, ...more] = text.split(":");
  if (more.length === 0 && most === undefined && (when === "no" || when === "always"))
    return { when };
  if (when === "on-failure" && more.length === 0) {
    return { when, most: most === undefined ? null : parseCount(most) };
  }
  throw new InvalidArgumentError("There are no, on-failure, on-failure:TIMES and always.");
}

/**
 * `type=bind,source=/a,target=/b,ro`, or short `/a:/b:ro`. `type=tmpfs,target=/b,size=1m`.
 *
 * @param before the ones that were given before
 */
export function collectMount(text: string, before: readonly MountOption[] = []): MountOption[] {
  return [...before, text.includes("=") ? parseLongMount(text) : parseShortMount(text)];
}

function parseShortMount(text: string): MountOption {
  const [source, destination, mode, ...more] = text.split(":");
  const known = mode === undefined || mode === "ro" || mode === "rw";
  if (!source?.startsWith("/") || !destination?.startsWith("/") || !known || more.length > 0) {
    throw new InvalidArgumentError("SOURCE:TARGET[:ro] is expected, with absolute paths.");
  }
  return { type: "bind", source, destination, readOnly: mode === "ro" };
}

function parseLongMount(text: string): MountOption {
  const words = new Map(
    text.split(",").map((word): [string, string] => {
      const equals = word.indexOf("=");
      return equals < 0 ? [word, "true"] : [word.slice(0, equals), word.slice(equals + 1)];
    }),
  );
  const take = (...names: string[]): string | undefined => {
    const name = names.find((candidate) => words.has(candidate));
    const value = name === undefined ? undefined : words.get(name);
    for (const each of names) words.delete(each);
    return value;
  };
  const type = take("type") ?? "bind";
  const source = take("source", "src");
  const destination = take("target", "destination", "dst");
  const readOnly = take("ro", "readonly") === "true";
  const size = take("size");
  const [unknown] = words.keys();
  if (unknown !== undefined) throw new InvalidArgumentError(`A mount has no ${unknown}.`);
  if (!destination?.startsWith("/")) throw new InvalidArgumentError("target=/PATH is missing.");
  if (type === "tmpfs") {
    const limit = size === undefined ? {} : { size: parseSize(size) };
    return { type, destination, readOnly, ...limit };
  }
  if (type !== "bind") throw new InvalidArgumentError("The types are bind and tmpfs.");
  if (source === undefined) throw new InvalidArgumentError("source=PATH is missing.");
  return { type, source, destination, readOnly };
}

/** A time, or how long ago it was: `2006-01-02T15:04:05Z`, `10m`. */
export function parseTime(text: string): WallClock {
  const now = { seconds: 0, nanoseconds: 0 };
  readWallClock(now);
  try {
    return parseTimeArgument(text, now);
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? error.message : String(error));
  }
}

/** The same as a Date, which knows milliseconds only. */
export function parseDate(text: string): Date {
  const { seconds, nanoseconds } = parseTime(text);
  return new Date(seconds * 1000 + Math.floor(nanoseconds / 1_000_000));
}
