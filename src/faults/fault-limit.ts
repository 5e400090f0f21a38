/** How long faults of one kind are only counted after one of them has been reported. */
const QUIET_MILLISECONDS = 10_000;

interface Kind {
  reportedAt: number;
  unreported: number;
}

/**
 * Lets the first fault of a kind through and only counts those that follow closely, so that a
 * client that does the same wrong thing ten thousand times does not fill the monitor's own log.
 * The count goes with the next fault that is reported, at the latest when all is over.
 */
export class FaultLimit {
  readonly #report: (error: Error) => void;
  readonly #now: () => number;
  readonly #kinds = new Map<string, Kind>();

  /** `now` gives milliseconds from any fixed point in time on. */
  constructor(report: (error: Error) => void, now: () => number = () => performance.now()) {
    this.#report = report;
    this.#now = now;
  }

  /** Reports or counts a fault; `kind` is one of a few fixed names, fit for "3 more faults: NAME". */
  add(kind: string, error: Error): void {
    const now = this.#now();
    const known = this.#kinds.get(kind);
    if (known !== undefined && now - known.reportedAt < QUIET_MILLISECONDS) {
      known.unreported++;
      return;
    }
    this.#kinds.set(kind, { reportedAt: now, unreported: 0 });
    if (known !== undefined && known.unreported > 0) this.#reportCount(kind, known.unreported);
    this.#report(error);
  }

  /** Reports the counts of what has not been reported, and forgets everything. */
  close(): void {
    for (const [kind, { unreported }] of this.#kinds) {
      if (unreported > 0) this.#reportCount(kind, unreported);
    }
    this.#kinds.clear();
  }

  #reportCount(kind: string, count: number): void {
    this.#report(new Error(`${count} more of the same kind were not reported: ${kind}`));
  }
}
