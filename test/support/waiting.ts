import { existsSync, type FSWatcher, readFileSync, watch } from "node:fs";
import { basename, dirname } from "node:path";

/** How long tests wait for an event before they fail, in milliseconds. */
export const PATIENCE = 20_000;

/**
 * The promise's outcome, if it comes in time.
 *
 * @param what - what is waited for, to complete "waited in vain for ..."
 * @throws Error when the time, in milliseconds, is over
 */
export async function inTime<T>(
  event: Promise<T>,
  what: string | (() => string),
  milliseconds: number = PATIENCE,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_resolve, reject) => {
    timer = setTimeout(() => {
      const missed = typeof what === "string" ? what : what();
      reject(new Error(`waited ${milliseconds} ms in vain for ${missed}`));
    }, milliseconds);
  });
  try {
    return await Promise.race([event, late]);
  } finally {
    clearTimeout(timer);
  }
}

/**
 * What `look` finds, which is asked at once and after every change in the directory.
 *
 * @param look - returns undefined as long as it has to be asked again
 */
export async function watchFor<T>(
  directory: string,
  look: () => T | undefined,
  what: string | (() => string),
  milliseconds: number = PATIENCE,
): Promise<T> {
  let watcher: FSWatcher | undefined;
  const found = new Promise<T>((resolve, reject) => {
    const lookAgain = () => {
      try {
        const result = look();
        if (result !== undefined) resolve(result);
      } catch (error) {
        reject(error);
      }
    };
    // The watch begins before the first look, so that nothing can happen between the two.
    watcher = watch(directory, lookAgain);
    watcher.on("error", reject);
    lookAgain();
  });
  try {
    return await inTime(found, what, milliseconds);
  } finally {
    watcher?.close();
  }
}

/** Resolves when something is at the path. Its directory has to be there already. */
export async function appears(path: string, milliseconds: number = PATIENCE): Promise<void> {
  const look = () => existsSync(path) || undefined;
  await watchFor(dirname(path), look, `${path} to appear`, milliseconds);
}

/** Resolves when nothing is at the path any more. */
export async function disappears(path: string, milliseconds: number = PATIENCE): Promise<void> {
  const look = () => !existsSync(path) || undefined;
  await watchFor(dirname(path), look, `${path} to disappear`, milliseconds);
}

/**
 * The text of a file as soon as it is acceptable; by default, as soon as there is any.
 * Right for files that are written to step by step: pid files, logs.
 */
export async function textOf(
  path: string,
  accept: (text: string) => boolean = (text) => text !== "",
  milliseconds: number = PATIENCE,
): Promise<string> {
  let last = "nothing, for it is not there";
  const look = () => {
    const text = readIfThere(path);
    last = text ?? last;
    return text !== undefined && accept(text) ? text : undefined;
  };
  const what = () => `the right text in ${basename(path)}; it holds ${last.slice(-2000)}`;
  return await watchFor(dirname(path), look, what, milliseconds);
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}
