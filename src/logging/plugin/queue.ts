import type { WallClock } from "../../sys/mod.ts";
import type { StreamName } from "../sink.ts";
import { Batch } from "./batch.ts";

const NOTHING = new Uint8Array(0);

/**
 * Output that waits for a plug-in, in batches. It takes whatever comes; who wants it bounded has to
 * look at {@link size} and discard.
 */
export class BatchQueue {
  readonly #batches: Batch[] = [];
  #size = 0;
  #output = 0;
  #gap = false;
  /** One whose memory can be used again; none once the queue has run dry. */
  #spare: Batch | undefined;

  get isEmpty(): boolean {
    return this.#batches.length === 0;
  }

  /** Bytes that wait, with what describes them. */
  get size(): number {
    return this.#size;
  }

  /** Bytes of output that wait. */
  get output(): number {
    return this.#output;
  }

  /** Appends a copy of what was read from a stream. */
  push(stream: StreamName, data: Uint8Array, at: WallClock): void {
    for (let from = 0; from < data.length; ) {
      const batch = this.#lastWithRoom();
      const end = Math.min(from + batch.room, data.length);
      this.#append(batch, stream, at, data, from, end);
      from = end;
    }
  }

  /** Appends the mark that a stream has ended. */
  pushEnd(stream: StreamName): void {
    this.#append(this.#lastWithRoom(), stream, { seconds: 0, nanoseconds: 0 }, NOTHING, 0, 0);
  }

  /** Takes the oldest batch out. */
  take(): Batch | undefined {
    const batch = this.#batches.shift();
    if (batch === undefined) return undefined;
    this.#size -= batch.length;
    this.#output -= batch.output;
    batch.afterGap = this.#gap;
    this.#gap = false;
    return batch;
  }

  /** Takes the oldest batch out for good: the next one comes after a gap. */
  discard(): Batch | undefined {
    const batch = this.take();
    if (batch !== undefined) this.#gap = true;
    return batch;
  }

  /** Gives back a batch that nobody needs any more. */
  recycle(batch: Batch): void {
    batch.clear();
    this.#spare = this.isEmpty ? undefined : batch;
  }

  #lastWithRoom(): Batch {
    const last = this.#batches.at(-1);
    if (last !== undefined && last.room > 0) return last;
    const batch = this.#spare ?? new Batch();
    this.#spare = undefined;
    this.#batches.push(batch);
    return batch;
  }

  #append(...[batch, ...entry]: [Batch, ...Parameters<Batch["append"]>]): void {
    this.#size -= batch.length;
    this.#output -= batch.output;
    batch.append(...entry);
    this.#size += batch.length;
    this.#output += batch.output;
  }
}
