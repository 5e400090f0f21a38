/** What ends the runtime with a message for its caller. */

/** An error whose message is for the caller. Where runc has a text for the fault, it is that text: callers look for it. */
export class Failure extends Error {
  /** The exit status. */
  readonly status: number;

  constructor(message: string, { status = 1, cause }: { status?: number; cause?: unknown } = {}) {
    super(message, { cause });
    this.name = "Failure";
    this.status = status;
  }
}

/** The message of whatever was caught. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
