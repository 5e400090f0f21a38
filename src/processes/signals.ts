/** Signals by name and number, and sending them. */
import { constants } from "node:os";

/** SIGRTMIN as the C library numbers it, and the last signal of all. */
const REAL_TIME = { first: 34, last: 64 };

/**
 * The number of a signal given as number from 0 to 64, or as name with or without SIG, in any case; real-time ones
 * are RTMIN+n and RTMAX-n.
 *
 * @returns undefined for what is no signal
 */
export function parseSignal(text: string): number | undefined {
  if (/^\d{1,2}$/.test(text)) {
    const number = Number(text);
    return number <= REAL_TIME.last ? number : undefined;
  }
  const name = text.toUpperCase().replace(/^(SIG)?/, "SIG");
  const known = Object.entries(constants.signals).find(([key]) => key === name);
  return known?.[1] ?? realTimeNumber(name);
}

function realTimeNumber(name: string): number | undefined {
  const up = /^SIGRTMIN(?:\+(\d{1,2}))?$/.exec(name);
  const down = /^SIGRTMAX(?:-(\d{1,2}))?$/.exec(name);
  if (up === null && down === null) return undefined;
  const number = up
    ? REAL_TIME.first + Number(up[1] ?? 0)
    : REAL_TIME.last - Number(down?.[1] ?? 0);
  return number >= REAL_TIME.first && number <= REAL_TIME.last ? number : undefined;
}

/**
 * Sends a signal to a process, which may have ended: that is no error.
 *
 * @throws EPERM
 */
export function killIfThere(pid: number, signal: number | NodeJS.Signals): void {
  try {
    process.kill(pid, signal);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}
