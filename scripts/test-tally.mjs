/**
 * Counts the outcome of tests from the events of `node --test`.
 *
 * What counts is the leaf: a test without subtests. A suite, or a test that has subtests, counts
 * only if it failed by itself. A file counts if it crashed, ran out of time or holds no test: so
 * nothing that went wrong is left out of the sum.
 */
export class Tally {
  passed = 0;
  failed = 0;
  skipped = 0;
  #files = new Map();

  /**
   * Takes an event as scripts/test-events.mjs writes it.
   *
   * @returns what to report: an outcome ("passed", "failed", "skipped") and a reason where there
   *   is one; undefined for an event that says nothing about a leaf
   */
  take(event) {
    if (event.type === "test:enqueue" && !event.isFile) this.#stateOf(event).open++;
    if (event.type !== "test:pass" && event.type !== "test:fail") return undefined;
    const outcome = event.isFile ? this.#fileOutcome(event) : this.#testOutcome(event);
    if (outcome !== undefined) this[outcome.kind]++;
    return outcome;
  }

  /**
   * Ends a run of files: tests that were announced and never heard of again, as when a test left
   * the process, count as failed.
   *
   * @returns how many these were
   */
  endRun() {
    let lost = 0;
    for (const state of this.#files.values()) if (!state.failed) lost += Math.max(0, state.open);
    this.#files.clear();
    this.failed += lost;
    return lost;
  }

  #stateOf(event) {
    const known = this.#files.get(event.file);
    if (known !== undefined) return known;
    const fresh = { open: 0, failed: false, hadTests: false, parentLevels: new Set() };
    this.#files.set(event.file, fresh);
    return fresh;
  }

  #testOutcome(event) {
    const state = this.#stateOf(event);
    state.open--;
    state.hadTests = true;
    // Subtests are reported before the test that they belong to.
    const isParent = state.parentLevels.delete(event.nesting + 1) || event.isSuite;
    state.parentLevels.add(event.nesting);
    if (isSet(event.skip)) return { kind: "skipped", reason: textOf(event.skip) };
    if (isSet(event.todo)) return { kind: "skipped", reason: `to do ${textOf(event.todo)}` };
    const ownFailure = event.type === "test:fail" && event.failureType !== "subtestsFailed";
    if (ownFailure) return { kind: "failed", reason: event.error };
    return isParent || event.type === "test:fail" ? undefined : { kind: "passed" };
  }

  #fileOutcome(event) {
    const state = this.#stateOf(event);
    if (event.type === "test:fail") {
      if (event.failureType === "subtestsFailed") return undefined;
      state.failed = true;
      return { kind: "failed", reason: event.error };
    }
    if (state.hadTests) return undefined;
    state.failed = true;
    return { kind: "failed", reason: "the file ended without having reported a test" };
  }
}

function isSet(mark) {
  return mark !== undefined && mark !== null && mark !== false;
}

function textOf(mark) {
  return typeof mark === "string" ? mark : "";
}
