/** The counters of a session as they are in its journal, for whoever looks at the memory file from outside. */

/** What has become of a container's output, since its start and over all conmonds that served it. */
export interface SessionCounters {
  /** Bytes that the container has written and that were read. */
  readonly bytes: number;
  /** Records in the first of its logs. */
  readonly records: number;
  /** Bytes of output that are missing in a log, added up over the logs. */
  readonly droppedBytes: number;
  /** Failed attempts to write to a log. */
  readonly writeErrors: number;
  /** Attached clients, now. */
  readonly clients: number;
}

/** Where they are in the journal. */
export const COUNTERS_AT = 288;

const NAMES = ["bytes", "records", "droppedBytes", "writeErrors", "clients"] as const;

/** How long they are: doubles, little-endian. */
export const COUNTERS_SIZE: number = NAMES.length * 8;

/** Writes them to their place, in the order of their names: for each read, which a loop would be too slow for. */
export function encodeCounters(journal: DataView, counters: SessionCounters): void {
  journal.setFloat64(COUNTERS_AT, counters.bytes, true);
  journal.setFloat64(COUNTERS_AT + 8, counters.records, true);
  journal.setFloat64(COUNTERS_AT + 16, counters.droppedBytes, true);
  journal.setFloat64(COUNTERS_AT + 24, counters.writeErrors, true);
  journal.setFloat64(COUNTERS_AT + 32, counters.clients, true);
}

/** Reads them; all are zero as long as nothing was written, and undefined is returned for what are none. */
export function decodeCounters(journal: Buffer): SessionCounters | undefined {
  const end = COUNTERS_AT + COUNTERS_SIZE;
  const bytes = journal.length < end ? Buffer.concat([journal], end) : journal;
  const numbers = NAMES.map((name, index) => [name, bytes.readDoubleLE(COUNTERS_AT + 8 * index)]);
  const makeSense = numbers.every(
    ([, number]) => Number.isSafeInteger(number) && Number(number) >= 0,
  );
  // One number for each name.
  return makeSense ? (Object.fromEntries(numbers) as unknown as SessionCounters) : undefined;
}
