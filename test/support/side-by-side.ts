/**
 * Uses of podman that are tried with Debian's conmon and with ours, side by side: what a user sees
 * has to be the same.
 *
 *     describe("podman run", { skip }, () => {
 *       const scenario = sideBySide();
 *       scenario("gives the exit status", {
 *         expected: { status: 3 },
 *         observe: ({ podman }) => podman.run(["run", podman.image, "sh", "-c", "exit 3"]),
 *       });
 *     });
 *
 * With `CONMON_TS_ONLY=debian` in the environment (or `private`, `shared`) only the tests of that
 * monitor are there. For scenarios that ours cannot pass yet, `debian` shows that they are right.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Conmond, startConmond } from "./conmond.ts";
import { hideNames } from "./observations.ts";
import { makePodman, type Podman } from "./podman.ts";
import { openFilesOf, processesWith, waitUntilGone } from "./processes.ts";
import { Scratch } from "./scratch.ts";
import { Trial } from "./trial.ts";

const SIDES = ["debian", "private", "shared"] as const;

/** Debian's conmon; ours with a conmond of its own; ours with a shared conmond. */
type Side = (typeof SIDES)[number];

/** What a scenario found out: nothing but data. */
export type Observation = Readonly<Record<string, unknown>>;

/**
 * Where ours is meant to be better than Debian's conmon. Both values are checked, so that the
 * entry has to go as soon as it is not true any more.
 */
export interface Difference {
  /** Where it is in the observation, as `["log", "mode"]`. */
  readonly at: readonly string[];
  readonly debian: unknown;
  readonly ours: unknown;
  readonly reason: string;
}

/** One use of podman. */
export interface Scenario<T extends Observation> {
  /** Uses podman and returns what a user sees of it; see `hideNames` for what is replaced in it. */
  readonly observe: (trial: Trial) => Promise<T>;
  /**
   * What is known beforehand of the observation with Debian's conmon. Without it two failures
   * of the same kind would pass for a success.
   */
  readonly expected: Partial<T>;
  /** Default: none. */
  readonly differences?: readonly Difference[];
}

/** Declares a scenario: one test for each monitor. */
export type Declare = <T extends Observation>(title: string, scenario: Scenario<T>) => void;

/**
 * To be called in a suite, whose scenarios then share a podman; they must run one after the other.
 *
 * @returns declares a scenario
 */
export function sideBySide(): Declare {
  const stage = new Stage();
  before(() => stage.open());
  after(() => stage.close());
  return (title, scenario) => {
    let debian: Promise<Observation> | undefined;
    /** Made once, by whichever test comes first. */
    const reference = () => {
      debian ??= observeExpected(stage, scenario);
      return debian;
    };
    describe(title, () => {
      for (const side of chosenSides()) {
        it(TITLES[side], async () => {
          const wanted = await reference();
          if (side === "debian") return;
          const seen = await stage.observe(side, scenario.observe);
          assert.deepEqual(seen, improve(wanted, scenario.differences ?? []));
        });
      }
    });
  };
}

const TITLES: Readonly<Record<Side, string>> = {
  debian: "with Debian's conmon: as expected",
  private: "with a private conmond: the same",
  shared: "with a shared conmond: the same",
};

function chosenSides(): readonly Side[] {
  const only = process.env.CONMON_TS_ONLY;
  const chosen = SIDES.filter((side) => only === undefined || side === only);
  if (chosen.length === 0) throw new Error(`CONMON_TS_ONLY=${only}: there is no such monitor`);
  return chosen;
}

async function observeExpected<T extends Observation>(
  stage: Stage,
  { observe, expected }: Scenario<T>,
): Promise<Observation> {
  const seen = await stage.observe("debian", observe);
  assert.deepEqual(partOf(seen, expected), expected, "what is known of Debian's conmon");
  return seen;
}

/** Of an observation what `pattern` speaks of. */
function partOf(observation: Observation, pattern: Observation): Observation {
  return Object.fromEntries(Object.keys(pattern).map((key) => [key, observation[key]]));
}

/** What ours has to show, given what Debian's conmon does. */
function improve(debian: Observation, differences: readonly Difference[]): Observation {
  const wanted = structuredClone(debian);
  for (const { at, ...values } of differences) {
    assert.deepEqual(valueAt(wanted, at), values.debian, `${at.join(".")} with Debian's conmon`);
    replaceAt(wanted, at, values.ours);
  }
  return wanted;
}

function valueAt(observation: Observation, at: readonly string[]): unknown {
  return at.reduce<unknown>((value, key) => Object(value)[key], observation);
}

function replaceAt(observation: Observation, at: readonly string[], value: unknown): void {
  const last = at.at(-1);
  if (last === undefined) throw new Error("a difference needs a place");
  Object(valueAt(observation, at.slice(0, -1)))[last] = value;
}

/** What the scenarios of a suite share: a podman with its image, a shared conmond. */
class Stage {
  readonly #podmans = new Map<Side, Podman>();
  #scratch: Scratch | undefined;
  #conmond: Conmond | undefined;
  /** What conmond has open with no container there. */
  #openFiles: readonly string[] = [];

  async open(): Promise<void> {
    const scratch = new Scratch();
    this.#scratch = scratch;
    const podman = await makePodman(scratch, { conmon: "debian" });
    this.#podmans.set("debian", podman);
    this.#podmans.set("private", podman.with({ conmon: "ours" }));
    this.#conmond = await startConmond(scratch);
    this.#openFiles = openFilesOf(this.#conmond.pid);
    this.#podmans.set("shared", podman.with({ conmon: "ours", conmond: this.#conmond.socket }));
  }

  async close(): Promise<void> {
    await this.#scratch?.close();
  }

  /** Runs a scenario once, removes its containers and checks that nothing is left of them. */
  async observe(side: Side, look: (trial: Trial) => Promise<Observation>): Promise<Observation> {
    const podman = this.#podmans.get(side);
    if (podman === undefined || this.#scratch === undefined) throw new Error("not open");
    const trial = new Trial(this.#scratch, podman);
    // One after the other; what goes wrong in the second must not hide what did in the first.
    const [seen] = await Promise.allSettled([look(trial)]);
    const [tidied] = await Promise.allSettled([this.#tidy(trial)]);
    const faults = [seen, tidied].flatMap((part) =>
      part.status === "rejected" ? [part.reason] : [],
    );
    if (faults.length > 1) throw new AggregateError(faults, faults.map(String).join("\n"));
    if (seen.status === "rejected" || tidied.status === "rejected") throw faults[0];
    return hideNames(seen.value, trial);
  }

  async #tidy(trial: Trial): Promise<void> {
    await trial.close();
    await this.#checkNothingLeft(trial);
  }

  async #checkNothingLeft({ scratch, podman }: Trial): Promise<void> {
    const conmond = this.#conmond?.pid ?? 0;
    const find = () => [
      ...processesWith(scratch.id)
        .filter(({ pid }) => pid !== conmond)
        .map(({ pid, command }) => `process ${pid}: ${command}`),
      ...podman.remains(),
      ...without(openFilesOf(conmond), this.#openFiles).map((file) => `open in conmond: ${file}`),
    ];
    assert.deepEqual(await waitUntilGone(find), [], "what is left of the removed containers");
  }
}

/** The items but for one of each that is to be left out. */
function without(items: readonly string[], leftOut: readonly string[]): string[] {
  const rest = [...leftOut];
  return items.filter((item) => {
    const index = rest.indexOf(item);
    if (index >= 0) rest.splice(index, 1);
    return index < 0;
  });
}
