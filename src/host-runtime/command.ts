/** What a command is, and what it works with. */
import type { OptionSpec, Options } from "./command-line.ts";
import type { Log } from "./log.ts";
import type { Store } from "./store.ts";

/** What a command gets. */
export interface Call {
  readonly options: Options;
  /** What comes after the options; there are as many as the command wants. */
  readonly args: readonly string[];
  readonly log: Log;
  readonly store: Store;
}

/** Carries a command out. Returns the exit status. */
export type Action = (call: Call) => number | Promise<number>;

export interface Command {
  readonly name: string;
  /** What follows the options. */
  readonly usage: string;
  readonly about: string;
  readonly options: readonly OptionSpec[];
  /** How many arguments there must be. */
  readonly arguments: { readonly least: number; readonly most: number };
  /** The exit status of a failure; default 1. */
  readonly failureStatus?: number;
  /** How the reason for a failure begins; default: as it is. */
  readonly failurePrefix?: string;
  /** Each command is loaded only when it is wanted. */
  readonly load: () => Promise<Action>;
}
