import { readFileSync, writeFileSync } from "node:fs";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { type Bundle, makeBundle } from "./bundle.ts";
import { type ConmonOptions, type ConmonRun, startConmon } from "./conmon.ts";
import type { Scratch } from "./scratch.ts";
import { behaviours, makeStandInRuntime } from "./stand-in-runtime.ts";
import { inTime, textOf } from "./waiting.ts";

/**
 * A container that counts as long as it runs: its log says how far it has come, and so whether
 * anything holds it up. Progress is measured by counting, never by time.
 */
export class CountingContainer {
  readonly run: ConmonRun;
  readonly bundle: Bundle;

  /** Starts it; `created()` of the run tells when it is there. */
  constructor(scratch: Scratch, options: ConmonOptions = {}) {
    this.bundle = options.bundle ?? makeBundle(scratch, { args: ["true"] });
    const count = `n=0; while [[ ! -e ${this.#end} ]]; do echo $((n++)); sleep 0.01; done; exit 7`;
    this.run = startConmon(scratch, {
      bundle: this.bundle,
      runtime: makeStandInRuntime(scratch, behaviours.runs(count)).path,
      apiVersion: 1,
      ...options,
      arguments: ["--full-attach", ...(options.arguments ?? [])],
    });
  }

  get #end(): string {
    return `${this.bundle.directory}/end`;
  }

  /** Resolves when it has logged so many numbers more than it has now. */
  async countsOn(numbers = 20): Promise<void> {
    const from = this.count();
    const path = this.run.paths.log;
    await textOf(path, () => this.count() >= from + numbers);
  }

  /** How many numbers are in its log. */
  count(): number {
    return this.#lines().length;
  }

  /** Ends it; its log must hold all numbers in order, once. */
  async end(): Promise<void> {
    writeFileSync(this.#end, "");
    const status = await this.run.exitStatus();
    if (status !== 7) throw new Error(`the container ended with ${status}`);
    await inTime(this.run.ended(), "the monitor's end");
    this.#lines().forEach((line, n) => {
      if (line !== String(n)) throw new Error(`line ${n} of the log is ${line}`);
    });
  }

  #lines(): string[] {
    try {
      const log = readFileSync(this.run.paths.log);
      return readOutput(log, "stdout").toString("latin1").split("\n").slice(0, -1);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw error;
    }
  }
}
