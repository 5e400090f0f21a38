/** From the log drivers that the caller chose to sinks that write. */

import { realPath } from "../files/real-path.ts";
import { checkAllowed, type LogDriver, logOpenError } from "../logging/log-drivers.ts";
import { asError } from "../logging/log-file.ts";
import type { LogKeeper } from "../logging/log-keeper.ts";
import { LostSink } from "../logging/lost-sink.ts";
import { JournaldSink, JsonFileSink, K8sFileSink, PluginSink } from "../logging/mod.ts";
import type { Sink, SinkFault } from "../logging/sink.ts";
import type { TimeZone } from "../time-zone/time-zone.ts";
import type { CheckedOptions, LogSettings } from "./checks.ts";
import { ConmonError } from "./errors.ts";
import type { OwnMessages } from "./own-messages.ts";

/** What sinks need of a session. */
export interface SinkSurroundings {
  readonly messages: OwnMessages;
  /** A sink that was behind is so no more. */
  onRelief(): void;
  /** Keeps what a successor of ours needs of a log file, by its number. */
  keeperOf(log: number): LogKeeper | undefined;
  /** Whose local time the logs have. Default: the process's. */
  readonly zone?: TimeZone;
  /** The container is there already: a log that cannot be opened is told, and gone on without. */
  readonly goOnWithout: boolean;
}

/**
 * Opens all of them, or none.
 *
 * @throws ConmonError `Failed to open log file PATH: REASON`, or what is wrong with a plug-in
 */
export function openSinks(
  options: Pick<CheckedOptions, "cid" | "name" | "logs">,
  around: SinkSurroundings,
): Sink[] {
  const sinks: Sink[] = [];
  let files = 0;
  try {
    for (const log of options.logs.drivers) {
      // Records of json-file do not tell what they were made of: a successor can only log again.
      const keeper = log.driver === "k8s-file" ? around.keeperOf(files++) : undefined;
      sinks.push(...openSink(log, options, around, keeper));
    }
    return sinks;
  } catch (error) {
    for (const sink of sinks) sink.close();
    throw error;
  }
}

/** One sink, or none where nothing is to be logged. */
function openSink(
  log: LogDriver,
  options: Parameters<typeof openSinks>[0],
  around: SinkSurroundings,
  keeper: LogKeeper | undefined,
): Sink[] {
  const { messages, onRelief, goOnWithout } = around;
  try {
    switch (log.driver) {
      case "k8s-file":
      case "json-file":
        return [openFile(log, options.logs, around, keeper)];
      case "plugin":
        return [openPlugin(log, options, messages)];
      case "journald":
        return [openJournal(options, messages, onRelief)];
      case "passthrough":
      case "none":
        return [];
    }
  } catch (error) {
    if (!goOnWithout) throw error;
    return [goOn(log.driver, asError(error), messages)];
  }
}

/** It would be tried in vain for ever, and the other logs and the report of the end with it. */
function goOn(driver: string, error: Error, messages: OwnMessages): Sink {
  const reason = error instanceof ConmonError ? error.reason : error.message;
  messages.error(`Going on without the ${driver} log: ${reason}`);
  return new LostSink(driver, error, (records, bytes) => {
    messages.error(`${records} records with ${bytes} bytes were lost without the ${driver} log`);
  });
}

function openFile(
  { driver, path }: { readonly driver: "k8s-file" | "json-file"; readonly path: string },
  settings: LogSettings,
  { messages, zone, onRelief }: SinkSurroundings,
  keeper: LogKeeper | undefined,
): Sink {
  if (driver === "json-file" && settings.onError === "block") {
    throw new ConmonError("json-file doesn't support --log-opt on-error=block");
  }
  // What is open already was allowed once, and is where it was.
  if (keeper?.inherited === undefined) {
    checkAllowed(path, { allowlistDirs: settings.allowlistDirs, realPath });
  }
  const { maxSize = 0, globalMaxSize = 0, onError: onWriteError } = settings;
  const { rotate, maxFiles, maxAge, compress, maxTotalSize, recordSize } = settings;
  const onError = (fault: SinkFault): void => messages.error(`${path}: ${describeFault(fault)}`);
  try {
    const File = driver === "k8s-file" ? K8sFileSink : JsonFileSink;
    return new File({
      ...{ path, keeper, zone, recordSize, globalMaxSize, onWriteError, onError, onRelief },
      ...{ maxSize, maxAge, rotate, maxFiles, compress, maxTotalSize },
    });
  } catch (error) {
    const cause = (error as Error).cause ?? error;
    throw logOpenError(path, cause as NodeJS.ErrnoException);
  }
}

/** That there is no journald is no reason not to start: it may come. conmon does the same. */
function openJournal(
  { cid: containerId, name: containerName, logs }: Parameters<typeof openSinks>[0],
  messages: OwnMessages,
  onRelief: () => void,
): Sink {
  const { tag, labels, markPartials, recordSize: pieceSize } = logs;
  const onError = (fault: SinkFault): void => messages.error(`journald: ${describeFault(fault)}`);
  return new JournaldSink({
    ...{ containerId, containerName, tag, labels, markPartials, pieceSize },
    ...{ onError, onRelief },
  });
}

/** The module is checked now; {@link sinksOpened} tells whether it works. */
function openPlugin(
  { path, options }: { readonly path: string; readonly options: string },
  { cid: id, name, logs }: Parameters<typeof openSinks>[0],
  messages: OwnMessages,
): Sink {
  const labels = Object.fromEntries(
    logs.labels.map((label) => {
      const equals = label.indexOf("=");
      return [label.slice(0, equals), label.slice(equals + 1)];
    }),
  );
  const onError = (fault: SinkFault): void =>
    messages.error(`log plug-in ${path}: ${describeFault(fault)}`);
  try {
    return new PluginSink({
      path,
      options,
      container: { id, name, tag: logs.tag, labels },
      onError,
    });
  } catch (error) {
    throw new ConmonError(asError(error).message, { cause: error });
  }
}

/**
 * Waits for the logs that take a while to open. To be called right after {@link openSinks}.
 *
 * @returns undefined if there are none
 * @throws ConmonError `Failed to open the log ...` of the first that cannot be opened
 */
export function sinksOpened(sinks: readonly Sink[]): Promise<void> | undefined {
  const slow = sinks.filter((sink) => sink.opened !== undefined);
  if (slow.length === 0) return undefined;
  const opened = slow.map(async (sink) => {
    try {
      await sink.opened?.();
    } catch (cause) {
      const reason = asError(cause).message;
      throw new ConmonError(`Failed to open the ${sink.name} log: ${reason}`, { cause });
    }
  });
  return Promise.all(opened).then(() => undefined);
}

function describeFault(fault: SinkFault): string {
  if (fault.state === "failing") return `failed to ${fault.task} the log: ${fault.error.message}`;
  const { droppedBytes, droppedRecords, task } = fault;
  return `can ${task} the log again; ${droppedRecords} records with ${droppedBytes} bytes were lost`;
}
