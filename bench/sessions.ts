/**
 * What sessions cost: Debian's conmon and ours in turn, with a stand-in runtime that does next to nothing.
 *
 *     npm run bench:sessions [-- --rounds=10 --starts=100 --idle=100,1000]
 *
 * Prints how long a session takes to start and to end, and how much memory idle ones take: medians over the
 * rounds, and their ratios. Every exit status and every log is compared. Times tell something on a quiet machine
 * only; where others are at work, put `chrt -f 10` before it.
 */
import { parseArgs } from "node:util";
import { startConmond } from "../test/support/conmond.ts";
import { Scratch } from "../test/support/scratch.ts";
import {
  runSeries,
  type Series,
  type SeriesOptions,
  type SessionTimes,
} from "../test/support/session-series.ts";
import { median, table } from "./figures.ts";
import { type Memory, memoryOf } from "./processes.ts";

/** Debian's conmon; ours with a shared conmond; ours with a private one for each session. */
type Side = "conmon" | "shared" | "private";

const SIDES: readonly Side[] = ["conmon", "shared", "private"];

/** A private conmond takes about as long as so many sessions of the others. */
const PRIVATE_SHARE = 10;

/** Sessions before those that are measured: conmond's code is compiled when it has run a while. */
const WARM_UP = 300;

const { values } = parseArgs({
  options: {
    rounds: { type: "string", default: "10" },
    starts: { type: "string", default: "100" },
    idle: { type: "string", default: "100,1000" },
  },
});
const rounds = Number(values.rounds);
/** It hardly differs from round to round. */
const memoryRounds = Math.min(3, rounds);
const starts = Number(values.starts);
const idleCounts = values.idle.split(",").filter(Boolean).map(Number);

// Where nothing is slowed down by a disk; Podman has its bundles on such a file system as well.
process.env.TMPDIR = "/dev/shm";

const scratch = new Scratch();

function monitorOf(side: Side, conmond: string): Pick<SeriesOptions, "conmon" | "conmond"> {
  if (side === "conmon") return { conmon: "debian" };
  return { conmon: "ours", conmond: side === "shared" ? conmond : "" };
}

// ---- time ----

type Span = "left" | "told" | "reported" | "ended";

interface Timing {
  readonly title: string;
  readonly kind: NonNullable<SeriesOptions["kind"]>;
  readonly span: Span;
  /** Of conmon's median, at most. */
  readonly aim: number | undefined;
}

const timings: readonly Timing[] = [
  { title: "container: first process ends", kind: "create", span: "left", aim: 1 },
  { title: "container: pid on the sync pipe", kind: "create", span: "told", aim: undefined },
  { title: "container: exit file written", kind: "create", span: "reported", aim: 1 },
  { title: "container: monitor gone", kind: "create", span: "ended", aim: undefined },
  { title: "exec: pid on the sync pipe", kind: "exec", span: "told", aim: 1 },
  { title: "exec: exit file written", kind: "exec", span: "reported", aim: undefined },
  { title: "exec, attached: pid on the sync pipe", kind: "exec-attach", span: "told", aim: 1 },
];

/** The medians of the rounds, by side and kind. */
type Medians = Map<string, Record<Span, number>[]>;

async function measureTimes(conmond: string): Promise<Medians> {
  const medians: Medians = new Map();
  for (let round = 0; round < rounds; round++) {
    for (const kind of new Set(timings.map((timing) => timing.kind))) {
      for (const side of SIDES) {
        const share = side === "private" ? PRIVATE_SHARE : 1;
        const count = Math.max(1, Math.round(starts / share));
        const series = await runSeries(scratch, { ...monitorOf(side, conmond), count, kind });
        series.check();
        series.remove();
        const found = medians.get(side + kind) ?? [];
        medians.set(side + kind, [...found, mediansOf(series.times)]);
      }
    }
  }
  return medians;
}

function mediansOf(times: readonly SessionTimes[]): Record<Span, number> {
  const of = (span: Span): number => median(times.map((one) => one[span]));
  return { left: of("left"), told: of("told"), reported: of("reported"), ended: of("ended") };
}

