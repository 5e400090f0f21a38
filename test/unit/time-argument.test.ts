import assert from "node:assert/strict";
import { test } from "node:test";
import { parseTimeArgument } from "../../src/logging/read/time-argument.ts";

const NOW = { seconds: 1_700_000_000, nanoseconds: 5 };

test("a time, seconds since 1970 or a duration is a point in time", () => {
  const expected: [string, number, number][] = [
    ["2023-11-14T22:13:20Z", 1_700_000_000, 0],
    ["2023-11-14T23:13:20.000000001+01:00", 1_700_000_000, 1],
    ["1700000000", 1_700_000_000, 0],
    ["1700000000.25", 1_700_000_000, 250_000_000],
    ["1700000000.000000007", 1_700_000_000, 7],
    ["0", 0, 0],
    ["10m", 1_699_999_400, 5],
    ["1h30m", 1_699_994_600, 5],
    ["1.5s", 1_699_999_998, 500_000_005],
    ["2d", 1_699_827_200, 5],
    ["1w", 1_699_395_200, 5],
    ["5ns", 1_700_000_000, 0],
    ["6ns", 1_699_999_999, 999_999_999],
    ["1us", 1_699_999_999, 999_999_005],
    ["1µs", 1_699_999_999, 999_999_005],
    ["1ms", 1_699_999_999, 999_000_005],
    [" 0s ", 1_700_000_000, 5],
    ["500000h", -100_000_000, 5],
  ];
  for (const [text, seconds, nanoseconds] of expected) {
    assert.deepEqual(parseTimeArgument(text, NOW), { seconds, nanoseconds }, text);
  }
});

test("a time without an offset is local time", () => {
  const zone = process.env.TZ;
  process.env.TZ = "Europe/Berlin";
  try {
    const expected: [string, number, number][] = [
      ["2023-11-14", 1_699_916_400, 0],
      ["2023-11-14 23:13", 1_700_000_000 - 20, 0],
      ["2023-11-14T23:13:20", 1_700_000_000, 0],
      ["2023-11-14t23:13:20.25", 1_700_000_000, 250_000_000],
      // It was summer.
      ["2023-07-14T23:13:20", 1_689_369_200, 0],
      ["0050-01-01", Date.parse("0050-01-01T00:00:00") / 1000, 0],
    ];
    for (const [text, seconds, nanoseconds] of expected) {
      assert.deepEqual(parseTimeArgument(text, NOW), { seconds, nanoseconds }, text);
    }
  } finally {
    if (zone === undefined) delete process.env.TZ;
    else process.env.TZ = zone;
  }
});

test("a date that there is not is an error", () => {
  for (const text of [
    "2023-02-29",
    "2023-13-01",
    "2023-11-00",
    "2023-11-14T24:01",
    "2023-11-14T",
  ]) {
    assert.throws(() => parseTimeArgument(text, NOW), RangeError, text);
  }
});

test("anything else is an error that shows the text", () => {
  const wrong = ["", "m", "10 m", "-10m", "10x", "1h30", "yesterday", "1.s"];
  for (const text of wrong) {
    assert.throws(
      () => parseTimeArgument(text, NOW),
      (error) => error instanceof RangeError && error.message.includes(JSON.stringify(text)),
      text,
    );
  }
});
