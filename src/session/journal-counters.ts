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

/** Writes them to their place. */
export function encodeCounters(journal: DataView, counters: SessionCounters): void {
  let at = COUNTERS_AT;
  for (const name of NAMES) {
    journal.setFloat64(at, counters[name], true);
    at += 8;
  }
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
