import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { LocalTimestamp, TIMESTAMP_LENGTH } from "../../src/logging/timestamp.ts";
import { TimeZone } from "../../src/time-zone/time-zone.ts";
import { ZoneFile } from "../../src/time-zone/zone-file.ts";

const QUARTER = 900;

let directory: string;
before(() => {
  directory = mkdtempSync(join(tmpdir(), "time-zone-"));
});
after(() => rmSync(directory, { recursive: true }));

/** Offsets in seconds that the C library finds, which is that of Debian's conmon. */
function libcOffsets(environment: Record<string, string>, seconds: readonly number[]): number[] {
  const path = join(directory, "instants");
  writeFileSync(path, seconds.map((second) => `@${second}\n`).join(""));
  const env = { PATH: process.env.PATH ?? "", LC_ALL: "C", ...environment };
  const text = execFileSync("date", ["-f", path, "+%::z"], { env, encoding: "utf8" });
  return text
    .trim()
    .split("\n")
    .map((offset) => {
      const [, sign, hours, minutes, rest] = /^([+-])(\d\d):(\d\d):(\d\d)$/.exec(offset) ?? [];
      const size = Number(hours) * 3600 + Number(minutes) * 60 + Number(rest);
      return sign === "-" ? -size : size;
    });
}

function ourOffsets(environment: Record<string, string>, seconds: readonly number[]): number[] {
  const zone = TimeZone.of(new Map(Object.entries(environment)));
  // A plus for what is -0.
  return seconds.map((second) => zone.offsetAt(second) + 0);
}

/** Quarters of an hour of a year, and the seconds around them in the months when clocks are changed. */
function instantsOf(year: number): number[] {
  const [start, end] = [Date.UTC(year, 0, 1) / 1000, Date.UTC(year + 1, 0, 1) / 1000];
  const quarters = Array.from(
    { length: (end - start) / QUARTER },
    (_, index) => start + index * QUARTER,
  );
  return quarters.flatMap((second) => [second - 1, second]);
}

const ZONES: Record<string, string>[] = [
  {},
  { TZ: "" },
  { TZ: ":" },
  { TZ: "UTC" },
  { TZ: "Europe/Berlin" },
  { TZ: ":Europe/Berlin" },
  { TZ: ":/usr/share/zoneinfo/Asia/Kolkata" },
  { TZ: "/usr/share/zoneinfo/America/St_Johns" },
  { TZ: ":/etc/localtime" },
  { TZ: "Australia/Lord_Howe" },
  { TZ: "Africa/Casablanca" },
  { TZ: "Europe/Dublin" },
  { TZ: "Antarctica/Troll" },
  { TZ: "Pacific/Chatham" },
  { TZ: "America/Nuuk" },
  { TZ: "CET-1CEST,M3.5.0,M10.5.0/3" },
  { TZ: "NZST-12NZDT,M9.5.0,M4.1.0/3" },
  { TZ: "<+0330>-3:30<+0430>,J79/24,J263/24" },
  { TZ: "AAA3BBB,59/-1:30,300/26" },
  { TZ: "AAA-5:30:15BBB-6,M2.1.1/0,M11.5.6/23" },
  { TZ: "EST5EDT4,M3.2.0/2:00:00,M11.1.0/2:00:00" },
  { TZ: "UTC+3" },
  { TZ: "XYZ-14" },
  { TZ: "Nowhere/City" },
  { TZ: "nonsense" },
  { TZ: "AB3" },
  { TZ: "ABC" },
  { TZ: ":/etc/passwd" },
  { TZ: ":/no/such/file" },
  { TZ: "../../../etc/passwd" },
  { TZ: "Berlin", TZDIR: "/usr/share/zoneinfo/Europe" },
  { TZ: "Berlin" },
];

