/** What there is to know about a shared conmond. */
import { ANSWER_MS, askConmond } from "./ask.ts";
import { processFacts, versionOf } from "./process-facts.ts";

/** As `--json` prints it. */
export interface DaemonStatus {
  readonly socket: string;
  /** `hangs`: it listens and does not answer. */
  readonly state: "running" | "hangs" | "stopped";
  readonly pid?: number;
  readonly uid?: number;
  /** How long it took to answer. */
  readonly answerMilliseconds?: number;
  readonly version?: string;
  /** Its files have been replaced since it was started. */
  readonly outdated?: boolean;
  readonly startedAt?: string;
  readonly uptimeSeconds?: number;
  /** Containers and execs. */
  readonly sessions?: number;
  readonly residentBytes?: number;
  readonly privateBytes?: number;
  readonly commandLine?: readonly string[];
  /** The systemd unit, if it is one. */
  readonly unit?: string;
  readonly isUserUnit?: boolean;
}

/** @throws a system error when the socket cannot be connected to */
export async function daemonStatus(
  socket: string,
  milliseconds: number = ANSWER_MS,
): Promise<DaemonStatus> {
  const presence = await askConmond(socket, milliseconds);
  if (presence.kind === "nobody") return { socket, state: "stopped" };
  const { pid, uid } = presence;
  const facts = processFacts(pid);
  const version = facts && (await versionOf(facts));
  return {
    socket,
    state: presence.kind === "answers" ? "running" : "hangs",
    ...(pid > 0 && { pid, uid }),
    ...(presence.kind === "answers" && {
      answerMilliseconds: Math.round(presence.milliseconds * 10) / 10,
    }),
    ...defined({
      version: version?.version,
      outdated: version?.outdated,
      startedAt: facts?.startedAt?.toISOString(),
      uptimeSeconds:
        facts?.startedAt && Math.round((Date.now() - facts.startedAt.getTime()) / 1000),
      sessions: facts?.sessions,
      residentBytes: facts?.residentBytes,
      privateBytes: facts?.privateBytes,
      commandLine: facts?.commandLine,
      unit: facts?.unit,
      isUserUnit: facts?.unit && facts.isUserUnit,
    }),
  };
}

type Defined<T> = { [K in keyof T]?: Exclude<T[K], undefined | ""> };

/** Leaves out what is not known. */
function defined<T extends Record<string, unknown>>(values: T): Defined<T> {
  const known = Object.entries(values).filter(([, value]) => value !== undefined && value !== "");
  return Object.fromEntries(known) as Defined<T>;
}
