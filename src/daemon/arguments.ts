/** The arguments of a conmond. */

/** conmond's options that can be chosen; it checks them itself. */
export interface DaemonOptions {
  /** What it logs: `error`, `warn`, `info`, `debug` or `trace`. Default: `info`. */
  readonly logLevel?: string;
  /** Seconds without a container after which it ends. Default: never. */
  readonly idleExit?: string | number;
  /** How many containers and execs it takes; others get a conmond of their own. */
  readonly maxSessions?: string | number;
}

/** What a conmond that a shim has started on demand does on its own, in seconds. */
const ON_DEMAND_IDLE_EXIT = "60";

/** Arguments for what was chosen. */
export function daemonArguments({ logLevel, idleExit, maxSessions }: DaemonOptions): string[] {
  return Object.entries({
    "--log-level": logLevel,
    "--idle-exit": idleExit,
    "--max-sessions": maxSessions,
  }).flatMap(([option, value]) => (value === undefined ? [] : [option, String(value)]));
}

/**
 * What the successor of a conmond is started with: the same, but for what is chosen now.
 *
 * @param commandLine of the one that runs, with interpreter and script
 */
export function successorArguments(
  commandLine: readonly string[],
  chosen: DaemonOptions,
): string[] {
  const before = commandLine.slice(2);
  if (before[0] === "--on-demand") {
    return daemonArguments({ idleExit: ON_DEMAND_IDLE_EXIT, ...defined(chosen) });
  }
  const anew = daemonArguments(chosen);
  const kept: string[] = [];
  for (let i = 0; i < before.length; i++) {
    const argument = before[i] ?? "";
    const [name = ""] = argument.split("=");
    if (name === "--replace") continue;
    const width = argument.includes("=") ? 1 : 2;
    if (name !== "--socket" && !anew.includes(name)) kept.push(...before.slice(i, i + width));
    i += width - 1;
  }
  return [...kept, ...anew];
}

function defined(options: DaemonOptions): DaemonOptions {
  return Object.fromEntries(Object.entries(options).filter(([, value]) => value !== undefined));
}
