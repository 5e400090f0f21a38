import { isSystemError } from "../sys/mod.ts";

/** What stands before the reason where the caller reads it: from the command line's own faults, or from all later ones. */
export type ErrorPrefix = "conmon: " | "[conmon:e]: ";

/** The settings of a {@link ConmonError}. */
export interface ConmonErrorSettings {
  /** Default `"[conmon:e]: "`. */
  prefix?: ErrorPrefix;
  /** The error underneath, if there is one. */
  cause?: unknown;
}

/**
 * A fault that ends a session before its container runs. `message` is the line that the caller sees
 * on its stderr, without the newline; the process that the caller started leaves with `status`.
 *
 * @example
 * throw new ConmonError("Runtime path not provided. Use --runtime");
 * // the caller reads: [conmon:e]: Runtime path not provided. Use --runtime
 */
export class ConmonError extends Error {
  override readonly name = "ConmonError";
  /** The message without its prefix, as the system log wants it. */
  readonly reason: string;
  /** The exit status for the caller; always 1, as conmon has it. */
  readonly status = 1;

  constructor(reason: string, { prefix = "[conmon:e]: ", cause }: ConmonErrorSettings = {}) {
    super(prefix + reason, cause === undefined ? undefined : { cause });
    this.reason = reason;
  }
}

/** Whether an error, or one that it goes back to, says that this process or the machine has no descriptor left. */
export function isOutOfDescriptors(error: unknown): boolean {
  for (let cause: unknown = error; cause instanceof Error; cause = cause.cause) {
    if (isSystemError(cause, "EMFILE") || isSystemError(cause, "ENFILE")) return true;
  }
  return false;
}
