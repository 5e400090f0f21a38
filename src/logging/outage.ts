import type { SinkCounters, SinkFault, SinkTask } from "./sink.ts";

/**
 * Tells failures of one task apart from news: the first failure is told, then nothing until it
 * works again, and then how much was lost.
 *
 * A full disk often has a few bytes left. A short record that fits between two long ones that do
 * not is no recovery; so an outage is over only when as many bytes were written as had failed.
 */
export class OutageWatch {
  readonly #task: SinkTask;
  readonly #counters: SinkCounters;
  readonly #tell: (fault: SinkFault) => void;
  /** The counters when the outage began. */
  #before: { readonly bytes: number; readonly records: number } | undefined;
  #needed = 0;

  constructor(task: SinkTask, counters: SinkCounters, tell: (fault: SinkFault) => void) {
    this.#task = task;
    this.#counters = counters;
    this.#tell = tell;
  }

  /** Whether it fails at present. */
  get ongoing(): boolean {
    return this.#before !== undefined;
  }

  /** Counts a failure. Only what is dropped from now on belongs to the outage. */
  failed(error: Error, bytes = 0): void {
    this.#counters.writeErrors++;
    this.#counters.lastError = error;
    this.#needed = bytes;
    if (this.#before !== undefined) return;
    this.#before = { bytes: this.#counters.droppedBytes, records: this.#counters.droppedRecords };
    this.#tell({ state: "failing", task: this.#task, error });
  }

  /** Notes that so many bytes were written. */
  succeeded(bytes = 0): void {
    if (this.#before === undefined) return;
    this.#needed -= bytes;
    if (this.#needed > 0) return;
    const { droppedBytes, droppedRecords } = this.#counters;
    const before = this.#before;
    this.#before = undefined;
    this.#tell({
      state: "recovered",
      task: this.#task,
      droppedBytes: droppedBytes - before.bytes,
      droppedRecords: droppedRecords - before.records,
    });
  }
}
