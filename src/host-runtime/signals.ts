/** The signals that `kill` is given. */
import { parseSignal } from "../processes/signals.ts";
import { Failure } from "./failure.ts";

/**
 * The number of a signal, as {@link parseSignal} reads it.
 *
 * @throws Failure for what is no signal
 */
export function signalNumber(text: string): number {
  const number = parseSignal(text);
  if (number === undefined) throw new Failure(`unknown signal ${JSON.stringify(text)}`);
  return number;
}
