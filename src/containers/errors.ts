/**
 * What went wrong, for programs to tell apart.
 * - `not-found`: there is no such container, or more than one
 * - `conflict`: the name is taken, or the container is not in the state for that
 * - `invalid`: what was asked for makes no sense
 * - `not-started`: monitor or runtime could not start it
 * - `not-executable`, `command-not-found`: its command is to blame for that
 * - `damaged`: a log that cannot be read any further, or what is remembered of a container
 * - `failed`: anything else
 */
export type ContainerErrorCode =
  | "not-found"
  | "conflict"
  | "invalid"
  | "not-started"
  | "not-executable"
  | "command-not-found"
  | "damaged"
  | "failed";

/**
 * What is thrown for everything that can go wrong while containers, or the programs that look after them, are
 * dealt with: one line that says what was tried, on what, and why it failed.
 */
export class ContainerError extends Error {
  readonly code: ContainerErrorCode;
  /** What can be done about it, if we know. */
  readonly hint: string | undefined;

  constructor(
    code: ContainerErrorCode,
    message: string,
    options: { readonly hint?: string | undefined; readonly cause?: unknown } = {},
  ) {
    super(message, { cause: options.cause });
    this.name = "ContainerError";
    this.code = code;
    this.hint = options.hint;
  }
}

/** The reason of a failed system call without its arguments, or the message of another error. */
export function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  const found = /^E[A-Z]+: (.*?)(?:, |$)/.exec(error.message);
  return found?.[1] ?? error.message;
}

/** Whether there was no room for what was written. */
export function isDiskFull(error: unknown): boolean {
  return isCode(error, "ENOSPC") || isCode(error, "EDQUOT");
}

/** Whether a system call failed with this error. */
export function isCode(error: unknown, code: string): boolean {
  return error instanceof Error && "code" in error && error.code === code;
}
