import fs from "node:fs";
import { syncBuiltinESMExports } from "node:module";
import type { TestContext } from "node:test";

/** A system call of the reader's, and whether something happens just before or just after it. */
export type Moment = "before openSync" | "after readdirSync";

/**
 * Does one step after the other at such moments, each once: what another process could do there. Calls that
 * a step makes itself are not counted, nor those for which `concerns` is false.
 *
 * @returns how many steps have not been done yet
 */
export function meanwhile(
  test: TestContext,
  moment: Moment,
  concerns: (path: string) => boolean,
  steps: (() => void)[],
): () => number {
  const [when, name] = moment.split(" ") as ["before", "openSync"] | ["after", "readdirSync"];
  const real = fs[name] as (...args: unknown[]) => unknown;
  let isInStep = false;
  const step = (path: unknown) => {
    if (isInStep || !concerns(String(path))) return;
    isInStep = true;
    steps.shift()?.();
    isInStep = false;
  };
  const replacement = (...args: unknown[]) => {
    if (when === "before") step(args[0]);
    const result = real(...args);
    if (when === "after") step(args[0]);
    return result;
  };
  const mocked = test.mock.method(fs, name, replacement as never);
  syncBuiltinESMExports();
  test.after(() => {
    mocked.mock.restore();
    syncBuiltinESMExports();
  });
  return () => steps.length;
}
