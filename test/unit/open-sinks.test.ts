import assert from "node:assert/strict";
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Syslog } from "../../src/conmond/syslog.ts";
import { checkOptions } from "../../src/session/checks.ts";
import { openSinks } from "../../src/session/open-sinks.ts";
import { parseOptions } from "../../src/session/options.ts";
import { OwnMessages } from "../../src/session/own-messages.ts";

let directory: string;
const told: string[] = [];

beforeEach(() => {
  told.length = 0;
  directory = mkdtempSync(join(tmpdir(), "open-sinks-"));
});

afterEach(() => {
  rmSync(directory, { recursive: true });
});

/** @param goOnWithout the container is there already */
function open(goOnWithout: boolean, ...logs: string[]) {
  const options = checkOptions(
    parseOptions([...["-c", "x", "-u", "x", "-r", "/runc"], ...logs.flatMap((log) => ["-l", log])]),
    {
      workingDirectory: directory,
      variables: new Map(),
      isExecutable: () => true,
      realPath: (path) => path,
    },
  );
  const messages = new OwnMessages({
    tell: (text) => told.push(text),
    log: () => undefined,
    syslog: new Syslog(),
  });
  return openSinks(options, {
    messages,
    onRelief: () => undefined,
    keeperOf: () => undefined,
    goOnWithout,
  });
}

describe("logs that cannot be opened", () => {
  const gone = "gone/ctr.log";

  it("are an error at a start", () => {
    assert.throws(() => open(false, "ctr.log", gone), /Failed to open log file .*gone\/ctr\.log/);
    assert.deepEqual(told, []);
  });

  it("are told, counted and gone on without where the container is there already", () => {
    const [there, lost] = open(true, "ctr.log", `json-file:${gone}`);
    assert.match(told.join(), /Going on without the json-file log: Failed to open log file .*gone/);
    for (const sink of [there, lost]) {
      sink?.write("stdout", Buffer.from("one\ntwo"), { seconds: 0, nanoseconds: 0 });
    }
    assert.deepEqual([there?.counters.bytes, there?.counters.droppedBytes], [7, 0]);
    const { bytes, droppedBytes, droppedRecords, lastError } = lost?.counters ?? {};
    assert.deepEqual([bytes, droppedBytes, droppedRecords], [0, 7, 2]);
    assert.match(lastError?.message ?? "", /Failed to open/);
    assert.throws(() => lost?.reopen(), /Failed to open/);
    lost?.close();
    there?.close();
    assert.match(told.at(-1) ?? "", /2 records with 7 bytes were lost without the json-file log/);
  });
});
