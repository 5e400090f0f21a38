/** What containers write, what happens to them, what they use. */
import * as core from "../containers/mod.ts";
import * as reading from "../logging/read/mod.ts";
import type { WallClock } from "../sys/mod.ts";
import { attemptEach } from "./errors.ts";
import { find, type SignalOption, type StateOption } from "./options.ts";

/** Which lines of a log, and how they are read. */
export interface LogOptions extends Omit<reading.ReadOptions, "since" | "until">, StateOption {
  /** Only lines that began at this time or later. */
  readonly since?: Date | Readonly<WallClock>;
  /** Only lines that began at this time or earlier. */
  readonly until?: Date | Readonly<WallClock>;
}

/** Which events. */
export interface EventOptions extends Omit<core.EventOptions, "id">, StateOption {
  /** Only this one's. */
  readonly container?: string;
}

/** Whose figures, and how often. */
export interface StatsOptions extends StateOption, SignalOption {
  /** Default: all that run. */
  readonly container?: string;
  /** In milliseconds. Default: 1000 */
  readonly interval?: number;
}

/**
 * The lines that a container has written, rotated files included.
 *
 * @throws ContainerError if they are in no file; `damaged`, unless there is an `onFault`
 */
export async function* readLogs(
  container: string,
  options: LogOptions = {},
): AsyncGenerator<reading.LogLine, void, undefined> {
  yield* attemptEach(() => {
    const path = core.logFileOf(find(container, options).found);
    return reading.readLogs(path, withWallClocks(options));
  });
}

/** The same, and then what it writes, until it has ended or the signal is aborted. */
export async function* followLogs(
  container: string,
  options: LogOptions = {},
): AsyncGenerator<reading.LogLine, void, undefined> {
  yield* attemptEach(() => follow(container, options));
}

async function* follow(
  container: string,
  options: LogOptions,
): AsyncGenerator<reading.LogLine, void, undefined> {
  const { state, found } = find(container, options);
  const path = core.logFileOf(found);
  // Nobody waits for its end any more once the loop is left.
  const left = new AbortController();
  const signal = AbortSignal.any([left.signal, ...(options.signal ? [options.signal] : [])]);
  const ended = core.waitForEnd(state, found, signal);
  try {
    yield* reading.followLogs(path, { ...withWallClocks(options), ended });
  } finally {
    left.abort();
  }
}

/**
 * What has happened, and with `follow` what happens, until the signal is aborted. Events of the containers of
 * Podman and CRI-O are not known.
 *
 * @throws ContainerError
 */
export async function* events(
  options: EventOptions = {},
): AsyncGenerator<core.ContainerEvent, void, undefined> {
  yield* attemptEach(() => {
    const state = new core.State(options.state);
    const { container } = options;
    const one = container === undefined ? {} : { id: core.findContainer(state, container).id };
    return core.readEvents(state, { ...options, ...one });
  });
}

/**
 * Figures of one container, or of all that run, for each interval, until the signal is aborted.
 *
 * @throws ContainerError, also when the container has been removed
 */
export async function* stats(
  options: StatsOptions = {},
): AsyncGenerator<core.ContainerStats[], void, undefined> {
  yield* attemptEach(() => {
    const state = new core.State(options.state);
    const { container, interval = 1000 } = options;
    const select = (): core.Container[] =>
      container === undefined
        ? // Of records that cannot be read list tells.
          core.listContainers(state, () => {}).filter((each) => each.state === "running")
        : [core.findContainer(state, container)];
    return core.watchStats(select, interval, options.signal);
  });
}

function withWallClocks({ since, until, ...rest }: LogOptions): reading.ReadOptions {
  return {
    ...rest,
    ...(since === undefined ? {} : { since: wallClockOf(since) }),
    ...(until === undefined ? {} : { until: wallClockOf(until) }),
  };
}

function wallClockOf(time: Date | Readonly<WallClock>): Readonly<WallClock> {
  if (!(time instanceof Date)) return time;
  const milliseconds = time.getTime();
  const seconds = Math.floor(milliseconds / 1000);
  return { seconds, nanoseconds: (milliseconds - seconds * 1000) * 1_000_000 };
}
