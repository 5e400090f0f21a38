/** From the log drivers that the caller chose to sinks that write. */
import { logOpenError } from "../logging/log-drivers.ts";
import { K8sFileSink } from "../logging/mod.ts";
import type { Sink, SinkFault } from "../logging/sink.ts";
import type { LogSettings } from "./checks.ts";
import type { OwnMessages } from "./own-messages.ts";

/**
 * Opens all of them, or none.
 *
 * @throws ConmonError `Failed to open log file PATH: REASON`
 */
export function openSinks(settings: LogSettings, messages: OwnMessages): Sink[] {
  const sinks: Sink[] = [];
  try {
    for (const log of settings.drivers) {
      if (log.driver === "k8s-file") sinks.push(openFile(log.path, settings, messages));
    }
    return sinks;
  } catch (error) {
    for (const sink of sinks) sink.close();
    throw error;
  }
}

function openFile(path: string, settings: LogSettings, messages: OwnMessages): Sink {
  const { maxSize = 0, globalMaxSize = 0, rotate, maxFiles } = settings;
  const onError = (fault: SinkFault): void => messages.error(`${path}: ${describeFault(fault)}`);
  try {
    return new K8sFileSink({ path, maxSize, globalMaxSize, rotate, maxFiles, onError });
  } catch (error) {
    const cause = (error as Error).cause ?? error;
    throw logOpenError(path, cause as NodeJS.ErrnoException);
  }
}

function describeFault(fault: SinkFault): string {
  if (fault.state === "failing") return `failed to ${fault.task} the log: ${fault.error.message}`;
  const { droppedBytes, droppedRecords, task } = fault;
  return `can ${task} the log again; ${droppedRecords} records with ${droppedBytes} bytes were lost`;
}
