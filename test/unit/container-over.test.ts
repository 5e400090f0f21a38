/** When a container is over for good. */
import assert from "node:assert/strict";
import { mkdirSync } from "node:fs";
import { describe, it } from "node:test";
import { type Container, isOver } from "../../src/containers/container.ts";
import { afterRun, FIRST_RUN, writeRuns } from "../../src/containers/runs.ts";
import { State } from "../../src/containers/state.ts";
import { makeScratch } from "../support/scratch.ts";

const started = new Date(Date.now() - 1000).toISOString();

describe("a container whose process was seen to have ended, and its monitor to be at work", () => {
  for (const [what, most, expected] of [
    ["is not over when it was decided to start it again meanwhile", 1, false],
    ["is over when it was decided not to", 0, true],
  ] as const) {
    it(what, (t) => {
      const state = new State(makeScratch(t).path("state"));
      const paths = state.container("id");
      mkdirSync(paths.directory, { recursive: true });
      const runs = { ...FIRST_RUN, started };
      // What was seen: nothing had been decided then.
      const seen = { id: "id", state: "exited", monitorPid: process.pid } as Container;
      writeRuns(paths, runs);
      assert.equal(isOver(state, seen), false);
      const end = { status: 1, at: new Date(), wanted: false };
      writeRuns(paths, afterRun(runs, { when: "on-failure", most }, end));
      assert.equal(isOver(state, seen), expected);
    });
  }
});
