/** What ends conmonctl with a message for the user. */
import { ContainerError, type ContainerErrorCode } from "../containers/errors.ts";
import { printable } from "./output.ts";

/** Exit statuses of conmonctl itself; a container's own is passed on where there is one. */
export const EXIT = {
  ok: 0,
  /** The command was understood and could not be carried out. */
  failed: 1,
  /** The command line makes no sense. */
  usage: 2,
  /** There is no such container. */
  notFound: 3,
  /** The container or its runtime could not be started (as with `podman run`). */
  notStarted: 125,
  /** The container's command cannot be executed. */
  notExecutable: 126,
  /** The container's command does not exist. */
  commandNotFound: 127,
} as const;

/** The same for people. */
export const EXIT_MEANINGS: readonly (readonly [status: number, meaning: string])[] = [
  [EXIT.ok, "all is well"],
  [EXIT.failed, "the command was understood and could not be carried out"],
  [EXIT.usage, "the command line makes no sense"],
  [EXIT.notFound, "there is no such container, or no conmond"],
  [EXIT.notStarted, "the container, its monitor or its runtime could not be started"],
  [EXIT.notExecutable, "the container's command cannot be executed"],
  [EXIT.commandNotFound, "the container's command does not exist"],
];

/** An error whose message is for the user: one line that names what was tried, on what and why it failed. */
export class Failure extends Error {
  readonly status: number;
  /** What the user can do about it, if we know. */
  readonly hint: string | undefined;

  constructor(
    message: string,
    {
      status = EXIT.failed,
      hint,
      cause,
    }: { status?: number; hint?: string | undefined; cause?: unknown } = {},
  ) {
    super(message, { cause });
    this.name = "Failure";
    this.status = status;
    this.hint = hint;
  }
}

/** What conmonctl ends with after an error of the library. */
export const STATUS_OF: Readonly<Record<ContainerErrorCode, number>> = {
  "not-found": EXIT.notFound,
  conflict: EXIT.failed,
  invalid: EXIT.usage,
  "not-started": EXIT.notStarted,
  "not-executable": EXIT.notExecutable,
  "command-not-found": EXIT.commandNotFound,
  damaged: EXIT.failed,
  failed: EXIT.failed,
};

/**
 * Says what went wrong on stderr: a line, and a line with a hint if there is one. What runtimes and users have written
 * is in there as well, and must not make more of it. Returns the exit status.
 */
export function report(error: unknown): number {
  const message = error instanceof Error ? error.message : String(error);
  process.stderr.write(`conmonctl: ${printable(message)}\n`);
  const isOurs = error instanceof Failure || error instanceof ContainerError;
  if (isOurs && error.hint !== undefined) {
    process.stderr.write(`hint: ${printable(error.hint)}\n`);
  }
  if (process.env.CONMONCTL_DEBUG && error instanceof Error) {
    process.stderr.write(`${error.stack}\n`);
  }
  if (error instanceof ContainerError) return STATUS_OF[error.code];
  return error instanceof Failure ? error.status : EXIT.failed;
}

/** Tells the user of what is no error, but may not be what was meant. */
export function warn(text: string): void {
  process.stderr.write(`conmonctl: warning: ${printable(text)}\n`);
}
