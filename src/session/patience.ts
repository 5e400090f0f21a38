/** Waiting for what others do, but not for ever. */

/** Resolves when `done` does, or after so many milliseconds. What `done` rejects with is passed on. */
export async function within(done: Promise<unknown>, milliseconds: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<void>((resolve) => {
    timer = setTimeout(resolve, milliseconds);
  });
  try {
    await Promise.race([done, late]);
  } finally {
    clearTimeout(timer);
  }
}
