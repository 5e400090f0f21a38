/**
 * A failed system call, as every function of this folder throws it. The message reads
 * `bind: EACCES: Permission denied: /run/attach`.
 */
export interface SystemError extends Error {
  /** The error's name, such as `"EACCES"`. */
  readonly code: string;
  /** The error's number, positive, as in errno(3). */
  readonly errno: number;
  /** The call that failed, such as `"bind"`; for an ioctl or fcntl its request, such as `"TIOCSWINSZ"`. */
  readonly syscall: string;
  /** The path that the call was about, if it was about one. */
  readonly path?: string;
}

/**
 * Tells whether something caught is a failed system call, of Node.js's or ours, and, if `code` is
 * given, whether it failed with that error.
 *
 * @example `catch (error) { if (!isSystemError(error, "ENOENT")) throw error; }`
 */
export function isSystemError(error: unknown, code?: string): error is SystemError {
  return (
    error instanceof Error &&
    "syscall" in error &&
    "code" in error &&
    typeof error.code === "string" &&
    (code === undefined || error.code === code)
  );
}
