/** `exec`: another process with what the container's own has. */
import { constants } from "node:os";
import { isatty } from "node:tty";
import type { Call } from "../command.ts";
import { type Console, openConsole } from "../console.ts";
import { execProcess } from "../exec-process.ts";
import { Failure } from "../failure.ts";
import { Launch } from "../launch.ts";
import type { Order } from "../order.ts";
import { givePipes, makeOrder, readListenDescriptors } from "../process-order.ts";
import type { ProcessSpec } from "../process-spec.ts";
import { checkTerminal, writePidFile } from "./create.ts";

/** Signals mean the process and not us, who only wait for it. */
const TERMINAL_SIGNALS = ["SIGHUP", "SIGINT", "SIGQUIT"] as const;
const OTHER_SIGNALS = ["SIGTERM", "SIGUSR1", "SIGUSR2"] as const;

export async function exec({ options, args: [id = "", ...command], store }: Call): Promise<number> {
  const { container, place } = store.load(id);
  if (place.status(container) === "stopped") {
    throw new Failure("cannot exec in a stopped container");
  }
  const spec = execProcess(options, container.process, command);
  const detached = options.flag("detach");
  const socket = options.text("console-socket");
  const shared = !detached && spec.terminal && socket === undefined;
  // Without isolation, the caller's own terminal does as well as another one in its place would.
  if (!shared) checkTerminal(spec.terminal, socket);
  else if (!isatty(0)) throw new Failure("a terminal was asked for, but stdin is none");

  const listen = readListenDescriptors(process.env, process.pid);
  const order = makeOrder(spec, container.userNamespace ?? undefined, listen, false);
  const preserved = (options.count("preserve-fds") ?? 0) + listen.count;
  const console = socket === undefined ? undefined : openTerminal(socket, order, spec);
  const launch = launchProcess(order, preserved, console, shared);
  try {
    const processId = launch.setUp();
    place.addExec(processId);
    console?.send();
    writePidFile(options.text("pid-file"), processId.pid);
    // Before it begins, since whoever sees it run may signal us.
    if (!detached) forwardSignals(launch, shared);
    // Nothing may be awaited before we leave, see launch.ts; unless it is us who wait for the end.
    launch.release();
  } catch (error) {
    await launch.abandon();
    throw error;
  }
  return detached ? 0 : await statusOf(launch);
}

function openTerminal(socket: string, order: Order, spec: ProcessSpec): Console {
  return openConsole(socket, { size: spec.consoleSize, owner: order.ids });
}

/** @param shared without isolation, the caller's own terminal does as well as another one in its place would */
function launchProcess(
  order: Order,
  preserved: number,
  console: Console | undefined,
  shared: boolean,
): Launch {
  const slave = console?.slave;
  if (slave === undefined) givePipes(order);
  const stdio = [slave ?? 0, slave ?? 1, slave ?? 2] as const;
  const terminal = order.terminal && !shared;
  return Launch.begin({ ...order, terminal }, { stdio, preserved, gate: undefined }, !shared);
}

/**
 * Hands signals on.
 *
 * @param shared at our terminal: the process gets the terminal's signals by itself
 */
function forwardSignals(launch: Launch, shared: boolean): void {
  for (const signal of [...TERMINAL_SIGNALS, ...OTHER_SIGNALS]) {
    const forward = !shared || !(TERMINAL_SIGNALS as readonly string[]).includes(signal);
    process.on(signal, () => forward && launch.signal(signal));
  }
}

/** Resolves to the exit status, 128 and more for a signal's. */
async function statusOf(launch: Launch): Promise<number> {
  const { status, signal } = await launch.ended();
  return status ?? 128 + (signal === null ? 0 : constants.signals[signal]);
}
