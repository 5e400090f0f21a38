/** A log file whose descriptor the shim keeps, and whose marks are in the journal. */
import type { LogKeeper, LogMark } from "../logging/log-keeper.ts";
import type { UntoldLoss } from "../logging/loss-notice.ts";
import type { ShimConnection } from "../shim/connection.ts";
import * as sys from "../sys/mod.ts";
import { DEPOSIT, takeDeposit } from "./deposit.ts";
import { type Journal, LOGS_MAX } from "./journal.ts";

/** For one of a session's log files, by its number. */
export class KeptLog implements LogKeeper {
  readonly inherited: LogKeeper["inherited"];
  readonly #log: number;
  readonly #journal: Journal;
  readonly #connection: ShimConnection;

  private constructor(
    log: number,
    journal: Journal,
    connection: ShimConnection,
    descriptors: Map<number, number>,
  ) {
    this.#log = log;
    this.#journal = journal;
    this.#connection = connection;
    const fd = takeDeposit(descriptors, DEPOSIT.firstLog + log);
    const mark = journal.markOf(log);
    if (fd === undefined) return;
    if (mark !== undefined) this.inherited = { fd, mark, loss: journal.lossOf(log) };
    // Without a mark it tells nothing: the log is opened as for the first time.
    else sys.close(fd);
  }

  /**
   * @param log 0 for the first log file, and so on; undefined is returned for more than there is room
   *   for, and what those lack when conmond is killed is lost
   * @param descriptors those that a hello brought; the log's is taken out of them
   */
  static of(
    log: number,
    journal: Journal,
    connection: ShimConnection,
    descriptors: Map<number, number>,
  ): KeptLog | undefined {
    return log < LOGS_MAX ? new KeptLog(log, journal, connection, descriptors) : undefined;
  }

  keep(fd: number): void {
    this.#connection.keep(DEPOSIT.firstLog + this.#log, fd);
  }

  record(mark: LogMark): void {
    this.#journal.recordMark(this.#log, mark);
  }

  recordLoss(loss: UntoldLoss | undefined): void {
    this.#journal.recordLoss(this.#log, loss);
  }
}
