/** How a log file survives the process that writes it. */
import type { UntoldLoss } from "./loss-notice.ts";

/**
 * Where a log was when a piece of output began to be logged, or how far it has come within it. Written
 * before anything else changes, it tells a successor what is in the log already.
 */
export interface LogMark {
  /** The file's inode number: which of several files it was, when one was renamed. */
  readonly inode: bigint;
  /** The file's size, in bytes. */
  readonly size: number;
  /** Bytes of the piece of output that are in the log before that. */
  readonly done: number;
  /** A fresh file is about to take the place of this one. */
  readonly renewing: boolean;
  /** Bytes that may still be logged in the whole run; Infinity where there is no limit. */
  readonly allowance: number;
  /** The newest record of stderr in the log is a piece of a line. */
  readonly stderrOpen: boolean;
}

/** Keeps for one log file what a successor needs; whoever implements it outlives the process. */
export interface LogKeeper {
  /** What the process before has left: its descriptor and what it recorded last. */
  readonly inherited:
    | {
        readonly fd: number;
        readonly mark: LogMark;
        /** What was lost when the mark was made. */
        readonly loss?: UntoldLoss | undefined;
      }
    | undefined;
  /** Deposits a copy of the descriptor that is written to from now on. */
  keep(fd: number): void;
  /** Records. To be durable against the process's death, not against the machine's. */
  record(mark: LogMark): void;
  /** Records what is lost and not in the log as a notice; undefined: nothing. */
  recordLoss(loss: UntoldLoss | undefined): void;
}