describe("the time zone that an environment asks for", () => {
  for (const environment of ZONES) {
    it(`is that of the C library: ${JSON.stringify(environment)}`, () => {
      for (const year of [2026, 2028]) {
        const seconds = instantsOf(year);
        assert.deepEqual(ourOffsets(environment, seconds), libcOffsets(environment, seconds));
      }
    });
  }

  it("has summer time as in the United States where a rule does not say when", () => {
    // The library takes the days of posixrules(5) and is wrong about the hours: so not on these days.
    const days = [Date.UTC(2026, 2, 8), Date.UTC(2026, 10, 1)].map((day) => day / 1000);
    const seconds = instantsOf(2026).filter((second) =>
      days.every((day) => second < day - 86_400 || second > day + 2 * 86_400),
    );
    const environment = { TZ: "CET-1CEST" };
    assert.deepEqual(ourOffsets(environment, seconds), libcOffsets(environment, seconds));
    const [spring = 0, autumn = 0] = days;
    // At two o'clock by its own clocks.
    const changes = [spring + 3600 - 1, spring + 3600, autumn - 1, autumn];
    assert.deepEqual(ourOffsets(environment, changes), [3600, 7200, 7200, 3600]);
  });

  it("is right in the past and in the far future", () => {
    const seconds = [-5e9, -2e9, -1e9, 0, 5e8, 1e9, 2.1e9, 2.2e9, 2.21e9, 3e9, 3.01e9, 9e9, 2e10];
    for (const TZ of ["Europe/Berlin", "America/New_York", "Asia/Tokyo", "Africa/Monrovia"]) {
      assert.deepEqual(ourOffsets({ TZ }, seconds), libcOffsets({ TZ }, seconds), TZ);
    }
  });

  it("does not depend on what it was asked for before", () => {
    const seconds = instantsOf(2026);
    const shuffled = seconds.map((_, index) => seconds[(index * 7919) % seconds.length] as number);
    const environment = { TZ: "Europe/London" };
    assert.deepEqual(ourOffsets(environment, shuffled), libcOffsets(environment, shuffled));
  });

  it("is not waited for: a fifo is no zone", () => {
    const path = join(directory, "fifo");
    execFileSync("mkfifo", [path]);
    assert.deepEqual(ourOffsets({ TZ: `:${path}` }, [0]), [0]);
  });

  it("is UTC where the file is damaged", () => {
    const path = join(directory, "damaged");
    cpSync("/usr/share/zoneinfo/Europe/Berlin", path, { dereference: true });
    const whole = readFileSync(path);
    for (const length of [0, 3, 4, 44, 100, whole.length >> 1]) {
      writeFileSync(path, whole.subarray(0, length));
      assert.deepEqual(ourOffsets({ TZ: `:${path}` }, [1.8e9]), [0], `${length} bytes`);
    }
  });
});

describe("a zone's file", () => {
  it("is kept from a time on", () => {
    const bytes = readFileSync("/usr/share/zoneinfo/Europe/Berlin");
    const since = Date.UTC(2026, 6, 1) / 1000;
    const [all, some] = [ZoneFile.parse(bytes), ZoneFile.parse(bytes, since)];
    for (const second of [since, since + 1e7, since + 3e7, since + 1e9]) {
      assert.deepEqual(some.periodAt(second), all.periodAt(second));
    }
  });
});

describe("timestamps", () => {
  it("of several zones, in one process, by turns", () => {
    const bytes = Buffer.alloc(TIMESTAMP_LENGTH);
    const timestamp = new LocalTimestamp(bytes);
    const zones = ["Europe/Berlin", "America/New_York", "Asia/Kolkata"].map((name) =>
      TimeZone.of(new Map([["TZ", name]])),
    );
    const texts = [1_774_745_999, 1_774_746_000].flatMap((seconds) =>
      zones.map((zone) => {
        timestamp.set({ seconds, nanoseconds: 5, zone });
        return bytes.toString("latin1");
      }),
    );
    assert.deepEqual(texts, [
      "2026-03-29T01:59:59.000000005+01:00",
      "2026-03-28T20:59:59.000000005-04:00",
      "2026-03-29T06:29:59.000000005+05:30",
      "2026-03-29T03:00:00.000000005+02:00",
      "2026-03-28T21:00:00.000000005-04:00",
      "2026-03-29T06:30:00.000000005+05:30",
    ]);
  });
});
