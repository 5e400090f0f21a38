/**
 * The log driver journald: one entry for each line of the container's output.
 *
 * The way of the data: a read is framed to lines and sent at once, line by line. When journald's queue
 * is full, the rest of the read waits in an {@link OutputQueue}, and goes on when there is room; the
 * sink is `behind` until then. So a container that writes faster than journald reads is slowed down, as
 * by any pipe, and nothing is lost. Only when journald has taken nothing at all for a while (it hangs,
 * or is stopped) is the container let go on: the queue, which is bounded, then loses its oldest
 * entries. When there is no journald at all, entries are lost at once, and each write tries again.
 * All that is lost is counted and told.
 *
 * What a killed conmond takes with it: an unfinished line is held here until it is complete, as it has
 * to be one entry. Of each stream that is at most one piece (16 KiB), and what is in the queue besides.
 * Both have been read from the pipe and are known to nobody else; `counters.pendingBytes` says how
 * many bytes they are. They survive a `close()`, at which the next conmond goes on, since what is held
 * is then sent as a piece, but not SIGKILL. Who wants that has to keep the last `pendingBytes` of what
 * was read where the next conmond finds them, and write them to its sink first.
 *
 * Podman reads PRIORITY as the name of the stream: 6 is stdout, 3 is stderr. `podman logs` stops at an
 * entry with another one, which a line that begins with `<0>` to `<7>` makes. conmon 2.2 does the same.
 */
import type { Buffer } from "node:buffer";
import { DEFAULT_RECORD_SIZE, MAX_RECORD_SIZE } from "./cri-framing.ts";
import { EntryBuffer, encodeIdentity, type JournalIdentity } from "./journal-entry.ts";
import { LineFramer } from "./journal-lines.ts";
import { JOURNAL_SOCKET, JournalSocket } from "./journal-socket.ts";
import { OutageWatch } from "./outage.ts";
import { OutputQueue } from "./output-queue.ts";
import {
  countLines,
  countLogged,
  newCounters,
  type Sink,
  type SinkFault,
  type StreamName,
} from "./sink.ts";

/** Enough for what two busy pipes hold and a read, so that nothing is lost at the end of a container. */
const QUEUE_SIZE = 3 * 1024 * 1024;
/** How long journald may take nothing before the container does not wait for it any longer. */
const PATIENCE_MS = 2000;
/** How many entries are sent before other sessions have their turn: a millisecond or two. */
const ENTRIES_PER_TURN = 256;

/** How a {@link JournaldSink} is to log. */
export interface JournaldOptions extends JournalIdentity {
  /** Mark pieces of lines with CONTAINER_PARTIAL_MESSAGE. Default true. */
  readonly markPartials?: boolean;
  /** Bytes of output in the longest entry, without the newline, 1 to 131072. Default 16384. */
  readonly pieceSize?: number;
  /** Default: where journald listens. */
  readonly socketPath?: string;
  /** Bytes of memory for what waits for journald. Default 3 MiB. */
  readonly queueSize?: number;
  /** Milliseconds without progress after which `behind` ends although not all is sent. Default 2000. */
  readonly patience?: number;
  /** Told when entries begin to be lost and when they no longer are. It must not throw. */
  readonly onError?: (fault: SinkFault) => void;
  /** Told when `behind` is over, or was already. It must not throw, and may write only later. */
  readonly onRelief?: () => void;
}

// One for all sinks, since it is as large as the longest line. That is safe because between framing
// an entry and sending it no other code runs.
const entry = new EntryBuffer();

/**
 * Logs to systemd's journal, see the top of the file. journald need not be there, neither at the
 * start, as for conmon, nor later.
 *
 * @example
 * ```ts
 * const sink = new JournaldSink({ containerId, containerName: "web", labels: ["TEAM=red"] });
 * sink.write("stdout", Buffer.from("ready\n"));
 * await sink.flush();
 * sink.close();
 * ```
 */
export class JournaldSink implements Sink {
  readonly name = "journald";
  readonly counters = newCounters();

