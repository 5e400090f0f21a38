/**
 * The way back from a log to what the container wrote: files → blocks → records → lines.
 * {@link readLogs} reads what is there, {@link followLogs} goes on with what comes.
 *
 * @module
 */
export { followLogBatches, followLogs } from "./follow-logs.ts";
export { DEFAULT_MAX_LINE, LogFault, type LogFaultKind, type LogLine } from "./log-line.ts";
export { readLogBatches, readLogs } from "./read-logs.ts";
export type { FollowOptions, ReadOptions } from "./read-options.ts";
export type { Selection } from "./selection.ts";
export { parseTimeArgument } from "./time-argument.ts";
