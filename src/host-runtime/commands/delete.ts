/** `delete`: forgets a container, and kills what it has left. */
import type { Call } from "../command.ts";
import { Failure } from "../failure.ts";
import { runAllHooks } from "../hooks.ts";
import { findMembers, sendSignal, waitForEnd } from "../processes.ts";
import { signalNumber } from "../signals.ts";
import { type Container, ociState, type Place } from "../store.ts";

/** How long a process may take to end after SIGKILL, in milliseconds. */
const PATIENCE = 10_000;

export async function remove({ options, args: [id = ""], log, store }: Call): Promise<number> {
  const place = store.find(id);
  const container = place?.read();
  if (place === undefined || container === undefined) {
    if (!options.flag("force")) throw new Failure("container does not exist");
    // What is left of a `create` that was killed.
    place?.remove();
    return 0;
  }
  const status = place.status(container);
  if (status === "running" && !options.flag("force")) {
    throw new Failure(`cannot delete container ${id} that is not stopped: ${status}`);
  }
  await end(container, place);
  place.remove();
  const warn = (text: string) => log.warning(text);
  runAllHooks(container.hooks, "poststop", ociState(container, "stopped"), warn);
  return 0;
}

async function end(container: Container, place: Place): Promise<void> {
  const kill = signalNumber("KILL");
  const find = () => findMembers([container, ...place.execs()]);
  // Found before anything dies: whose parent has ended may not be recognized any more.
  let members = find();
  // Its own process first, so that its end is by our signal and not for lack of the others.
  sendSignal(container, kill);
  // Again, for what was forked meanwhile; a number of times that a fork bomb can't extend.
  for (let rounds = 0; rounds < 5 && members.length > 0; rounds++) {
    for (const member of members) sendSignal(member, kill);
    const ends = await Promise.all(members.map((member) => waitForEnd(member, PATIENCE)));
    if (ends.includes(false)) throw new Failure("container init still running");
    members = find();
  }
}
