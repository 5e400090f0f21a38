import { findMemoryCgroup, type MemoryCgroup } from "./cgroup.ts";
import { readOomState } from "./oom-counter.ts";
import { type OomNotices, openOomNotices } from "./oom-notice.ts";

/** What a successor needs to go on watching. */
export interface OomRecord extends MemoryCgroup {
  /** The kernel's count when the watch began. */
  readonly baseline: number;
}

/** What an {@link OomWatch} watches, and whom it tells. */
export interface OomWatchOptions {
  /** A process of the container, by whose cgroup it is known; or the record of a watch before. */
  readonly of: number | OomRecord;
  /** Memory has run out in the container's cgroup; called once, possibly before `start` returns. */
  onOom(): void;
  /** Something keeps us from seeing (all of) it. Everything else goes on. */
  onProblem(error: Error): void;
  /** Where the proc file system is. Default: `/proc`. */
  readonly proc?: string;
}

/**
 * Watches the memory cgroup of a container for the kernel running out of memory there.
 *
 * The count at the beginning is what later ones are compared with, not 0: an exec session
 * shares the container's cgroup, and a container may have been put into one that others used.
 * A container has not run anything when its watch begins, so nothing is missed. For a later
 * conmond that same number is in the {@link OomRecord}, so that it also finds what happened
 * while nobody watched, even if the process has ended meanwhile.
 *
 * Version 1 has notices besides the count, and they come first. Each notice is taken as a kill, as
 * conmon does; so with a limit on a group of containers all of them get it. Two kinds are not: when
 * killing is disabled, and the one that tells of the cgroup's removal.
 *
 * @example
 * const watch = OomWatch.start({ of: pid, onOom, onProblem });
 * // ... the container ends ...
 * watch.check();
 * watch.close();
 */
export class OomWatch {
  readonly #options: OomWatchOptions;
  #record: OomRecord | undefined;
  #notices: OomNotices | undefined;
  /** Version 1: those that came so far. */
  #noticeCount = 0;
  #state: "watching" | "noted" | "closed" = "watching";

  private constructor(options: OomWatchOptions) {
    this.#options = options;
  }

  /** Begins to watch, or tells `onProblem` why that is not possible. */
  static start(options: OomWatchOptions): OomWatch {
    const watch = new OomWatch(options);
    watch.#attempt("Cannot tell whether memory runs out", () => watch.#begin());
    return watch;
  }

  /** Undefined: there is nothing that could be watched. */
  get record(): OomRecord | undefined {
    return this.#record;
  }

  /**
   * Looks once more. To be called when the container has ended: the kernel's notice may still be on
   * its way then. If the cgroup has gone by now, what was seen before has to do.
   */
  check(): void {
    if (this.#record === undefined) return;
    this.#attempt("Failed to look whether memory ran out", () => {
      this.#look(this.#notices?.take() ?? 0);
    });
  }

  close(): void {
    this.#state = "closed";
    this.#stop();
  }

  #begin(): void {
    const { of, proc = "/proc" } = this.#options;
    this.#record = typeof of === "number" ? recordOf(findMemoryCgroup(of, proc)) : of;
    this.#attempt("Cannot see at once when memory runs out, but in the end", () => this.#listen());
    this.check();
  }

  #listen(): void {
    if (this.#record === undefined) return;
    this.#notices = openOomNotices(this.#record, {
      onNotice: (notices) => {
        this.#attempt("Failed to look whether memory ran out", () => this.#look(notices));
      },
      onError: (error) => {
        this.#problem("Cannot see at once any more when memory runs out", error);
      },
    });
  }

  /** Draws the conclusion from these notices and the count. */
  #look(notices: number): void {
    if (this.#state !== "watching" || this.#record === undefined) return;
    this.#noticeCount += notices;
    const state = readOomState(this.#record);
    if (state === undefined) {
      // One of them was for the cgroup's removal, and no more will come after it.
      if (this.#noticeCount > 1) this.#note();
      return;
    }
    const noticed = notices > 0 && !state.killsDisabled;
    if (noticed || state.count > this.#record.baseline) this.#note();
  }

  #note(): void {
    this.#state = "noted";
    this.#stop();
    this.#options.onOom();
  }

  #stop(): void {
    this.#notices?.close();
    this.#notices = undefined;
  }

  #attempt(what: string, step: () => void): void {
    try {
      step();
    } catch (error) {
      this.#problem(what, error as Error);
    }
  }

  #problem(what: string, cause: Error): void {
    this.#options.onProblem(new Error(`${what}: ${cause.message}`, { cause }));
  }
}

function recordOf(cgroup: MemoryCgroup): OomRecord {
  const state = readOomState(cgroup);
  if (state === undefined) throw new Error(`the cgroup ${cgroup.directory} is gone`);
  return { ...cgroup, baseline: state.count };
}
