import assert from "node:assert/strict";
import { test } from "node:test";
import { LOG_DRIVER_SPELLINGS, parseLogDriver } from "../../src/logging/log-drivers.ts";
import { helpText, versionText } from "../../src/session/help.ts";
import { OPTION_TABLE, type OptionEntry } from "../../src/session/option-table.ts";

const [options = "", drivers = ""] = helpText().split("Log drivers");

/** The lines that begin with an option's spellings, as `  -c, --cid ` and `      --name `. */
function linesOf({ short, long }: OptionEntry): string[] {
  const beginning = `  ${short === undefined ? "   " : `-${short},`} --${long} `;
  return options.split("\n").filter((line) => `${line} `.startsWith(beginning));
}

test("every option that is not hidden has a line of its own, with its letter", () => {
  for (const entry of OPTION_TABLE) {
    assert.equal(linesOf(entry).length, entry.hidden === true ? 0 : 1, entry.long);
  }
});

test("descriptions are there whole, wrapped or not", () => {
  const flowing = options.replace(/\s+/g, " ");
  for (const { description, hidden } of OPTION_TABLE) {
    if (hidden !== true) assert.ok(flowing.includes(description), description);
  }
});

test("what can be given several times is marked", () => {
  for (const entry of OPTION_TABLE) {
    const [line = ""] = linesOf(entry);
    if (entry.hidden !== true) assert.equal(/ \*( |$)/.test(line), entry.kind === "list", line);
  }
});

test("the log drivers are described by name", () => {
  for (const name of [
    ...["k8s-file", "json-file", "journald", "plugin", "passthrough"],
    ...["none", "off", "null"],
  ]) {
    assert.match(drivers, new RegExp(`^  .*\\b${name}\\b`, "m"));
  }
});

test("every spelling of a log driver that help shows is understood", () => {
  for (const { spelling } of LOG_DRIVER_SPELLINGS) {
    for (const value of spelling.split(", ")) assert.ok(parseLogDriver(value));
  }
});

test("no line is wider than a terminal or ends in a space, and the last one is complete", () => {
  for (const line of helpText().split("\n")) {
    assert.ok(line.length <= 80, line);
    assert.equal(line.trimEnd(), line);
  }
  assert.ok(helpText().endsWith("\n"));
});

test("the version text begins with the two lines of conmon, then come our own", () => {
  const text = versionText({ version: "0.1.0", commit: "abc123" });
  assert.equal(text, "conmon version 2.2.1\ncommit: abc123\nconmon-ts 0.1.0\n");
});

test("the third word of the version text is a version at which callers use all we have", () => {
  const [, , word = ""] = versionText({ version: "9.9.9", commit: "x" }).split(/\s/);
  assert.match(word, /^2\.\d+\.\d+$/);
});
