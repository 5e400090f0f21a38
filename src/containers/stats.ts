/** Figures of containers that run, again and again. */
import { readFileSync } from "node:fs";
import { decodeCounters, type SessionCounters } from "../session/journal-counters.ts";
import type { Container } from "./container.ts";
import { pause } from "./times.ts";
import { readUsage, type Usage } from "./usage.ts";

/** The figures of one container over an interval. */
export interface ContainerStats {
  /** RFC 3339, UTC. */
  readonly time: string;
  readonly id: string;
  readonly name: string;
  /** Percent of one processor; `null` if it does not run. */
  readonly cpuPercent: number | null;
  readonly usage: Usage | null;
  /** What its monitor has counted since the start; `null` if there is nothing to be read. */
  readonly output: SessionCounters | null;
  /** Output in bytes for each second of the interval. */
  readonly bytesPerSecond: number | null;
  /** Records logged in each second of the interval. */
  readonly recordsPerSecond: number | null;
}

interface Sample {
  readonly container: Container;
  /** In milliseconds. */
  readonly at: number;
  readonly usage: Usage | undefined;
  readonly output: SessionCounters | undefined;
}

/**
 * The figures of the containers that `select` returns, for each interval. Ends when the signal is aborted.
 *
 * @param select asked before each interval
 * @param interval in milliseconds
 */
export async function* watchStats(
  select: () => readonly Container[],
  interval: number,
  signal?: AbortSignal,
): AsyncGenerator<ContainerStats[], void, undefined> {
  let before = takeSamples(select());
  while (signal?.aborted !== true) {
    await pause(interval, signal);
    if (signal?.aborted) return;
    const now = takeSamples(select());
    yield [...now.values()].map((sample) => compare(before.get(sample.container.id), sample));
    before = now;
  }
}

function takeSamples(containers: readonly Container[]): Map<string, Sample> {
  return new Map(
    containers.map((container) => [
      container.id,
      {
        container,
        at: performance.now(),
        usage: readUsage(container),
        output: readCounters(container),
      },
    ]),
  );
}

function readCounters({ journal }: Container): SessionCounters | undefined {
  if (journal === null) return undefined;
  try {
    return decodeCounters(readFileSync(journal));
  } catch {
    return undefined; // It has just ended, or it is somebody else's.
  }
}

/** A container that is new has no rates yet: from nothing to now is no interval. */
function compare(before: Sample | undefined, now: Sample): ContainerStats {
  const { container, usage, output } = now;
  const seconds = before === undefined ? 0 : (now.at - before.at) / 1000;
  const rate = (from: number | undefined, to: number | undefined): number | null =>
    from === undefined || to === undefined || seconds <= 0
      ? null
      : Math.max(0, to - from) / seconds;
  const cpu = rate(before?.usage?.cpu, usage?.cpu);
  return {
    time: new Date().toISOString(),
    id: container.id,
    name: container.name,
    cpuPercent: cpu === null ? null : cpu / 1e7,
    usage: usage ?? null,
    output: output ?? null,
    bytesPerSecond: rate(before?.output?.bytes, output?.bytes),
    recordsPerSecond: rate(before?.output?.records, output?.records),
  };
}
