/** How the kernel is asked to say at once when memory runs out in a cgroup. */
import * as fs from "node:fs";
import { endianness } from "node:os";
import { join } from "node:path";
import * as sys from "../sys/mod.ts";
import type { MemoryCgroup } from "./cgroup.ts";
import { oomFile } from "./oom-counter.ts";

/** A source of notices, which has to be closed. */
export interface OomNotices {
  /** Takes notices that have come and were not handed on yet. */
  take(): number;
  close(): void;
}

/** Whom notices are for. */
export interface OomNoticeEvents {
  /**
   * `notices`: version 1: how many there were, the cgroup's removal being one as well; version 2: 0,
   * some number in `memory.events` may have changed.
   */
  onNotice(notices: number): void;
  /** No more notices will come. */
  onError(error: Error): void;
}

/** @throws a system error when the kernel refuses */
export function openOomNotices(cgroup: MemoryCgroup, events: OomNoticeEvents): OomNotices {
  return cgroup.version === 1 ? new EventFdNotices(cgroup, events) : watchFile(cgroup, events);
}

/** The kernel changes cgroup files without anybody writing to them, and inotify tells of that too. */
function watchFile(cgroup: MemoryCgroup, events: OomNoticeEvents): OomNotices {
  const watcher = fs.watch(oomFile(cgroup), { persistent: false }, () => events.onNotice(0));
  watcher.on("error", (error) => {
    watcher.close();
    events.onError(error);
  });
  return { take: () => 0, close: () => watcher.close() };
}

/** An event counter that the kernel adds to; see Documentation/admin-guide/cgroup-v1/memory.rst. */
class EventFdNotices implements OomNotices {
  readonly #fd: number;
  readonly #events: OomNoticeEvents;
  readonly #readiness: sys.Readiness;
  readonly #value = Buffer.alloc(8);
  #closed = false;

  constructor(cgroup: MemoryCgroup, events: OomNoticeEvents) {
    this.#events = events;
    this.#fd = sys.eventFd(0);
    try {
      register(cgroup, this.#fd);
      this.#readiness = new sys.Readiness(this.#fd, () => this.#onReady());
      this.#readiness.watch(sys.READABLE);
      this.#readiness.unref();
    } catch (error) {
      sys.close(this.#fd);
      throw error;
    }
  }

  take(): number {
    if (this.#closed || sys.read(this.#fd, this.#value, 0, 8) !== 8) return 0;
    const little = endianness() === "LE";
    return Number(little ? this.#value.readBigUInt64LE() : this.#value.readBigUInt64BE());
  }

  /** With the last copy of the counter the kernel's registration goes too. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#readiness.close();
    sys.close(this.#fd);
  }

  #onReady(): void {
    try {
      const notices = this.take();
      if (notices > 0) this.#events.onNotice(notices);
    } catch (error) {
      this.close();
      this.#events.onError(error as Error);
    }
  }
}

function register(cgroup: MemoryCgroup, eventFd: number): void {
  const watched = fs.openSync(oomFile(cgroup), "r");
  try {
    const control = fs.openSync(
      join(cgroup.directory, "cgroup.event_control"),
      fs.constants.O_WRONLY,
    );
    try {
      fs.writeSync(control, `${eventFd} ${watched}`);
    } finally {
      fs.closeSync(control);
    }
  } finally {
    // The kernel knows by now which file was meant.
    fs.closeSync(watched);
  }
}
