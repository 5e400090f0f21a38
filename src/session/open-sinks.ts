/** From the log drivers that the caller chose to sinks that write. */
import { logOpenError } from "../logging/log-drivers.ts";
import type { LogKeeper } from "../logging/log-keeper.ts";
import { JournaldSink, K8sFileSink } from "../logging/mod.ts";
import type { Sink, SinkFault } from "../logging/sink.ts";
import type { CheckedOptions, LogSettings } from "./checks.ts";
import type { OwnMessages } from "./own-messages.ts";

/**
 * Opens all of them, or none.
 *
 * @param onRelief a sink that was behind is so no more
 * @param keeperOf keeps what a successor of ours needs of a log file, by its number
 * @throws ConmonError `Failed to open log file PATH: REASON`
 */
export function openSinks(
  options: Pick<CheckedOptions, "cid" | "name" | "logs">,
  messages: OwnMessages,
  onRelief: () => void,
  keeperOf: (log: number) => LogKeeper | undefined,
): Sink[] {
  const sinks: Sink[] = [];
  let files = 0;
  try {
    for (const log of options.logs.drivers) {
      if (log.driver === "k8s-file") {
        sinks.push(openFile(log.path, options.logs, messages, onRelief, keeperOf(files++)));
      }
      if (log.driver === "journald") sinks.push(openJournal(options, messages, onRelief));
    }
    return sinks;
  } catch (error) {
    for (const sink of sinks) sink.close();
    throw error;
  }
}

function openFile(
  path: string,
  settings: LogSettings,
  messages: OwnMessages,
  onRelief: () => void,
  keeper: LogKeeper | undefined,
): Sink {
  const { maxSize = 0, globalMaxSize = 0, onError: onWriteError } = settings;
  const { rotate, maxFiles, maxAge, compress, maxTotalSize, recordSize } = settings;
  const onError = (fault: SinkFault): void => messages.error(`${path}: ${describeFault(fault)}`);
  try {
    return new K8sFileSink({
      ...{ path, keeper, recordSize, globalMaxSize, onWriteError, onError, onRelief },
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

function describeFault(fault: SinkFault): string {
  if (fault.state === "failing") return `failed to ${fault.task} the log: ${fault.error.message}`;
  const { droppedBytes, droppedRecords, task } = fault;
  return `can ${task} the log again; ${droppedRecords} records with ${droppedBytes} bytes were lost`;
}
