/**
 * `import { run, attach, exec, readLogs, followLogs, events } from "conmon-ts"`: all that conmonctl does, for
 * programs. It prints nothing, ends no process and heeds no signals; containers live on when the program ends.
 *
 * Containers are named as on the command line: by name, ID, or the beginning of an ID. What goes on is an async
 * iterable. What takes time heeds an `AbortSignal`: promises are rejected with its reason, iterables end. All
 * else that fails is a {@link ContainerError}, whose `code` says what it is, `hint` what can be done, and `cause`
 * what was behind it.
 *
 * @example
 * ```ts
 * import { events, readLogs, run } from "conmon-ts";
 *
 * const container = await run({ command: ["sh", "-c", "echo hello; exit 3"], name: "job" });
 * console.log(await container.wait()); // 3
 * for await (const line of readLogs("job")) console.log(line.stream, String(line.text));
 * for await (const event of events({ since: new Date(0) })) console.log(event.type, event.name);
 * ```
 *
 * @module
 */
export {
  type AttachedContainer,
  type BeginOptions,
  Connection,
  type Container,
  type ContainerDetails,
  ContainerError,
  type ContainerErrorCode,
  type ContainerEvent,
  type ContainerState,
  type ContainerStats,
  EVENT_TYPES,
  type EventType,
  type ExecOptions,
  ExecSession,
  type MountOption,
  type OciConfig,
  type OnFault,
  type OutputChunk,
  type Owner,
  type ProcessOptions,
  type RestartPolicy,
  type RunOptions,
  type StartedContainer,
  type TerminalSize,
  type Usage,
} from "../containers/mod.ts";
export type {
  RestartOutcome,
  SocketOption,
  StartOptions,
  StartOutcome,
  StopOutcome,
} from "../daemon/shared.ts";
export type { DaemonStatus } from "../daemon/status.ts";
export type { CheckResult, CheckStatus, Diagnosis } from "../doctor/mod.ts";
export { LogFault, type LogFaultKind, type LogLine } from "../logging/read/mod.ts";
export type { SessionCounters } from "../session/journal-counters.ts";
export type { SetupOutcome } from "../setup/apply.ts";
export type { CrioChoices } from "../setup/crio.ts";
export type { PodmanChoices } from "../setup/podman.ts";
export type { WallClock } from "../sys/mod.ts";
export {
  attach,
  attachToRuns,
  create,
  exec,
  execDetached,
  inspect,
  kill,
  list,
  prune,
  remove,
  reopenLogs,
  resize,
  run,
  start,
  stop,
  wait,
} from "./containers.ts";
export {
  daemonStatus,
  doctor,
  restartDaemon,
  type SetupOptions,
  setupCrio,
  setupPodman,
  startDaemon,
  stopDaemon,
} from "./machine.ts";
export {
  type EventOptions,
  events,
  followLogs,
  type LogOptions,
  readLogs,
  type StatsOptions,
  stats,
} from "./observing.ts";
export type { SignalOption, StateOption } from "./options.ts";
