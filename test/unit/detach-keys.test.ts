/** The keys that detach a terminal from a container. */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { DetachFilter, parseDetachKeys } from "../../src/conmonctl/detach-keys.ts";

const KEYS = parseDetachKeys("ctrl-p,ctrl-q");

function typed(filter: DetachFilter, text: string): { input: string; detach: boolean } {
  const { input, detach } = filter.push(Buffer.from(text, "latin1"));
  return { input: Buffer.from(input).toString("latin1"), detach };
}

test("keys are read as people write them", () => {
  assert.deepEqual([...KEYS], [0x10, 0x11]);
  assert.deepEqual([...parseDetachKeys("a,ctrl-@,ctrl-[,ctrl-Z")], [0x61, 0, 0x1b, 0x1a]);
  assert.deepEqual([...parseDetachKeys("")], []);
  for (const wrong of ["ctrl", "ab", "ctrl-1", "a,,b", "ä"]) {
    assert.throws(() => parseDetachKeys(wrong), /Keys are letters and ctrl-LETTER/, wrong);
  }
});

test("the keys detach, together or one by one, and are not typed", () => {
  assert.deepEqual(typed(new DetachFilter(KEYS), "ab\x10\x11cd"), { input: "ab", detach: true });
  const slow = new DetachFilter(KEYS);
  assert.deepEqual(typed(slow, "a\x10"), { input: "a", detach: false });
  assert.deepEqual(typed(slow, "\x11"), { input: "", detach: true });
});

test("what only looks like the keys is typed, with nothing missing", () => {
  const filter = new DetachFilter(KEYS);
  assert.deepEqual(typed(filter, "\x10"), { input: "", detach: false });
  assert.deepEqual(typed(filter, "x"), { input: "\x10x", detach: false });
  assert.deepEqual(typed(filter, "\x10\x10"), { input: "\x10", detach: false });
  assert.deepEqual(typed(filter, "\x11"), { input: "", detach: true });
});

test("without keys everything is typed", () => {
  const none = new DetachFilter(parseDetachKeys(""));
  assert.deepEqual(typed(none, "\x10\x11"), { input: "\x10\x11", detach: false });
});

test("however it is cut, the same is typed up to the keys", () => {
  const pieces = fc.array(fc.string({ unit: fc.constantFrom("\x10", "\x11", "a"), maxLength: 4 }));
  fc.assert(
    fc.property(pieces, (parts) => {
      const whole = parts.join("");
      const at = whole.indexOf("\x10\x11");
      const filter = new DetachFilter(KEYS);
      let input = "";
      let detached = false;
      for (const part of parts) {
        if (detached) break;
        const result = typed(filter, part);
        input += result.input;
        detached = result.detach;
      }
      assert.equal(detached, at >= 0);
      const expected = at >= 0 ? whole.slice(0, at) : whole;
      // A key that may be the first of the two is held back.
      assert.equal(input, at < 0 && expected.endsWith("\x10") ? expected.slice(0, -1) : expected);
    }),
  );
});
