import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";
import { LocalTimestamp, TIMESTAMP_LENGTH } from "../../src/logging/timestamp.ts";

const MODULE = new URL("../../src/logging/timestamp.ts", import.meta.url).href;
const CHILD = `
  import { LocalTimestamp, TIMESTAMP_LENGTH } from ${JSON.stringify(MODULE)};
  const bytes = Buffer.alloc(TIMESTAMP_LENGTH);
  const timestamp = new LocalTimestamp(bytes);
  for (const instant of process.argv.slice(1)) {
    const [time, fraction] = instant.split(".");
    timestamp.set({ seconds: Date.parse(time + "Z") / 1000, nanoseconds: Number(fraction ?? 0) });
    console.log(bytes.toString("latin1"));
  }
`;

/** What one writer in a process of that time zone makes of these times in UTC, one after another. */
function inZone(zone: string, ...instants: string[]): string[] {
  const argv = ["--import", "tsx", "--input-type=module", "-e", CHILD, "--", ...instants];
  const env = { ...process.env, TZ: zone };
  return execFileSync(process.execPath, argv, { env, encoding: "utf8" }).trim().split("\n");
}

test("the offset follows New York into and out of daylight-saving time, and back", () => {
  const written = inZone(
    "America/New_York",
    "2026-03-08T06:59:59.999999999",
    "2026-03-08T07:00:00",
    "2026-11-01T05:59:59",
    "2026-11-01T06:00:00",
    "2026-11-01T05:59:59",
  );
  assert.deepEqual(written, [
    "2026-03-08T01:59:59.999999999-05:00",
    "2026-03-08T03:00:00.000000000-04:00",
    "2026-11-01T01:59:59.000000000-04:00",
    "2026-11-01T01:00:00.000000000-05:00",
    "2026-11-01T01:59:59.000000000-04:00",
  ]);
});

test("the offset follows Lord Howe Island, whose summer time is half an hour", () => {
  const written = inZone(
    "Australia/Lord_Howe",
    "2026-04-04T14:59:59",
    "2026-04-04T15:00:00",
    "2026-10-03T15:29:59",
    "2026-10-03T15:30:00",
  );
  assert.deepEqual(written, [
    "2026-04-05T01:59:59.000000000+11:00",
    "2026-04-05T01:30:00.000000000+10:30",
    "2026-10-04T01:59:59.000000000+10:30",
    "2026-10-04T02:30:00.000000000+11:00",
  ]);
});

test("a transition that is not on a quarter of an hour is right to the second", () => {
  // Newfoundland changed at one minute past midnight until 2011.
  const written = inZone("America/St_Johns", "2010-03-14T03:30:59", "2010-03-14T03:31:00");
  assert.deepEqual(written, [
    "2010-03-14T00:00:59.000000000-03:30",
    "2010-03-14T01:01:00.000000000-02:30",
  ]);
});

test("quarters of an hour in the offset, and a date that is tomorrow there", () => {
  assert.deepEqual(inZone("Asia/Kathmandu", "2025-12-31T18:14:59", "2025-12-31T18:15:00.7"), [
    "2025-12-31T23:59:59.000000000+05:45",
    "2026-01-01T00:00:00.000000007+05:45",
  ]);
});

test("UTC has the offset +00:00, and a leap day is one", () => {
  assert.deepEqual(inZone("UTC", "2024-02-29T23:59:59.120000000", "1970-01-01T00:00:00"), [
    "2024-02-29T23:59:59.120000000+00:00",
    "1970-01-01T00:00:00.000000000+00:00",
  ]);
});

test("the fraction changes within a second, and always has nine digits", () => {
  const bytes = Buffer.alloc(TIMESTAMP_LENGTH);
  const timestamp = new LocalTimestamp(bytes);
  for (const nanoseconds of [0, 1, 999_999_999, 100_000_000, 123_456_789]) {
    timestamp.set({ seconds: 1_700_000_000, nanoseconds });
    assert.equal(bytes.toString("latin1", 20, 29), String(nanoseconds).padStart(9, "0"));
    assert.equal(Date.parse(bytes.toString("latin1")), 1.7e12 + Math.floor(nanoseconds / 1e6));
  }
});

test("a clock far out of range still gives a timestamp of the right form", () => {
  const bytes = Buffer.alloc(TIMESTAMP_LENGTH);
  const timestamp = new LocalTimestamp(bytes);
  for (const seconds of [-1e15, 1e15, -1]) {
    timestamp.set({ seconds, nanoseconds: 0 });
    assert.match(bytes.toString("latin1"), /^\d{4}(-\d\d){2}T(\d\d:){2}\d\d\.0{9}[+-]\d\d:\d\d$/);
  }
});

test("a buffer that is too small is refused", () => {
  assert.throws(() => new LocalTimestamp(Buffer.alloc(34)), /takes 35 bytes, got 34/);
});
