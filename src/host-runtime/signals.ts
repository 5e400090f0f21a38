/** Signals by name and number. */
import { constants } from "node:os";
import { Failure } from "./failure.ts";

/** SIGRTMIN as the C library numbers it, and the last one. */
const REAL_TIME = { first: 34, last: 64 };

/**
 * The number of a signal given as number, or as name with or without SIG, in any case.
 *
 * @throws Failure for what is no signal
 */
export function signalNumber(text: string): number {
  if (/^\d{1,2}$/.test(text)) {
    const number = Number(text);
    if (number <= REAL_TIME.last) return number;
  }
  const name = text.toUpperCase().replace(/^(SIG)?/, "SIG");
  const known = (constants.signals as Record<string, number>)[name];
  const number = known ?? realTimeNumber(name);
  if (number === undefined) throw new Failure(`unknown signal ${JSON.stringify(text)}`);
  return number;
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
