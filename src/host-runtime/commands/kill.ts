/** `kill`: a signal for the container's process, or for all that belongs to it. */
import type { Call } from "../command.ts";
import { Failure } from "../failure.ts";
import { findMembers, sendSignal } from "../processes.ts";
import { signalNumber } from "../signals.ts";

export function kill({ options, args: [id = "", signal = "TERM"], store }: Call): number {
  const number = signalNumber(signal);
  const { container, place } = store.load(id);
  if (options.flag("all")) {
    // Those that have ended meanwhile need no signal any more.
    for (const member of findMembers([container, ...place.execs()])) sendSignal(member, number);
    return 0;
  }
  if (!sendSignal(container, number)) throw new Failure("container not running");
  return 0;
}
