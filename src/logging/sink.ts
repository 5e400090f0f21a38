import type { LogTime } from "./timestamp.ts";

const NEWLINE = 0x0a;

/** The two output streams of a container. */
export type StreamName = "stdout" | "stderr";

/** What a sink has logged of one stream. */
export interface StreamCounters {
  /** Bytes of output. */
  bytes: number;
  records: number;
}

/**
 * What a sink has done so far. Bytes are bytes of the container's output, not of the log's own
 * framing, so that `bytes + droppedBytes + pendingBytes` is all that was handed to the sink.
 */
export interface SinkCounters {
  /** Bytes of output that were logged. */
  bytes: number;
  /** Records that were logged. */
  records: number;
  /** How much of both was stdout. */
  stdout: StreamCounters;
  /** How much of both was stderr. */
  stderr: StreamCounters;
  /** Bytes of output that the sink still has: unfinished lines, and what waits for a log that is slow. */
  pendingBytes: number;
  /** How often a fresh file was begun, for a size limit or a reopen. */
  rotations: number;
  /** Bytes of output that are not in the log. */
  droppedBytes: number;
  /** Records that are not in the log. */
  droppedRecords: number;
  /** Failed attempts to write, to rotate or to compress. */
  writeErrors: number;
  /** The newest failure; it stays when the sink has recovered. */
  lastError: Error | undefined;
}

/** Counts records as logged, or with negative numbers takes that back. */
export function countLogged(
  counters: SinkCounters,
  stream: StreamName,
  records: number,
  bytes: number,
): void {
  const ofStream = counters[stream];
  counters.records += records;
  counters.bytes += bytes;
  ofStream.records += records;
  ofStream.bytes += bytes;
}

/** How many records a log of lines would make of data: its lines, the last of which may be unfinished. */
export function countLines(data: Uint8Array): number {
  let lines = data.length > 0 && data[data.length - 1] !== NEWLINE ? 1 : 0;
  for (const byte of data) if (byte === NEWLINE) lines++;
  return lines;
}

/** Counters of a sink that has done nothing yet. */
export function newCounters(): SinkCounters {
  return {
    bytes: 0,
    records: 0,
    stdout: { bytes: 0, records: 0 },
    stderr: { bytes: 0, records: 0 },
    pendingBytes: 0,
    rotations: 0,
    droppedBytes: 0,
    droppedRecords: 0,
    writeErrors: 0,
    lastError: undefined,
  };
}

/** What a sink was about to do when it failed: log a record, begin a fresh file, compress a backup. */
export type SinkTask = "write" | "rotate" | "compress";

/** Told once when something begins to fail, and once when it works again. */
export type SinkFault =
  | { readonly state: "failing"; readonly task: SinkTask; readonly error: Error }
  | {
      readonly state: "recovered";
      readonly task: SinkTask;
      /** Bytes of output lost in between. */
      readonly droppedBytes: number;
      /** Records lost in between. */
      readonly droppedRecords: number;
    };

/** A place that the output of a container is logged to. */
export interface Sink {
  /** The name of the log driver, for messages. */
  readonly name: string;
  /**
   * Where opening takes a while: resolves when the log is open. To be called right after the sink was
   * made, by who can still do without it; a sink that nobody asks tries again by itself.
   *
   * @throws {Error} that says why it cannot be opened; then the sink is as good as closed.
   */
  opened?(): Promise<void>;
  /**
   * Logs what was read from a stream at one point in time. `data` is the caller's and only valid
   * during the call. Never throws: what fails is counted and told to the sink's `onError`.
   */
  write(stream: StreamName, data: Uint8Array, at: LogTime): void;
  /**
   * Reads output from a pipe and logs it, as {@link write} would; for sinks that can do both at once. Nobody else gets
   * to see it.
   *
   * @param count bytes, which are in the pipe
   * @returns how many of them were read; 0: just now it has to be done by {@link write}
   */
  relay?(stream: StreamName, pipe: number, count: number, at: LogTime): number;
  /**
   * A piece of output is going to be read: records where the log is, so that a successor of this
   * process knows whether it has been logged. For sinks that can tell.
   */
  begin?(): void;
  /**
   * Logs a piece of output of which a process before may have logged all, a part or nothing; only
   * what is missing. For sinks that can tell.
   *
   * As long as such a sink is {@link behind}, the piece has not been logged as a whole: it should be kept where a
   * successor finds it.
   *
   * @returns how much of it was in the log already, in bytes, as far as that is known: of what was handed out in
   *   parts (see `INPUT_SIZE`) whole ones
   */
  resume?(stream: StreamName, data: Uint8Array, at: LogTime): number;
  /** For sinks that divide no character: whether the beginning of one is held, until its rest comes. */
  isCut?(stream: StreamName): boolean;
  /**
   * Whether the log is slower than what is written, but keeps up if it is given time: who can wait
   * should not write until the sink's `onRelief` says that this is over. Who writes nevertheless may
   * see the oldest of what waits dropped.
   */
  readonly behind: boolean;
  /** Nothing more comes from a stream: a line that is not complete is logged as it is. */
  end(stream: StreamName): void;
  /** Resolves when nothing waits any more: it is in the log, or given up and counted as dropped. */
  flush(): Promise<void>;
  /**
   * Makes a fresh file, for a rotator that has moved the old one away.
   *
   * @throws {Error} with the `code` of the system call; logging goes on where it was.
   */
  reopen(): void;
  /** Resolves when all that was written so far is on stable storage. */
  sync(): Promise<void>;
  /** Ends the sink. What is written later is counted as dropped. Idempotent. */
  close(): void;
  /** Live: the same object, updated by each call. */
  readonly counters: Readonly<SinkCounters>;
}
