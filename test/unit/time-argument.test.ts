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

test("anything else is an error that shows the text", () => {
  const wrong = ["", "m", "10 m", "-10m", "10x", "1h30", "yesterday", "2023-11-14", "1.s"];
  for (const text of wrong) {
    assert.throws(
      () => parseTimeArgument(text, NOW),
      (error) => error instanceof RangeError && error.message.includes(JSON.stringify(text)),
      text,
    );
  }
});
