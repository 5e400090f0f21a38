/** What has happened, and what happens. */
import { createReadStream, existsSync, type FSWatcher, statSync, watch } from "node:fs";
import { basename } from "node:path";
import split2 from "split2";
import { type ContainerEvent, EVENT_TYPES } from "./event-log.ts";
import { isObject } from "./oci.ts";
import { parseJson } from "./record.ts";
import type { State } from "./state.ts";

export interface EventOptions {
  /** Only those since then. Default: with `follow`, those from now on; else all. */
  readonly since?: Date;
  /** Only those before then. Default: no end. */
  readonly until?: Date;
  /** Goes on with what happens, until `until`. Default: false. */
  readonly follow?: boolean;
  /** Only those of this container. */
  readonly id?: string;
  /** Ends it, without an error. */
  readonly signal?: AbortSignal;
}

/** The longest time that a timer can take, in milliseconds: weeks. */
const TIMER_MOST = 2 ** 31 - 1;

/** Events in the order in which they happened. */
export async function* readEvents(
  state: State,
  options: EventOptions = {},
): AsyncGenerator<ContainerEvent, void, undefined> {
  const since = options.since ?? (options.follow === true ? new Date() : new Date(0));
  const selected = (event: ContainerEvent): boolean =>
    Date.parse(event.time) >= since.getTime() &&
    Date.parse(event.time) < (options.until?.getTime() ?? Number.POSITIVE_INFINITY) &&
    (options.id === undefined || event.id === options.id);
  for await (const event of allEvents(state, options)) {
    if (options.signal?.aborted) return;
    if (selected(event)) yield event;
  }
}

async function* allEvents(
  state: State,
  options: EventOptions,
): AsyncGenerator<ContainerEvent, void, undefined> {
  const old = `${state.events}.1`;
  let file = new EventFile(state.events);
  const changes = options.follow === true ? new Changes(state, options) : undefined;
  try {
    if (existsSync(old)) yield* new EventFile(old).read();
    yield* file.read();
    while (changes !== undefined && (await changes.next())) {
      if (file.isReplaced()) {
        yield* new EventFile(old, file.offset).read();
        file = new EventFile(state.events);
      }
      yield* file.read();
    }
  } finally {
    changes?.close();
  }
}

/** A file of events and how far it has been read. */
class EventFile {
  readonly #path: string;
  #inode: bigint | undefined;
  offset: number;

  constructor(path: string, offset = 0) {
    this.#path = path;
    this.offset = offset;
  }

  /** Whether another file has its name since it was read. */
  isReplaced(): boolean {
    const now = statSync(this.#path, { bigint: true, throwIfNoEntry: false })?.ino;
    return this.#inode !== undefined && now !== this.#inode;
  }

  /** What is new. Each event is written at once, so the file ends with a whole line. */
  async *read(): AsyncGenerator<ContainerEvent, void, undefined> {
    const status = statSync(this.#path, { bigint: true, throwIfNoEntry: false });
    if (status === undefined) return;
    this.#inode = status.ino;
    const size = Number(status.size);
    if (size <= this.offset) return;
    const text = createReadStream(this.#path, { start: this.offset, end: size - 1 });
    this.offset = size;
    const lines = text.pipe(split2());
    text.on("error", (error) => lines.destroy(error));
    for await (const line of lines) {
      const event = parseJson(String(line));
      if (isEvent(event)) yield event;
    }
  }
}

/** Tells of changes of the file, until time or signal say that it is enough. */
class Changes {
  readonly #watcher: FSWatcher;
  readonly #timer: NodeJS.Timeout | undefined;
  readonly #signal: AbortSignal | undefined;
  readonly #stop = (): void => {
    this.#over = true;
    this.#wake?.();
  };
  #changed = false;
  #over = false;
  #wake: (() => void) | undefined;

  constructor(state: State, { until, signal }: EventOptions) {
    state.make();
    const name = basename(state.events);
    this.#watcher = watch(state.directory, (_type, file) => {
      if (file !== name) return;
      this.#changed = true;
      this.#wake?.();
    });
    this.#watcher.on("error", this.#stop);
    this.#signal = signal;
    signal?.addEventListener("abort", this.#stop, { once: true });
    if (signal?.aborted) this.#stop();
    const left = (until?.getTime() ?? Number.POSITIVE_INFINITY) - Date.now();
    if (left <= TIMER_MOST) this.#timer = setTimeout(this.#stop, left);
  }

  /** Resolves when there may be something new; false when it is over. */
  async next(): Promise<boolean> {
    if (!this.#changed && !this.#over) {
      await new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
    }
    this.#wake = undefined;
    const more = this.#changed || !this.#over;
    this.#changed = false;
    return more;
  }

  close(): void {
    this.#watcher.close();
    clearTimeout(this.#timer);
    this.#signal?.removeEventListener("abort", this.#stop);
  }
}

function isEvent(value: unknown): value is ContainerEvent {
  return (
    isObject(value) &&
    typeof value.time === "string" &&
    typeof value.id === "string" &&
    EVENT_TYPES.some((type) => type === value.type)
  );
}