function timeRow(medians: Medians, { title, kind, span, aim }: Timing): string[] {
  const all = (side: Side): number[] =>
    (medians.get(side + kind) ?? []).map((one) => one[span] / 1000);
  const cell = (side: Side): string => {
    const [low, high] = [Math.min(...all(side)), Math.max(...all(side))];
    return `${median(all(side)).toFixed(2)} (${low.toFixed(2)}..${high.toFixed(2)})`;
  };
  const ratio = (side: Side): string => (median(all(side)) / median(all("conmon"))).toFixed(2);
  const goal = aim === undefined ? "" : ` (${aim.toFixed(1)})`;
  return [
    title,
    cell("conmon"),
    cell("shared"),
    ratio("shared") + goal,
    cell("private"),
    ratio("private"),
  ];
}

// ---- memory ----

type Kind = keyof Memory;

const memoryAims: Record<Kind, readonly [few: number, many: number] | undefined> = {
  resident: [0.6, 0.4],
  anonymous: [0.6, 0.35],
  private: undefined,
  proportional: undefined,
};

/** From so many sessions on the second aim counts. */
const MANY = 1000;

interface Idle {
  readonly monitors: Memory;
  /** All zeros for conmon. */
  readonly conmond: Memory;
}

async function measureIdle(side: "conmon" | "shared", count: number): Promise<Idle> {
  const conmond = side === "shared" ? await startConmond(scratch) : undefined;
  const series = await runSeries(scratch, {
    ...monitorOf(side, conmond?.socket ?? ""),
    ...{ count, until: "told", status: 137 },
  });
  const found = {
    monitors: memoryOf(series.monitors),
    conmond: memoryOf(conmond === undefined ? [] : [conmond.pid]),
  };
  await endIdle(series);
  await conmond?.stop();
  return found;
}

async function endIdle(series: Series): Promise<void> {
  series.check();
  series.killContainers();
  const left = await series.ended();
  if (left.length > 0) throw new Error(`${left.length} monitors did not end`);
  series.remove();
}

function memoryRows(count: number, conmon: readonly Idle[], ours: readonly Idle[]): string[][] {
  const of = (found: readonly Idle[], part: keyof Idle, kind: Kind): number =>
    median(found.map((idle) => idle[part][kind]));
  return (Object.keys(memoryAims) as Kind[]).map((kind) => {
    const theirs = of(conmon, "monitors", kind);
    const [shims, conmond] = [of(ours, "monitors", kind), of(ours, "conmond", kind)];
    const aim = memoryAims[kind]?.[count >= MANY ? 1 : 0];
    const ratio = ((shims + conmond) / theirs).toFixed(2);
    const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
    return [
      `${count} idle: ${kind}`,
      ...[theirs, shims, conmond, shims + conmond].map(megabytes),
      aim === undefined ? ratio : `${ratio} (${aim})`,
    ];
  });
}

async function measureMemory(count: number): Promise<string[][]> {
  const [conmon, ours]: [Idle[], Idle[]] = [[], []];
  for (let round = 0; round < memoryRounds; round++) {
    conmon.push(await measureIdle("conmon", count));
    ours.push(await measureIdle("shared", count));
  }
  return memoryRows(count, conmon, ours);
}

try {
  const { socket } = await startConmond(scratch);
  const warmUp = { ...monitorOf("shared", socket), count: WARM_UP };
  (await runSeries(scratch, warmUp)).remove();
  const medians = await measureTimes(socket);
  const heading = [
    "ms, median (lowest..highest round)",
    "conmon",
    "shared",
    "ratio (aim)",
    "private",
    "ratio",
  ];
  console.log(`${rounds} rounds of ${starts} sessions (private: ${PRIVATE_SHARE} times fewer):\n`);
  console.log(table([heading, ...timings.map((timing) => timeRow(medians, timing))]));
  const rows: string[][] = [];
  for (const count of idleCounts) rows.push(...(await measureMemory(count)));
  console.log(
    `\n${memoryRounds} rounds; MB (10^6 bytes), all processes added up, without the containers:\n`,
  );
  console.log(table([["", "conmon", "shims", "conmond", "ours", "ratio (aim)"], ...rows]));
} catch (error) {
  // What is left behind then would hide it.
  console.error(error);
  throw error;
} finally {
  await scratch.close();
}
