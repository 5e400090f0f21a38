/** The control fifo of a container's monitor. */
import { closeSync, constants, openSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setWindowSize } from "../sys/mod.ts";
import type { Container } from "./container.ts";
import { ContainerError, isCode, reasonOf } from "./errors.ts";

/** The size of a terminal in characters, each 0 to 1000. */
export interface TerminalSize {
  readonly rows: number;
  readonly columns: number;
}

const SIZE_MAX = 1000;

/**
 * Sets the size of a container's terminal.
 *
 * @throws ContainerError if it has none, or does not run
 */
export function resizeContainer(container: Container, size: TerminalSize): void {
  const { name, bundle, terminal } = container;
  if (!terminal) {
    throw new ContainerError("conflict", `container ${name} has no terminal`, {
      hint: "conmonctl run -t gives it one",
    });
  }
  resizeTerminal(bundle, size);
}

/** Has the monitor set the size of the terminal of the container, or process, with that bundle. */
export function resizeTerminal(bundle: string, { rows, columns }: TerminalSize): void {
  for (const size of [rows, columns]) {
    if (Number.isInteger(size) && size >= 0 && size <= SIZE_MAX) continue;
    throw new ContainerError(
      "invalid",
      `a terminal has 0 to ${SIZE_MAX} rows and columns, not ${size}`,
    );
  }
  tell(bundle, `1 ${rows} ${columns}\n`);
}

/**
 * Sets the size of the terminal of a container that has not begun yet. Through its process, since a monitor
 * that has much to do might be later than the container's first look at its terminal.
 */
export function setFirstSize(pid: number, bundle: string, size: TerminalSize): void {
  let fd: number | undefined;
  try {
    fd = openSync(`/proc/${pid}/fd/0`, constants.O_RDWR | constants.O_NOCTTY);
    setWindowSize(fd, size.rows, size.columns);
  } catch {
    // Not every runtime has the terminal in place by now, nor lets us see it.
    resizeTerminal(bundle, size);
  } finally {
    if (fd !== undefined) closeSync(fd);
  }
}

/** Has the monitor begin its log files anew, after somebody has moved them away. */
export function reopenLogs(bundle: string): void {
  tell(bundle, "2 0 0\n");
}

function tell(bundle: string, line: string): void {
  const path = join(bundle, "ctl");
  try {
    // Without a reader this fails at once, instead of waiting for one.
    const fd = openSync(path, constants.O_WRONLY | constants.O_NONBLOCK);
    try {
      writeSync(fd, line);
    } finally {
      closeSync(fd);
    }
  } catch (cause) {
    const gone = isCode(cause, "ENXIO") || isCode(cause, "ENOENT");
    const reason = gone ? "no monitor is there" : reasonOf(cause);
    throw new ContainerError("conflict", `cannot write to ${path}: ${reason}`, { cause });
  }
}
