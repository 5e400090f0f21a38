import { addon } from "./addon.ts";

/** The size of a terminal in characters, each 0 to 65535. */
export interface WindowSize {
  readonly rows: number;
  readonly columns: number;
}

/** Terminals, by their master or their slave. All throw a {@link SystemError}: ENOTTY for others. */
export interface TerminalCalls {
  /** Makes a terminal (a pty): its master, its slave. Both in blocking mode and close-on-exec. */
  openTerminal(): [master: number, slave: number];

  /** The size of the terminal. */
  getWindowSize(fd: number): WindowSize;

  /** Sets the size; the foreground process group gets a SIGWINCH if it changed. */
  setWindowSize(fd: number, rows: number, columns: number): void;

  /** Has a newline come out as carriage return and newline (ONLCR, with OPOST). */
  setOutputNewlineTranslation(fd: number): void;

  /** Has output come out as it is written (no OPOST): what another terminal has processed already. */
  stopOutputProcessing(fd: number): void;
}

export const {
  openTerminal,
  getWindowSize,
  setWindowSize,
  setOutputNewlineTranslation,
  stopOutputProcessing,
}: TerminalCalls = addon;

/** Whether a descriptor is a terminal's. `node:tty` would say it too, and bring all of Node.js's streams along. */
export function isTerminal(fd: number): boolean {
  try {
    getWindowSize(fd);
    return true;
  } catch {
    return false;
  }
}
