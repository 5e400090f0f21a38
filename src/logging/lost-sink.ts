import { countLines, newCounters, type Sink, type StreamName } from "./sink.ts";

/**
 * Takes the place of a log that could be opened when the container was started and cannot be any more. All that
 * it gets is lost and counted.
 */
export class LostSink implements Sink {
  readonly name: string;
  readonly behind = false;
  readonly counters = newCounters();
  readonly #error: Error;
  readonly #onClosed: (records: number, bytes: number) => void;
  #closed = false;

  /**
   * @param name the log driver's
   * @param error why it cannot be opened
   * @param onClosed told at the end what was lost, if that was anything
   */
  constructor(name: string, error: Error, onClosed: (records: number, bytes: number) => void) {
    this.name = name;
    this.#error = error;
    this.#onClosed = onClosed;
    this.counters.writeErrors = 1;
    this.counters.lastError = error;
  }

  write(_stream: StreamName, data: Uint8Array): void {
    this.counters.droppedBytes += data.length;
    this.counters.droppedRecords += countLines(data);
  }

  end(): void {}

  async flush(): Promise<void> {}

  /** @throws {Error} always: the log is lost to the end of the container */
  reopen(): void {
    throw this.#error;
  }

  async sync(): Promise<void> {}

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    const { droppedRecords, droppedBytes } = this.counters;
    if (droppedBytes > 0) this.#onClosed(droppedRecords, droppedBytes);
  }
}
