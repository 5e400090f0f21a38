/** From the log drivers that the caller chose to sinks that write. */
import { isFile, logOpenError } from "../logging/log-drivers.ts";
import { JournaldSink, JsonFileSink, K8sFileSink } from "../logging/mod.ts";
import type { Sink, SinkFault } from "../logging/sink.ts";
import type { CheckedOptions, LogSettings } from "./checks.ts";
import type { OwnMessages } from "./own-messages.ts";

/**
 * Opens all of them, or none.
 *
 * @param onRelief a sink that was behind is so no more
 * @throws ConmonError `Failed to open log file PATH: REASON`
 */
export function openSinks(
  options: Pick<CheckedOptions, "cid" | "name" | "logs">,
  messages: OwnMessages,
  onRelief: () => void,
): Sink[] {
  const sinks: Sink[] = [];
  try {
    for (const log of options.logs.drivers) {
      if (isFile(log)) sinks.push(openFile(log, options.logs, messages));
      if (log.driver === "journald") sinks.push(openJournal(options, messages, onRelief));
    }
    return sinks;
  } catch (error) {
    for (const sink of sinks) sink.close();
    throw error;
  }
}

function openFile(
  { driver, path }: { readonly driver: "k8s-file" | "json-file"; readonly path: string },
  settings: LogSettings,
  messages: OwnMessages,
): Sink {
  const { maxSize = 0, globalMaxSize = 0, rotate, maxFiles } = settings;
  const onError = (fault: SinkFault): void => messages.error(`${path}: ${describeFault(fault)}`);
  try {
    const File = driver === "k8s-file" ? K8sFileSink : JsonFileSink;
    return new File({ path, maxSize, globalMaxSize, rotate, maxFiles, onError });
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
  const { tag, labels, markPartials } = logs;
  const onError = (fault: SinkFault): void => messages.error(`journald: ${describeFault(fault)}`);
  return new JournaldSink({
    ...{ containerId, containerName, tag, labels, markPartials },
    ...{ onError, onRelief },
  });
}

function describeFault(fault: SinkFault): string {
  if (fault.state === "failing") return `failed to ${fault.task} the log: ${fault.error.message}`;
  const { droppedBytes, droppedRecords, task } = fault;
  return `can ${task} the log again; ${droppedRecords} records with ${droppedBytes} bytes were lost`;
}
