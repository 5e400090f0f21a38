/**
 * What a session must not forget, kept by the shim.
 *
 * A memory file that is deposited with the shim: the conmond that takes over reads from it what the
 * one before it has already done, so that nothing is reported twice. What is written there survives a
 * killed conmond at once.
 *
 * One byte for each milestone from the beginning, from byte 16 on the deadline (a double, 0: none), from
 * byte 24 on the console socket's path up to the end.
 */
import { fstatSync, readSync, writeSync } from "node:fs";
import * as sys from "../sys/mod.ts";

/** Things that must happen once, whoever does them; the order here is their place in the file. */
export const MILESTONES = ["timed-out", "exit-recorded"] as const;

export type Milestone = (typeof MILESTONES)[number];

const DEADLINE_AT = 16;
const CONSOLE_PATH_AT = 24;

/** Owns the memory file. */
export class Journal {
  readonly fd: number;
  readonly #reached = new Set<Milestone>();
  #deadline: number | undefined;
  #consolePath = "";

  private constructor(fd: number) {
    this.fd = fd;
  }

  static create(): Journal {
    return new Journal(sys.memoryFile("conmon-journal"));
  }

  /** Takes over the file of the conmond before. */
  static adopt(fd: number): Journal {
    const journal = new Journal(fd);
    const bytes = Buffer.alloc(Math.max(CONSOLE_PATH_AT, fstatSync(fd).size));
    readSync(fd, bytes, 0, bytes.length, 0);
    MILESTONES.forEach((milestone, index) => {
      if (bytes[index] === 1) journal.#reached.add(milestone);
    });
    journal.#deadline = bytes.readDoubleLE(DEADLINE_AT) || undefined;
    journal.#consolePath = bytes.toString("utf8", CONSOLE_PATH_AT);
    return journal;
  }

  has(milestone: Milestone): boolean {
    return this.#reached.has(milestone);
  }

  reach(milestone: Milestone): void {
    this.#reached.add(milestone);
    writeSync(this.fd, Buffer.of(1), 0, 1, MILESTONES.indexOf(milestone));
  }

  /** When the container's time is up, in seconds of the machine's monotonic clock. */
  get deadline(): number | undefined {
    return this.#deadline;
  }

  set deadline(seconds: number) {
    this.#deadline = seconds;
    const bytes = Buffer.alloc(8);
    bytes.writeDoubleLE(seconds);
    writeSync(this.fd, bytes, 0, bytes.length, DEADLINE_AT);
  }

  /** Where the runtime is to send the terminal; empty when there is none. */
  get consolePath(): string {
    return this.#consolePath;
  }

  set consolePath(path: string) {
    this.#consolePath = path;
    writeSync(this.fd, path, CONSOLE_PATH_AT, "utf8");
  }

  close(): void {
    sys.close(this.fd);
  }
}
