import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { EntryBuffer, encodeField, encodeIdentity } from "../../src/logging/journal-entry.ts";
import { parseEntry } from "../support/journal.ts";

describe("fields", () => {
  test("are NAME=value and a newline", () => {
    assert.equal(encodeField("CONTAINER_NAME", "web=ü").toString(), "CONTAINER_NAME=web=ü\n");
    assert.equal(encodeField("EMPTY", "").toString(), "EMPTY=\n");
  });

  test("with a newline in the value have its length in bytes before it", () => {
    const expected = Buffer.from("LABEL\n\x04\0\0\0\0\0\0\0ü\n\n\n");
    assert.deepEqual(encodeField("LABEL", "ü\n\n"), expected);
  });
});

describe("the identity", () => {
  const containerId = "0123456789abcdef";

  test("is told by ID, name, tag and labels", () => {
    const labels = ["A=b c", "A=two\nlines", "EMPTY="];
    const bytes = encodeIdentity({ containerId, containerName: "web", tag: "t", labels });
    assert.deepEqual(parseEntry(bytes), [
      ["CONTAINER_ID_FULL", "0123456789abcdef"],
      ["CONTAINER_ID", "0123456789ab"],
      ["SYSLOG_IDENTIFIER", "t"],
      ["CONTAINER_NAME", "web"],
      ["CONTAINER_TAG", "t"],
      ["A", "b c"],
      ["A", "two\nlines"],
      ["EMPTY", ""],
    ]);
  });

  test("has the name, or else the short ID, for a syslog identifier", () => {
    const identifier = (name?: string, tag?: string): string | undefined =>
      new Map(parseEntry(encodeIdentity({ containerId, containerName: name, tag }))).get(
        "SYSLOG_IDENTIFIER",
      );
    assert.equal(identifier("web"), "web");
    assert.equal(identifier(), "0123456789ab");
    assert.equal(identifier("web", ""), "");
  });

  test("says nothing of what is not given", () => {
    const names = parseEntry(encodeIdentity({ containerId })).map(([name]) => name);
    assert.deepEqual(names, ["CONTAINER_ID_FULL", "CONTAINER_ID", "SYSLOG_IDENTIFIER"]);
  });
});

describe("an entry buffer", () => {
  function assemble(
    buffer: EntryBuffer,
    common: string,
    text: Buffer,
    priority: number,
    partial: boolean,
  ): [string, string][] {
    buffer.begin(Buffer.from(common), text.length);
    text.copy(buffer.bytes, buffer.textStart);
    buffer.finish(text.length, priority, partial);
    return parseEntry(buffer.bytes.subarray(0, buffer.length));
  }

  test("puts priority, message and the mark of a piece behind the common fields", () => {
    const buffer = new EntryBuffer();
    assert.deepEqual(assemble(buffer, "A=b\n", Buffer.from("text\n"), 3, false), [
      ["A", "b"],
      ["PRIORITY", "3"],
      ["MESSAGE", "text\n"],
    ]);
    assert.deepEqual(assemble(buffer, "A=b\n", Buffer.from("piece"), 7, true), [
      ["A", "b"],
      ["PRIORITY", "7"],
      ["MESSAGE", "piece"],
      ["CONTAINER_PARTIAL_MESSAGE", "true"],
    ]);
  });

  test("keeps any bytes, and grows for longer texts and fields", () => {
    const buffer = new EntryBuffer();
    const all = Buffer.from(Array.from({ length: 70_000 }, (_, i) => i % 256));
    for (const common of ["A=b\n", `LONG=${"x".repeat(5000)}\n`, "C=d\n"]) {
      const fields = new Map(assemble(buffer, common, all, 6, false));
      assert.ok(Buffer.from(fields.get("MESSAGE") ?? "", "latin1").equals(all));
      assert.equal(fields.size, 3);
    }
  });
});
