/**
 * Containers: starting, finding and ending them. It prints nothing and ends no process; `src/conmonctl` is the
 * command line on top of it. See docs/conmonctl.md.
 *
 * @module
 */
export { attachTo } from "./attach.ts";
export type { AttachedContainer, StartedContainer } from "./begin.ts";
export { Connection, type OutputChunk } from "./connection.ts";
export { type Container, type ContainerState, isOver } from "./container.ts";
export { reopenLogs, resizeContainer, resizeTerminal, type TerminalSize } from "./control.ts";
export { ContainerError, type ContainerErrorCode } from "./errors.ts";
export { type ContainerEvent, EVENT_TYPES, type EventType } from "./event-log.ts";
export { type EventOptions, readEvents } from "./events.ts";
export { type ExecOptions, ExecSession, execDetached, execIn } from "./exec.ts";
export { afterExit } from "./exited.ts";
export { editDistance, findContainer, listContainers, type OnFault } from "./find.ts";
export { type ContainerDetails, inspectContainer } from "./inspect.ts";
export { logFileOf } from "./logs.ts";
export type { OciConfig } from "./oci.ts";
export type {
  BeginOptions,
  MountOption,
  ProcessOptions,
  RestartPolicy,
  RunOptions,
} from "./options.ts";
export { findRuntime } from "./programs.ts";
export { attachToRuns } from "./reattach.ts";
export { pruneContainers, removeContainer } from "./remove.ts";
export { create, run } from "./run.ts";
export type { Owner } from "./shims.ts";
export { start } from "./start.ts";
export { STATE_VARIABLE, State, stateDirectory } from "./state.ts";
export { type ContainerStats, watchStats } from "./stats.ts";
export { STOP_TIMEOUT, signalContainer, signalNumber, stopContainer } from "./stop.ts";
export { unlessAborted } from "./times.ts";
export { readUsage, type Usage } from "./usage.ts";
export { waitForEnd } from "./wait.ts";
export { wantEnd } from "./wanted-end.ts";
