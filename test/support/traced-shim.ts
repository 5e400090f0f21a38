import { appendFileSync, copyFileSync, existsSync, readFileSync, writeFileSync } from "node:fs";
import { conmondProgram, monitors } from "./programs.ts";
import type { Scratch } from "./scratch.ts";

/** A shim that leaves a trace of every conmond that it starts. */
export interface TracedShim {
  /** To be given as `conmon`. */
  readonly path: string;
  /** The first argument of each conmond that was started: `--private` or `--on-demand`. */
  starts(): string[];
}

/** Installs our shim a second time, with a bundle beside it that writes down how it was started. */
export function makeTracedShim(scratch: Scratch): TracedShim {
  const name = scratch.uniqueName();
  const path = `${scratch.folder(name, "bin")}/conmon`;
  const trace = scratch.path(name, "starts");
  copyFileSync(monitors.ours, path);
  const bundle = `require("node:fs").appendFileSync(${JSON.stringify(trace)}, process.argv[2] + "\\n");
require(${JSON.stringify(conmondProgram)});
`;
  writeFileSync(`${scratch.folder(name, "dist")}/conmond.cjs`, bundle);
  appendFileSync(trace, "");
  const starts = () => (existsSync(trace) ? readFileSync(trace, "utf8") : "").split("\n");
  return { path, starts: () => starts().slice(0, -1) };
}
