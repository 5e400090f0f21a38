/** What V8 has made of our programs at the build: without it each start takes longer, and nobody is told. */
import { existsSync, readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { type Finding, ok, type Patient, warn } from "./check.ts";

/** Those that `dist/code` has the code of; see scripts/bundle.mjs. */
const PROGRAMS = ["conmond", "conmonctl", "host-runtime"];

/** @param version of V8; default: the one that this program runs on */
export function codeCache(
  { installation }: Patient,
  version: string = process.versions.v8,
): Finding {
  const folder = dirname(installation.conmond);
  const late = PROGRAMS.filter((name) => !isUsable(folder, name, version));
  if (late.length === 0) return ok("all programs have been compiled for this version of Node.js");
  return warn(
    `${late.join(", ")}: not compiled for this version of Node.js, so each start takes longer`,
    "run `npm run build` with it",
  );
}

/** Whether a program has been compiled by that V8. One that is missing is told of elsewhere. */
function isUsable(folder: string, name: string, version: string): boolean {
  const program = join(folder, `${name}.cjs`);
  if (!existsSync(program)) return true;
  const text = readFileSync(program, "utf8");
  const [, compiler] = /^\/\/ Compiled by V8 (\S+)$/m.exec(text) ?? [];
  const [, code] = /\/code\/([\w-]+)`/.exec(text) ?? [];
  return compiler === version && existsSync(join(folder, "code", `${code}.cache`));
}
