/** Waiting for what others write into files. */
import { type FSWatcher, watch } from "node:fs";
import { isCode } from "./errors.ts";

/**
 * Why a directory cannot be watched, so that it is only looked at now and then: it is not there, or the kernel's limits
 * of inotify, which all programs of a user share, are used up.
 */
const UNWATCHED = ["ENOENT", "EMFILE", "ENFILE", "ENOSPC", "ENOMEM"];

/** How often it is looked although nothing was told, in milliseconds: a process that is killed changes no file. */
const LOOK_AGAIN = 1000;

/**
 * What `look` finds. It is asked at once, after every change in the directories, and once a second, since
 * some things happen without a change: a monitor that is killed writes nothing.
 *
 * @param look returns undefined as long as it has to be asked again
 * @returns undefined if the signal was aborted first
 */
export function watchFor<T>(
  directories: readonly string[],
  look: () => T | undefined,
  signal?: AbortSignal,
): Promise<T | undefined> {
  return new Promise((resolve, reject) => {
    const watchers: FSWatcher[] = [];
    const timer = setInterval(lookAgain, LOOK_AGAIN);
    const abort = () => finish(() => resolve(undefined));
    signal?.addEventListener("abort", abort, { once: true });
    // Watching begins before the first look, so that nothing can happen between the two.
    try {
      for (const directory of directories) watchOne(directory);
    } catch (error) {
      finish(() => reject(error));
      return;
    }
    if (signal?.aborted) abort();
    else lookAgain();

    function watchOne(directory: string): void {
      try {
        const watcher = watch(directory, lookAgain);
        // A directory that is removed cannot be watched any more; the timer still looks.
        watcher.on("error", lookAgain);
        watchers.push(watcher);
      } catch (error) {
        if (!UNWATCHED.some((code) => isCode(error, code))) throw error;
      }
    }

    function lookAgain(): void {
      try {
        const found = look();
        if (found !== undefined) finish(() => resolve(found));
      } catch (error) {
        finish(() => reject(error));
      }
    }

    function finish(settle: () => void): void {
      clearInterval(timer);
      signal?.removeEventListener("abort", abort);
      for (const watcher of watchers) watcher.close();
      settle();
    }
  });
}
