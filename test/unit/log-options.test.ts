import assert from "node:assert/strict";
import { test } from "node:test";
import { ConmonError } from "../../src/session/errors.ts";
import { LOG_OPTION_NAMES, parseLogOptions } from "../../src/session/log-options.ts";

const DEFAULTS = {
  ...{ recordSize: 16384, maxAge: undefined, maxFiles: undefined, compress: "none" },
  ...{ maxTotalSize: undefined, onError: "drop" },
  rate: { bytesPerSecond: undefined, linesPerSecond: undefined, onLimit: "block" },
};

function refused(words: string[], variable: string | undefined, message: string): void {
  assert.throws(
    () => parseLogOptions(words, variable),
    (error) => {
      assert.ok(error instanceof ConmonError);
      assert.equal(error.reason, message);
      return true;
    },
  );
}

test("what is not given has a default", () => {
  assert.deepEqual(parseLogOptions([], undefined), DEFAULTS);
  assert.deepEqual(parseLogOptions([], " ,, "), DEFAULTS);
});

test("every name sets its value", () => {
  const words = [
    ...["record-size=131072", "max-age=24h", "max-files=5", "compress=gzip", "max-total-size=10M"],
    ...["on-error=block", "max-bytes-per-second=64k", "max-lines-per-second=100", "on-limit=drop"],
  ];
  assert.deepEqual(
    words.map((word) => word.split("=")[0]),
    LOG_OPTION_NAMES,
  );
  const expected = {
    ...{ recordSize: 131072, maxAge: 86_400, maxFiles: 5, compress: "gzip" },
    ...{ maxTotalSize: 10 * 2 ** 20, onError: "block" },
    rate: { bytesPerSecond: 65536, linesPerSecond: 100, onLimit: "drop" },
  };
  assert.deepEqual(parseLogOptions(words, undefined), expected);
  assert.deepEqual(parseLogOptions([], words.join(",")), expected);
  assert.deepEqual(parseLogOptions([], ` ${words.join(" ")}\n`), expected);
});

test("the last value counts, and an option before the environment", () => {
  assert.equal(parseLogOptions(["max-files=1", "max-files=2"], "max-files=3").maxFiles, 2);
  assert.equal(parseLogOptions([], "max-files=3,max-files=4").maxFiles, 4);
  const both = parseLogOptions(["compress=gzip"], "compress=none,record-size=9");
  assert.deepEqual([both.compress, both.recordSize], ["gzip", 9]);
});

test("times and sizes have units", () => {
  const seconds = { "1s": 1, "90m": 5400, "7d": 604_800, "1w": 604_800, "1d12h": 129_600 };
  for (const [text, expected] of Object.entries(seconds)) {
    assert.equal(parseLogOptions([`max-age=${text}`], undefined).maxAge, expected, text);
  }
  const bytes = { "1": 1, "2k": 2048, "3m": 3 * 2 ** 20, "1G": 2 ** 30 };
  for (const [text, expected] of Object.entries(bytes)) {
    assert.equal(parseLogOptions([`max-total-size=${text}`], undefined).maxTotalSize, expected);
  }
});

test("what is wrong is told with option, value and what is allowed", () => {
  const known =
    "known are record-size, max-age, max-files, compress, max-total-size, on-error, " +
    "max-bytes-per-second, max-lines-per-second, on-limit";
  refused(["size=1"], undefined, `--log-opt size=1: there is no size; ${known}`);
  refused([""], undefined, `--log-opt : there is no empty name; ${known}`);
  refused(["toString=1"], undefined, `--log-opt toString=1: there is no toString; ${known}`);
  refused([], "compress", "CONMON_LOG_OPTS: compress: must be compress=VALUE");
  refused(
    [],
    "on-error=block,compress=zip",
    "CONMON_LOG_OPTS: compress=zip: compress must be none or gzip",
  );
  refused(
    ["record-size=131073"],
    undefined,
    "--log-opt record-size=131073: record-size must be a number of bytes from 1 to 131072",
  );
});

test("nothing that is no number of the right range passes for one", () => {
  const wrong = {
    "record-size": ["", "0", "-1", "1.5", "0x10", "1k", "131073", "9".repeat(30)],
    "max-files": ["", "0", "10001", "many"],
    "max-age": ["", "0s", "5", "-1h", "1.5h", "1y", "h", "1h 2m", "9".repeat(30)],
    "max-total-size": ["", "0", "0k", "1t", "k", "-1", "1kb", "999999999999999g"],
    "max-bytes-per-second": ["", "0", "1e3"],
    "max-lines-per-second": ["", "0", "1k"],
    "on-error": ["", "Block", "wait"],
    "on-limit": ["", "none"],
    compress: ["", "zstd"],
  };
  for (const [name, texts] of Object.entries(wrong)) {
    for (const text of texts) {
      assert.throws(() => parseLogOptions([`${name}=${text}`], undefined), ConmonError, text);
    }
  }
});