  readonly #identity: Buffer;
  readonly #pieceSize: number;
  readonly #patience: number;
  readonly #framers: Readonly<Record<StreamName, LineFramer>>;
  readonly #socket: JournalSocket;
  readonly #queue: OutputQueue;
  readonly #writing: OutageWatch;
  readonly #onRelief: () => void;
  readonly #tooSlow: Error;
  /** Runs while something waits and there is still hope. */
  #timer: NodeJS.Timeout | undefined;
  /** journald has taken something since the timer began. */
  #progress = false;
  /** Nothing was taken for so long that nobody waits for it any more. */
  #stalled = false;
  /** There is no journald, as this turn has found out already. */
  #away = false;
  #flushed: (() => void)[] = [];
  #closed = false;

  /**
   * Opens nothing yet.
   *
   * @throws {RangeError} for a piece size or queue size out of range.
   */
  constructor(options: JournaldOptions) {
    const { pieceSize = DEFAULT_RECORD_SIZE, markPartials = true } = options;
    const { queueSize = QUEUE_SIZE, patience = PATIENCE_MS } = options;
    if (!(Number.isInteger(pieceSize) && pieceSize >= 1 && pieceSize <= MAX_RECORD_SIZE)) {
      throw new RangeError(`The piece size must be 1 to ${MAX_RECORD_SIZE}, got ${pieceSize}`);
    }
    if (!(Number.isInteger(queueSize) && queueSize >= 16)) {
      throw new RangeError(`The queue size must be 16 or more, got ${queueSize}`);
    }
    this.#pieceSize = pieceSize;
    this.#patience = patience;
    this.#identity = encodeIdentity(options);
    this.#framers = {
      stdout: new LineFramer({ priority: 6, pieceSize, markPartials }),
      stderr: new LineFramer({ priority: 3, pieceSize, markPartials }),
    };
    this.#queue = new OutputQueue(queueSize);
    this.#socket = new JournalSocket(options.socketPath ?? JOURNAL_SOCKET, () => this.#onRoom());
    this.#writing = new OutageWatch("write", this.counters, options.onError ?? (() => {}));
    this.#onRelief = options.onRelief ?? (() => {});
    this.#tooSlow = new Error(`journald has not taken anything for ${patience} ms`);
  }

  get behind(): boolean {
    return !this.#queue.isEmpty && !this.#stalled;
  }

  write(stream: StreamName, data: Uint8Array): void {
    if (this.#closed) {
      this.#countDropped(countLines(data), data.length);
      return;
    }
    this.counters.pendingBytes += data.length;
    this.#away = false;
    const sent = this.#queue.isEmpty ? this.#send(this.#framers[stream], data) : 0;
    if (sent < data.length) this.#enqueue(stream, data, sent);
  }

  end(stream: StreamName): void {
    if (this.#closed) return;
    this.#away = false;
    if (this.#queue.isEmpty && this.#sendRest(this.#framers[stream])) return;
    while (!this.#queue.fits(0)) this.#discardFirst();
    this.#queue.pushEnd(stream);
    this.#wait();
  }

  /** Takes no longer than the patience without progress. */
  async flush(): Promise<void> {
    if (this.#queue.isEmpty) return;
    this.#stalled = false;
    this.#startTimer();
    await new Promise<void>((resolve) => this.#flushed.push(resolve));
  }

  /** Nothing to do: it is journald that has files. */
  reopen(): void {}

  /** When the journal is written to disk is journald's own affair. */
  async sync(): Promise<void> {}

  /** What waits or is held is sent as far as journald takes it without waiting. */
  close(): void {
    if (this.#closed) return;
    this.#away = false;
    while (!this.#queue.isEmpty && this.#handleFirst());
    this.#giveUp();
    for (const framer of Object.values(this.#framers)) {
      if (!this.#sendRest(framer)) this.#discard(framer);
    }
    this.#closed = true;
    this.#socket.close();
  }

  // ---- sending ----

  /** Sends what is complete and holds the rest; returns up to where, if journald is full before. */
  #send(framer: LineFramer, data: Uint8Array): number {
    let from = 0;
    // One that is not there costs no time.
    for (let n = 0; from < data.length && (n < ENTRIES_PER_TURN || this.#away); n++) {
      entry.begin(this.#identity, this.#pieceSize + 1);
      const next = framer.frame(data, from, data.length, entry);
      if (next === -1) {
        framer.hold(data, from, data.length);
        return data.length;
      }
      if (!this.#deliver(framer)) break;
      from = next;
    }
    return from;
  }

  /** Sends what is held. Returns false if journald is full. */
  #sendRest(framer: LineFramer): boolean {
    entry.begin(this.#identity, this.#pieceSize + 1);
    return !framer.frameRest(entry) || this.#deliver(framer);
  }

  /** Sends the framed entry; if that fails it is lost. Returns false if journald is full. */
  #deliver(framer: LineFramer): boolean {
    const bytes = framer.framedBytes;
    const delivery = this.#away ? "failed" : this.#socket.send(entry.bytes, entry.length);
    if (delivery === "full") return false;
    framer.commit();
    this.counters.pendingBytes -= bytes;
    if (delivery === "sent") {
      const stream = framer === this.#framers.stdout ? "stdout" : "stderr";
      countLogged(this.counters, stream, 1, bytes);
      this.#writing.succeeded(bytes);
      return true;
    }
    this.#away = !this.#socket.isConnected;
    this.#writing.failed(this.#socket.failure, bytes);
    this.#countDropped(1, bytes);
    return true;
  }

  // ---- waiting ----

  #enqueue(stream: StreamName, data: Uint8Array, from: number): void {
    for (let at = from; at < data.length; ) {
      const end = Math.min(at + this.#queue.largest, data.length);
      while (!this.#queue.fits(end - at)) this.#discardFirst();
      this.#queue.push(stream, data, at, end);
      at = end;
    }
    this.#wait();
  }

  #wait(): void {
    this.#socket.watchForRoom();
    if (!this.#stalled) this.#startTimer();
  }

  #startTimer(): void {
    if (this.#timer !== undefined) return;
    this.#progress = false;
    this.#timer = setTimeout(() => this.#onTimer(), this.#patience);
  }

  #onRoom(): void {
    this.#sendSome();
    if (this.#queue.isEmpty) {
      this.#caughtUp();
      return;
    }
    if (this.#progress) this.#stalled = false;
    // After a reconnect it is another socket that has to be watched.
    this.#wait();
  }

  #sendSome(): void {
    this.#away = false;
    for (let n = 0; !this.#queue.isEmpty && (n < ENTRIES_PER_TURN || this.#away); n++) {
      if (!this.#handleFirst()) break;
      this.#progress = true;
    }
  }

  #onTimer(): void {
    this.#timer = undefined;
    // Whoever was stopped itself, or had no processor, may not have come to what there is room for.
    if (!this.#progress) this.#sendSome();
    if (this.#queue.isEmpty) {
      this.#caughtUp();
      return;
    }
    if (this.#progress) {
      this.#wait();
      return;
    }
    this.#stalled = true;
    if (this.#flushed.length > 0) this.#giveUp();
    else this.#onRelief();
  }

  #caughtUp(): void {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#stalled = false;
    this.#socket.stopWatching();
    for (const resolve of this.#flushed.splice(0)) resolve();
    this.#onRelief();
  }

  // ---- the queue's front ----

  /** Sends the next entry of what waits, or holds its beginning. Returns false if journald is full. */
  #handleFirst(): boolean {
    return this.#withFirst((framer) => this.#deliver(framer));
  }

  #discardFirst(): void {
    this.#withFirst((framer) => {
      this.#writing.failed(this.#tooSlow, this.#queue.size);
      this.#discard(framer);
      return true;
    });
  }

  #withFirst(handle: (framer: LineFramer) => boolean): boolean {
    const front = this.#queue.front();
    if (front === undefined) return true;
    const { bytes, start, end } = front;
    const framer = this.#framers[front.stream];
    entry.begin(this.#identity, this.#pieceSize + 1);
    if (start === end) {
      if (framer.frameRest(entry) && !handle(framer)) return false;
      this.#queue.take(0);
      return true;
    }
    const next = framer.frame(bytes, start, end, entry);
    if (next === -1) framer.hold(bytes, start, end);
    else if (!handle(framer)) return false;
    this.#queue.take((next === -1 ? end : next) - start);
    return true;
  }

  #giveUp(): void {
    while (!this.#queue.isEmpty) this.#discardFirst();
    this.#caughtUp();
  }

  // ---- losses ----

  #discard(framer: LineFramer): void {
    const bytes = framer.framedBytes;
    framer.commit();
    this.counters.pendingBytes -= bytes;
    this.#countDropped(1, bytes);
  }

  #countDropped(records: number, bytes: number): void {
    this.counters.droppedRecords += records;
    this.counters.droppedBytes += bytes;
  }
}
