/** Programs get errors of one kind, whatever it was that failed. */
import { ContainerError, reasonOf } from "../containers/errors.ts";
import { LogFault } from "../logging/read/mod.ts";

/** Does work, which may be asynchronous; what it throws is told as a {@link ContainerError}. */
export function attempt<T>(work: () => T): T {
  try {
    const result = work();
    // A promise of the same type as the one that it is made from.
    return result instanceof Promise ? (result.catch(fail) as T) : result;
  } catch (error) {
    return fail(error);
  }
}

/** The same for what comes one by one. */
export async function* attemptEach<T>(
  work: () => AsyncIterable<T>,
): AsyncGenerator<T, void, undefined> {
  try {
    yield* work();
  } catch (error) {
    fail(error);
  }
}

/** The reason of a signal that was aborted, and mistakes of ours, stay what they are. */
function fail(error: unknown): never {
  throw asContainerError(error) ?? error;
}

function asContainerError(cause: unknown): ContainerError | undefined {
  if (!(cause instanceof Error) || cause instanceof ContainerError) return undefined;
  if (cause instanceof LogFault) return new ContainerError("damaged", cause.message, { cause });
  if (cause instanceof RangeError) return new ContainerError("invalid", cause.message, { cause });
  if (!isSystemError(cause)) return undefined;
  return new ContainerError("failed", messageOf(cause), { cause });
}

/** Of Node.js, or of the native addon. */
function isSystemError(error: Error): error is NodeJS.ErrnoException {
  return "code" in error && typeof error.code === "string" && /^E[A-Z0-9]+$/.test(error.code);
}

/** Node.js's own says `CODE: reason, call 'path'`; others have been given a sentence. */
function messageOf(error: NodeJS.ErrnoException): string {
  const { syscall, path, message } = error;
  if (!message.startsWith(`${error.code}: `)) return message;
  return `cannot ${syscall ?? "do that"}${path === undefined ? "" : ` ${path}`}: ${reasonOf(error)}`;
}
