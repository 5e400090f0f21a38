/** `create`: a process that waits for `start`. */
import { renameSync, writeFileSync } from "node:fs";
import { resolve } from "node:path";
import type { ProcessId } from "../../processes/stat.ts";
import * as sys from "../../sys/mod.ts";
import type { Call } from "../command.ts";
import { type Config, readConfig } from "../config.ts";
import { type Console, openConsole } from "../console.ts";
import { Failure } from "../failure.ts";
import { openGate } from "../gate.ts";
import { runAllHooks, runHooks } from "../hooks.ts";
import { Launch } from "../launch.ts";
import type { Log } from "../log.ts";
import type { Order } from "../order.ts";
import { givePipes, makeOrder, readListenDescriptors } from "../process-order.ts";
import { type Container, ociState, type Place } from "../store.ts";

/** An annotation of the bundle, or a variable of the environment, with which nothing is said about isolation. */
const QUIET = { annotation: "conmon-ts.host-runtime", variable: "CONMON_TS_HOST_RUNTIME" };

export async function create({ options, args: [id = ""], log, store }: Call): Promise<number> {
  const bundle = resolve(options.text("bundle") ?? ".");
  const config = readConfig(bundle);
  const socket = options.text("console-socket");
  checkTerminal(config.process.terminal, socket);
  const listen = readListenDescriptors(process.env, process.pid);
  const order = makeOrder(config.process, config.userNamespace, listen, true);
  const preserved = (options.count("preserve-fds") ?? 0) + listen.count;

  const place = store.reserve(id);
  let launch: Launch | undefined;
  let container: Container | undefined;
  try {
    const console = socket === undefined ? undefined : openTerminal(socket, order, config);
    launch = launchGated(place, order, preserved, console);
    container = describe(id, bundle, config, launch.setUp());
    place.write(container);
    console?.send();
    runCreateHooks(container);
    writePidFile(options.text("pid-file"), container.pid);
    warnOnce(id, config, log);
    // Nothing may be awaited after this, nor before: see launch.ts.
    launch.release();
    return 0;
  } catch (error) {
    await launch?.abandon();
    place.remove();
    if (container !== undefined) {
      const state = ociState(container, "stopped");
      runAllHooks(config.hooks, "poststop", state, (text) => log.warning(text));
    }
    throw error;
  }
}

function runCreateHooks(container: Container): void {
  const state = ociState(container, "creating");
  runHooks(container.hooks, "prestart", state);
  runHooks(container.hooks, "createRuntime", state);
  runHooks(container.hooks, "createContainer", state);
}

/** @throws Failure for a terminal that nobody would get, and for a socket that would get none */
export function checkTerminal(terminal: boolean, socket: string | undefined): void {
  if (terminal && socket === undefined) {
    throw new Failure(
      "a terminal is asked for, but there is no --console-socket that would get it",
    );
  }
  if (!terminal && socket !== undefined) {
    throw new Failure("there is a --console-socket, but no terminal is asked for");
  }
}

function warnOnce(id: string, { annotations, undone }: Config, log: Log): void {
  const said = [annotations[QUIET.annotation], process.env[QUIET.variable]];
  if (said.includes("quiet")) return;
  const list = undone.length > 0 ? `; ignored: ${undone.join(", ")}` : "";
  log.warning(
    `the host runtime isolates nothing: ${id} runs as a plain process of the host${list}`,
  );
}

function openTerminal(socket: string, order: Order, config: Config): Console {
  return openConsole(socket, { size: config.process.consoleSize, owner: order.ids });
}

function launchGated(
  place: Place,
  order: Order,
  preserved: number,
  console: Console | undefined,
): Launch {
  const gate = openGate(place.directory);
  try {
    const slave = console?.slave;
    if (slave === undefined) givePipes(order);
    const stdio = [slave ?? 0, slave ?? 1, slave ?? 2] as const;
    return Launch.begin(order, { stdio, preserved, gate }, true);
  } finally {
    // Whoever has it open listens: it has to be the process alone.
    sys.close(gate);
  }
}

function describe(id: string, bundle: string, config: Config, process: ProcessId): Container {
  return {
    id,
    ...process,
    bundle,
    rootfs: config.rootfs,
    created: new Date().toISOString(),
    annotations: config.annotations,
    hooks: config.hooks,
    process: config.process,
    userNamespace: config.userNamespace ?? null,
  };
}

/** Writes a pid, in one step, if there is a place for it. */
export function writePidFile(path: string | undefined, pid: number): void {
  if (path === undefined) return;
  const fresh = `${path}.${process.pid}.new`;
  writeFileSync(fresh, String(pid));
  renameSync(fresh, path);
}
