import assert from "node:assert/strict";
import { test } from "node:test";
import { compareTimes, parseRfc3339 } from "../../src/logging/read/rfc3339.ts";
import { TimestampCache } from "../../src/logging/read/timestamp-cache.ts";
import { LocalTimestamp, TIMESTAMP_LENGTH } from "../../src/logging/timestamp.ts";

function parse(text: string) {
  const bytes = Buffer.from(`xx${text}yy`);
  return parseRfc3339(bytes, 2, bytes.length - 2);
}

test("times are read to the nanosecond, with every kind of offset", () => {
  const at = (text: string) => Date.parse(text) / 1000;
  const expected: [string, number, number][] = [
    ["2006-01-02T15:04:05Z", at("2006-01-02T15:04:05Z"), 0],
    ["2006-01-02T15:04:05.000000001Z", at("2006-01-02T15:04:05Z"), 1],
    ["2006-01-02T15:04:05.5+01:30", at("2006-01-02T15:04:05+01:30"), 500_000_000],
    ["2006-01-02t15:04:05.999999999z", at("2006-01-02T15:04:05Z"), 999_999_999],
    ["2006-01-02 15:04:05.120-11:00", at("2006-01-02T15:04:05-11:00"), 120_000_000],
    ["2006-01-02T15:04:05.1234567899999Z", at("2006-01-02T15:04:05Z"), 123_456_789],
    ["2016-12-31T23:59:60Z", at("2017-01-01T00:00:00Z"), 0],
    ["2024-02-29T00:00:00Z", at("2024-02-29T00:00:00Z"), 0],
    ["1969-12-31T23:59:59.9Z", -1, 900_000_000],
  ];
  for (const [text, seconds, nanoseconds] of expected) {
    assert.deepEqual(parse(text), { seconds, nanoseconds }, text);
  }
});

test("every day of many years is the one that Date knows", () => {
  for (let day = Date.UTC(1890, 0, 1); day < Date.UTC(2110, 0, 1); day += 86_400_000) {
    const text = new Date(day).toISOString();
    assert.equal(parse(text)?.seconds, day / 1000, text);
  }
  for (const text of ["0001-01-01T00:00:00.000Z", "9999-12-31T23:59:59.000Z"]) {
    assert.equal(parse(text)?.seconds, Date.parse(text) / 1000, text);
  }
});

test("what is written can be read", () => {
  const bytes = Buffer.alloc(TIMESTAMP_LENGTH);
  const writer = new LocalTimestamp(bytes);
  for (let round = 0; round < 1000; round++) {
    const time = {
      seconds: Math.floor(Math.random() * 4e9),
      nanoseconds: Math.floor(Math.random() * 1e9),
    };
    writer.set(time);
    assert.deepEqual(parseRfc3339(bytes, 0, bytes.length), time, bytes.toString());
  }
});

test("what is no time is none", () => {
  const whole = "2006-01-02T15:04:05.123+01:00";
  for (let length = 0; length < whole.length; length++) {
    assert.equal(parse(whole.slice(0, length)), undefined, whole.slice(0, length));
  }
  const wrong = [
    "2006-13-02T15:04:05Z",
    "2006-00-02T15:04:05Z",
    "2006-02-29T15:04:05Z",
    "1900-02-29T15:04:05Z",
    "2006-01-00T15:04:05Z",
    "2006-04-31T15:04:05Z",
    "2006-01-02T24:04:05Z",
    "2006-01-02T15:60:05Z",
    "2006-01-02T15:04:61Z",
    "2006-01-02T15:04:05.Z",
    "2006-01-02T15:04:05+0100",
    "2006-01-02T15:04:05+24:00",
    "2006-01-02T15:04:05ZZ",
    "2006/01/02T15:04:05Z",
    "2006-01-02x15:04:05Z",
    "2006-01-02T15.04.05Z",
    "x006-01-02T15:04:05Z",
  ];
  for (const text of wrong) assert.equal(parse(text), undefined, text);
});

test("times are compared by seconds, then by nanoseconds", () => {
  const [a, b, c] = [
    { seconds: 1, nanoseconds: 999_999_999 },
    { seconds: 2, nanoseconds: 0 },
    { seconds: 2, nanoseconds: 1 },
  ];
  assert.ok(compareTimes(a, b) < 0 && compareTimes(c, b) > 0 && compareTimes(b, { ...b }) === 0);
});

test("a timestamp that comes again is handed out again, another is not", () => {
  const cache = new TimestampCache();
  const bytes = Buffer.from("2006-01-02T15:04:05Z 2006-01-02T15:04:05Z 2006-01-02T15:04:06Z hello");
  const first = cache.read(bytes, 0, 20);
  assert.deepEqual(first, {
    text: "2006-01-02T15:04:05Z",
    time: { seconds: 1136214245, nanoseconds: 0 },
  });
  assert.equal(cache.read(bytes, 21, 41), first);
  assert.equal(cache.read(bytes, 42, 62)?.time.seconds, 1136214246);
  assert.equal(cache.read(bytes, 63, 68), undefined);
  bytes.fill("x");
  assert.equal(first?.text, "2006-01-02T15:04:05Z");
});
