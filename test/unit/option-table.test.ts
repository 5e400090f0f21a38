import assert from "node:assert/strict";
import { test } from "node:test";
import {
  findLongOption,
  findShortOption,
  flagSpellings,
  OPTION_TABLE,
} from "../../src/session/option-table.ts";

test("no name and no letter stands for two options", () => {
  const names = OPTION_TABLE.map(({ long }) => long);
  const letters = OPTION_TABLE.flatMap(({ short }) => short ?? []);
  assert.equal(new Set(names).size, names.length);
  assert.equal(new Set(letters).size, letters.length);
});

test("names and letters can be typed: lower-case words with hyphens, one character", () => {
  for (const { long, short } of OPTION_TABLE) {
    assert.match(long, /^[a-z]+(-[a-z]+)*$/);
    if (short !== undefined) assert.match(short, /^[a-zA-Z0?]$/);
  }
});

test("options that share a property are of the same kind", () => {
  const kinds = new Map<string, string>();
  for (const { key, kind } of OPTION_TABLE) {
    assert.equal(kinds.get(key) ?? kind, kind, key);
    kinds.set(key, kind);
  }
});

test("every option with a value says what the value is, and no flag does", () => {
  for (const { long, kind, metavar, description } of OPTION_TABLE) {
    assert.equal(metavar !== undefined, kind !== "flag", long);
    assert.match(description, /^[A-Z].*\.$/, long);
  }
});

test("options are found by their full names only", () => {
  assert.equal(findLongOption("log-path")?.key, "logPaths");
  assert.equal(findShortOption("l")?.key, "logPaths");
  assert.equal(findLongOption("log-pat"), undefined);
  assert.equal(findLongOption("l"), undefined);
  assert.equal(findLongOption("toString"), undefined);
  assert.equal(findShortOption("log-path"), undefined);
});

test("the flags are exactly the options that can stand without a value", () => {
  assert.deepEqual([...flagSpellings().long].sort(), [
    "api-version",
    "exec",
    "exec-attach",
    "full-attach",
    "help",
    "help-all",
    "leave-stdin-open",
    "log-rotate",
    "no-container-partial-message",
    "no-new-keyring",
    "no-pivot",
    "no-sync-log",
    "replace-listen-pid",
    "stdin",
    "sync",
    "syslog",
    "systemd-cgroup",
    "terminal",
    "version",
  ]);
  assert.deepEqual([...flagSpellings().short].sort(), ["?", "e", "h", "i", "s", "t"]);
});
