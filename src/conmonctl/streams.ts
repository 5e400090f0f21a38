/** Our own output, and whether anybody has enough of it. */

/**
 * Writes all of it.
 *
 * @returns undefined if there is room for more; else a promise, which resolves when there is, or when nobody reads it
 */
export function writeTo(stream: NodeJS.WriteStream, data: Uint8Array): Promise<void> | undefined {
  if (stream.write(data) || stream.destroyed) return undefined;
  return new Promise((resolve) => {
    const events = ["drain", "error", "close"] as const;
    const done = (): void => {
      for (const event of events) stream.off(event, done);
      resolve();
    };
    for (const event of events) stream.on(event, done);
  });
}

/** For commands that go on until somebody has enough: who pressed Ctrl-C, or who read our output, as `head` does. */
export function untilEnough(): AbortSignal {
  const enough = new AbortController();
  const abort = (): void => enough.abort();
  process.stdout.on("error", abort);
  process.once("SIGINT", abort).once("SIGTERM", abort);
  return enough.signal;
}
