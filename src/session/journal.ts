/**
 * The milestones of a session, kept by the shim.
 *
 * A few bytes in a memory file that is deposited with the shim: the conmond that
 * takes over reads from it what the one before it has already done, so that nothing
 * is reported twice. Writing a byte there survives a killed conmond at once.
 */
import { fstatSync, readSync, writeSync } from "node:fs";
import * as sys from "../sys/mod.ts";

/** Things that must happen once, whoever does them; the order here is their place in the file. */
export const MILESTONES = ["start-reported", "exit-recorded", "exit-reported"] as const;

export type Milestone = (typeof MILESTONES)[number];

/** Owns the memory file. */
export class Journal {
  readonly fd: number;
  readonly #reached: Set<Milestone>;

  private constructor(fd: number, reached: Set<Milestone>) {
    this.fd = fd;
    this.#reached = reached;
  }

  static create(): Journal {
    return new Journal(sys.memoryFile("conmon-journal"), new Set());
  }

  /** Takes over the file of the conmond before. */
  static adopt(fd: number): Journal {
    const bytes = Buffer.alloc(MILESTONES.length);
    if (fstatSync(fd).size > 0) readSync(fd, bytes, 0, bytes.length, 0);
    return new Journal(fd, new Set(MILESTONES.filter((_, index) => bytes[index] === 1)));
  }

  has(milestone: Milestone): boolean {
    return this.#reached.has(milestone);
  }

  reach(milestone: Milestone): void {
    this.#reached.add(milestone);
    writeSync(this.fd, Buffer.of(1), 0, 1, MILESTONES.indexOf(milestone));
  }

  close(): void {
    sys.close(this.fd);
  }
}
