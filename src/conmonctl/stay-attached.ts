/** A container that was just started, in the foreground until its end. */
import {
  type Connection,
  findContainer,
  resizeTerminal,
  STOP_TIMEOUT,
  type StartedContainer,
  State,
  signalContainer,
  stopContainer,
  wantEnd,
} from "../containers/mod.ts";
import { EXIT, Failure } from "./failure.ts";
import { type ForegroundEnd, inForeground, leave, statusOfSignal } from "./foreground.ts";

/** What the user has asked for. */
export interface StayFlags {
  readonly interactive?: true;
  readonly tty?: true;
  readonly detachKeys: Uint8Array;
}

/** Until it has begun, Ctrl-C takes everything back; a second one does not wait for that. */
export async function interruptible<T>(work: (signal: AbortSignal) => Promise<T>): Promise<T> {
  const interrupted = new AbortController();
  const signals = ["SIGINT", "SIGTERM", "SIGHUP"] as const;
  const handlers = signals.map((signal) => {
    const failure = new Failure("interrupted", { status: statusOfSignal(signal) });
    const handler = (): void => interrupted.abort(failure);
    process.once(signal, handler);
    return [signal, handler] as const;
  });
  try {
    return await work(interrupted.signal);
  } finally {
    for (const [signal, handler] of handlers) process.off(signal, handler);
  }
}

/** Shows a container through all restarts, until there is no other one. Returns its exit status. */
export async function stayAttached(container: StartedContainer, flags: StayFlags): Promise<number> {
  const state = new State();
  let { connection } = container;
  while (connection !== undefined) {
    const end = await attached(state, container, connection, flags);
    if (end !== "ended") {
      return leave(end, container.name, `conmonctl attach ${container.name}`);
    }
    connection = await waitForNext(state, container);
  }
  const status = await container.wait();
  if (status === null) {
    throw new Failure(`nobody knows how container ${container.name} ended`, {
      status: EXIT.notStarted,
      hint: "its monitor was killed, or had no room to write",
    });
  }
  if (status < 0) {
    process.stderr.write(`conmonctl: ${container.name} was killed: its time was up\n`);
  }
  return status & 0xff;
}

async function attached(
  state: State,
  container: StartedContainer,
  connection: Connection,
  flags: StayFlags,
): Promise<ForegroundEnd> {
  const { bundle } = state.container(container.id);
  return await inForeground({
    connection,
    stdin: flags.interactive === true,
    terminal: flags.tty === true,
    detachKeys: flags.detachKeys,
    resize: (size) => resizeTerminal(bundle, size),
    signal: async (signal) => {
      // Who presses Ctrl-C does not want it to be started again.
      if (signal !== "SIGUSR1" && signal !== "SIGUSR2") wantEnd(state, container.id);
      await signalContainer(state, findContainer(state, container.id), signal);
    },
  });
}

/** Between two runs Ctrl-C ends it all. */
async function waitForNext(
  state: State,
  container: StartedContainer,
): Promise<Connection | undefined> {
  const stop = () => {
    stopContainer(state, findContainer(state, container.id), STOP_TIMEOUT).catch((error: Error) => {
      process.stderr.write(`conmonctl: ${error.message}\n`);
    });
  };
  process.on("SIGINT", stop).on("SIGTERM", stop);
  try {
    return await container.nextRun();
  } finally {
    process.off("SIGINT", stop).off("SIGTERM", stop);
  }
}
