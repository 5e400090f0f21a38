/** Counts what becomes of a container's output, for those who look at the session's journal from outside. */
import type { RateGate } from "../logging/rate-gate.ts";
import type { Sink } from "../logging/sink.ts";
import type { Journal } from "./journal.ts";
import type { SessionCounters } from "./journal-counters.ts";

/** Owns nothing; tells the journal. */
export class OutputCounters {
  readonly #journal: Journal;
  readonly #sinks: readonly Sink[];
  readonly #rate: RateGate | undefined;
  /** Of the conmonds before. */
  readonly #before: SessionCounters | undefined;
  /** Whether marks are written for each piece of output, which take the counters along. */
  readonly #marked: boolean;
  readonly #now = { bytes: 0, records: 0, droppedBytes: 0, writeErrors: 0, clients: 0 };
  #bytes = 0;

  constructor(journal: Journal, sinks: readonly Sink[], rate: RateGate | undefined) {
    this.#journal = journal;
    this.#sinks = sinks;
    this.#rate = rate;
    this.#before = journal.counters;
    this.#marked = sinks.some((sink) => sink.begin !== undefined);
  }

  /** So many bytes of output were read. */
  add(bytes: number): void {
    this.#bytes += bytes;
  }

  /** Before a piece of output is read: what has become of those before it goes along with the next mark. */
  begin(): void {
    const counters = this.#update();
    if (this.#marked) this.#journal.noteCounters(counters);
    else this.#journal.writeCounters(counters);
  }

  /** Clients have come or gone: so many there are now. */
  noteClients(count: number): void {
    this.#now.clients = count;
    this.write();
  }

  /** Nothing more is read here: whoever comes next is to know all. */
  write(): void {
    this.#journal.writeCounters(this.#update());
  }

  #update(): SessionCounters {
    const now = this.#now;
    const before = this.#before;
    now.bytes = this.#bytes + (before?.bytes ?? 0);
    now.records = (this.#sinks[0]?.counters.records ?? 0) + (before?.records ?? 0);
    now.droppedBytes = before?.droppedBytes ?? 0;
    now.writeErrors = before?.writeErrors ?? 0;
    for (const { counters } of this.#sinks) {
      now.droppedBytes += counters.droppedBytes;
      now.writeErrors += counters.writeErrors;
    }
    const dropped = this.#rate?.dropped;
    // Those are missing in every log.
    if (dropped !== undefined) {
      now.droppedBytes += (dropped.stdout.bytes + dropped.stderr.bytes) * this.#sinks.length;
    }
    return now;
  }
}
