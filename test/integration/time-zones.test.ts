/** The times of a log are the caller's local time, whichever conmond serves it: as with Debian's conmon. */
import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { describe, it } from "node:test";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonOptions, startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";

const skip = unlessRootWith("runc", "busybox", "conmon");

const ZONES: readonly (string | undefined)[] = [
  ...[undefined, "", "Europe/Berlin", "America/New_York", ":Asia/Kolkata"],
  ...[":/usr/share/zoneinfo/Pacific/Chatham", "CET-1CEST,M3.5.0,M10.5.0/3", "XYZ-14", "<-12>12"],
  ...["Nowhere/City", ":/no/such/file"],
];

/** When a container wrote a line, and the offset, as a log of it says. */
async function logged(
  scratch: Scratch,
  options: ConmonOptions,
): Promise<{ time: number; offset: string | undefined }> {
  const run = startConmon(scratch, {
    bundle: makeBundle(scratch, { args: ["true"] }),
    runtime: makeStandInRuntime(scratch, behaviours.runs("echo out; exit 5")).path,
    apiVersion: 1,
    ...options,
  });
  await run.created();
  await run.exitStatus();
  await run.ended();
  const [timestamp = ""] = run.log().split(" ");
  return { time: Date.parse(timestamp), offset: /[+-]\d\d:\d\d$/.exec(timestamp)?.[0] };
}

describe("the times of a log", { skip }, () => {
  it("are the caller's local time, of several callers with one conmond", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    // Debian's conmon leaves its fifos and links to its caller.
    for (const folder of ["bundles", "sockets"]) {
      scratch.atEnd(() => rmSync(scratch.path(folder), { recursive: true }));
    }
    for (const zone of ZONES) {
      const environment: Record<string, string> = zone === undefined ? {} : { TZ: zone };
      const before = Date.now();
      const debian = await logged(scratch, { environment, conmon: "debian" });
      const shared = await logged(scratch, { environment, conmond: conmond.socket });
      const alone = await logged(scratch, { environment });
      const offsets = { shared: shared.offset, private: alone.offset };
      assert.deepEqual(offsets, { shared: debian.offset, private: debian.offset }, `TZ=${zone}`);
      for (const { time } of [shared, alone]) assert.ok(time >= before && time <= Date.now());
    }
  });
});
