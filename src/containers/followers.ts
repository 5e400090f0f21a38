/**
 * Who shows all runs of a container, one after the other. A run does not begin before they have attached to it, so
 * that they miss nothing of a short one. Each has a file of its own, named after its process, with the number of
 * the run that it is attached to.
 */
import { mkdirSync, readdirSync, rmSync } from "node:fs";
import { join } from "node:path";
import { isCode } from "./errors.ts";
import { readIfThere, writeWhole } from "./files.ts";
import { isAlive } from "./process-state.ts";
import type { ContainerPaths } from "./state.ts";
import { watchFor } from "./watch.ts";

/** How long a run waits for them, in milliseconds: one that is stopped must not stop the container. */
const PATIENCE = 2000;

/** Says that this process is attached to a run, and wants to be to the next one. */
export function follow(paths: ContainerPaths, run: number): void {
  try {
    mkdirSync(paths.followers, { mode: 0o700, recursive: true });
    writeWhole(fileOf(paths), String(run));
  } catch (error) {
    // The container has just been removed, and with it all that could be followed.
    if (!isCode(error, "ENOENT")) throw error;
  }
}

/** Says that this process has enough: the next run need not wait for it. */
export function unfollow(paths: ContainerPaths): void {
  rmSync(fileOf(paths), { force: true });
}

/** Waits until all who follow the container have attached to a run. Who takes too long is not waited for again. */
export async function untilFollowed(paths: ContainerPaths, run: number): Promise<void> {
  const late = (): string[] => followers(paths).filter((path) => !isAttached(path, run));
  if (late().length === 0) return;
  const isComplete = () => late().length === 0 || undefined;
  await watchFor([paths.followers], isComplete, AbortSignal.timeout(PATIENCE));
  for (const path of late()) rmSync(path, { force: true });
}

function fileOf(paths: ContainerPaths): string {
  return join(paths.followers, String(process.pid));
}

/** The files of those that live. A `.new-` file is about to become one. */
function followers({ followers: directory }: ContainerPaths): string[] {
  return namesIn(directory)
    .filter((name) => /^\d+$/.test(name) && isAlive(Number(name)))
    .map((name) => join(directory, name));
}

function isAttached(path: string, run: number): boolean {
  const text = readIfThere(path);
  return text === undefined || Number(text) >= run;
}

function namesIn(directory: string): string[] {
  try {
    return readdirSync(directory);
  } catch (error) {
    if (isCode(error, "ENOENT")) return [];
    throw error;
  }
}
