/** A system call's error under a sentence that says what was being done, and on what. */
export function failure(what: string, cause: unknown): Error {
  const reason = cause instanceof Error ? cause.message : String(cause);
  return new Error(`${what}: ${reason}`, { cause });
}
