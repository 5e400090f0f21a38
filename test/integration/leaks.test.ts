/**
 * Many sessions through one shared conmond, of which nothing must be left. `SESSIONS=10000 npm test leaks` has
 * more of them; `npm run leak` is that.
 */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AttachClient } from "../support/attach-client.ts";
import { startConmond } from "../support/conmond.ts";
import { type Holdings, ProbedConmond } from "../support/heap-probe.ts";
import { openFilesOf, statusField, waitUntilGone } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { runSeries, type Series, type SeriesOptions } from "../support/session-series.ts";

const SESSIONS = Number(process.env.SESSIONS ?? 700);

/** Code is compiled and tables are made in the first ones. */
const WARM_UP = 60;

/** What may come to memory in the course of the sessions, in bytes: garbage that is not collected yet. */
const GARBAGE = 16 * 1024 * 1024;

/** Fewer than a session may have. */
const CLIENTS_AT_ONCE = 50;

type Kind = Partial<SeriesOptions>;

/** Each of them opens something that the others do not. */
const KINDS: Readonly<Record<string, Kind>> = {
  "with stdin, time limit, log rotation by age and rate limit": {
    arguments: [
      ...["--stdin", "--timeout=1000", "--log-rotate", "--log-opt=max-age=1d"],
      "--log-opt=max-lines-per-second=1000000",
    ],
  },
  "with a terminal": { arguments: ["--terminal"] },
  "with an exit command": { arguments: ["--exit-command=/bin/true"] },
  "of exec": { kind: "exec" },
  "of exec with a client before the start": { kind: "exec-attach" },
  "whose runtime fails": { failure: "There is nothing to run.\n" },
};

/** Runs sessions to their end and checks what they leave, but not what a terminal has made of the output. */
async function runAll(scratch: Scratch, socket: string, count: number, kind: Kind): Promise<void> {
  const series = await runSeries(scratch, { conmon: "ours", conmond: socket, count, ...kind });
  if (!kind.arguments?.includes("--terminal")) series.check();
  series.remove();
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

/** What there is more of, at least one for every other session. */
function growth(before: Holdings, after: Holdings, sessions: number): string[] {
  return [...after.objects]
    .map(([kind, count]) => [kind, count - (before.objects.get(kind) ?? 0)] as const)
    .filter(([, more]) => more >= sessions / 2)
    .map(([kind, more]) => `${more} of ${kind}`);
}

function assertNothingLeft(before: Holdings, after: Holdings, sessions: number): void {
  assert.deepEqual(after.openFiles, before.openFiles);
  // Something may have been under way then.
  assert.deepEqual(without(after.resources, before.resources), []);
  assert.ok(
    after.globalHandles <= before.globalHandles,
    `references from native code: ${before.globalHandles} bytes before, ${after.globalHandles} after`,
  );
  assert.deepEqual(growth(before, after, sessions), []);
}

describe("a conmond that has served many sessions", { skip: unlessRootWith() }, () => {
  const count = Math.ceil(SESSIONS / (Object.keys(KINDS).length + 1));
  for (const [title, kind] of Object.entries(KINDS)) {
    it(`holds nothing of ${count} ${title}`, async (t) => {
      const scratch = makeScratch(t);
      const probed = await ProbedConmond.start(scratch);
      const { socket } = probed.conmond;
      await runAll(scratch, socket, WARM_UP, kind);
      const before = await probed.holdings();
      await runAll(scratch, socket, count, kind);
      assertNothingLeft(before, await probed.holdings(), count);
    });
  }

  it(`holds nothing of ${count} whose shim was killed`, async (t) => {
    const scratch = makeScratch(t);
    const probed = await ProbedConmond.start(scratch);
    const kill = async (sessions: number): Promise<void> => {
      const series = await startIdle(scratch, probed.conmond.socket, sessions);
      for (const pid of series.monitors) process.kill(pid, "SIGKILL");
      assert.deepEqual(await series.ended(), []);
      series.killContainers();
      await probed.conmond.logged(`"container":"c${sessions - 1}","msg":"Lost the shim`);
      series.remove();
    };
    await kill(WARM_UP);
    const before = await probed.holdings();
    await kill(count);
    assertNothingLeft(before, await probed.holdings(), count);
  });

  it(`holds nothing of ${count} attach clients of a session that goes on`, async (t) => {
    const scratch = makeScratch(t);
    const probed = await ProbedConmond.start(scratch);
    const series = await startIdle(scratch, probed.conmond.socket, 1);
    const { length } = openFilesOf(probed.conmond.pid);
    const opened = (): number => openFilesOf(probed.conmond.pid).length - length;
    const comeAndGo = async (clients: number): Promise<void> => {
      for (let left = clients; left > 0; left -= CLIENTS_AT_ONCE) {
        const some = Math.min(left, CLIENTS_AT_ONCE);
        const there = Array.from(
          { length: some },
          () => new AttachClient(scratch, series.path(0, "attach")),
        );
        assert.deepEqual(
          await waitUntilGone(() => Array(Math.max(0, some - opened())).fill("client")),
          [],
        );
        for (const client of there) {
          client.send("hello\n");
          client.end();
          client.close();
        }
        assert.deepEqual(
          await waitUntilGone(() => Array(Math.max(0, opened())).fill("client")),
          [],
        );
      }
    };
    await comeAndGo(WARM_UP);
    const before = await probed.holdings();
    await comeAndGo(count);
    assertNothingLeft(before, await probed.holdings(), count);
    series.killContainers();
    assert.deepEqual(await series.ended(), []);
  });

  it(`needs no more memory after ${SESSIONS} than after a third of them`, async (t) => {
    const scratch = makeScratch(t);
    const { socket, pid } = await startConmond(scratch);
    const memory: number[] = [];
    const openFiles = openFilesOf(pid);
    for (let part = 0; part < 3; part++) {
      await runAll(scratch, socket, Math.ceil(SESSIONS / 3), {});
      memory.push(Number.parseInt(statusField(pid, "RssAnon"), 10) * 1024);
      // The shim of the last one may have left before conmond has closed everything.
      const more = await waitUntilGone(() => without(openFilesOf(pid), openFiles));
      assert.deepEqual(more, [], `open after part ${part}`);
    }
    console.log(`private memory in bytes: ${memory}`);
    const [first = 0, , last = 0] = memory;
    assert.ok(last < first + GARBAGE, `private memory rose from ${first} to ${last} bytes`);
  });
});

/** Sessions whose containers do nothing. */
function startIdle(scratch: Scratch, socket: string, count: number): Promise<Series> {
  return runSeries(scratch, { conmon: "ours", conmond: socket, count, until: "told" });
}
