import { monitors } from "./programs.ts";
import type { Trial } from "./trial.ts";

/**
 * A copy in which all that is a run's own has the same name in every run: container and pod IDs,
 * the prefix of container names, the test's directories, points in time, the monitor's path.
 */
export function hideNames<T>(observation: T, trial: Trial): T {
  return mapTexts(observation, (text) => hide(text, trial)) as T;
}

function hide(text: string, { prefix, directory, scratch }: Trial): string {
  const names: [string | RegExp, string][] = [
    [directory, "(trial)"],
    [prefix, ""],
    [scratch.directory, "(scratch)"],
    [monitors.ours, "(conmon)"],
    [monitors.debian, "(conmon)"],
    [/\b[0-9a-f]{64}\b/g, "(id)"],
    [/\b[0-9a-f]{12}\b/g, "(short id)"],
    [/\b\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)/g, "(time)"],
  ];
  return names.reduce((result, [name, common]) => result.replaceAll(name, common), text);
}

function mapTexts(value: unknown, change: (text: string) => string): unknown {
  if (typeof value === "string") return change(value);
  if (Array.isArray(value)) return value.map((item) => mapTexts(item, change));
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).map(([key, item]) => [change(key), mapTexts(item, change)]);
  return Object.fromEntries(entries);
}
