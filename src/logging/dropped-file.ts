/**
 * Letting go of files that are deleted.
 *
 * Whoever gives up the last hold on a deleted file frees its blocks, and a log of 64 MiB takes some ten
 * milliseconds then, in which no other session gets on. So that is left to a thread.
 */
import * as fs from "node:fs";

const { O_NOFOLLOW, O_NONBLOCK, O_NOCTTY, O_RDONLY } = fs.constants;

/** A file that waits to be closed still takes its room on the disk: beyond this, speed has to wait. */
const MOST_WAITING = 32;

let waiting = 0;

/**
 * Closes a descriptor, in a thread unless too many wait for that already.
 *
 * @param onError Told when the file system has failed to write what it was given. It must not throw.
 */
export function closeInThread(fd: number, onError: (error: Error) => void): void {
  if (waiting >= MOST_WAITING) {
    try {
      fs.closeSync(fd);
    } catch (error) {
      onError(error as Error);
    }
    return;
  }
  waiting++;
  fs.close(fd, (error) => {
    waiting--;
    if (error) onError(error);
  });
}

/**
 * Runs `remove`, which deletes the file at `path` or puts another in its place.
 *
 * @throws what `remove` throws
 */
export function removeInThread(path: string, remove: () => void): void {
  const fd = hold(path);
  try {
    remove();
  } finally {
    // Nothing was written through this one, so there is nothing that can have failed.
    if (fd !== undefined) closeInThread(fd, () => {});
  }
}

/** What cannot be held is removed all the same, only slower. */
function hold(path: string): number | undefined {
  try {
    return fs.openSync(path, O_RDONLY | O_NOFOLLOW | O_NONBLOCK | O_NOCTTY);
  } catch {
    return undefined;
  }
}

/**
 * Deletes a file, if it is there. `rmSync()` takes a file that may not be deleted for a directory, and says of it that
 * it is none.
 *
 * @throws a system error
 */
export function removeFile(path: string): void {
  try {
    fs.unlinkSync(path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
  }
}
