import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import { encodeSyncMessage, SYNC_MESSAGE_MAX, syncKey } from "../../src/session/sync-message.ts";

interface Message {
  data?: number;
  message?: string;
}

/** What a caller makes of it: one line of JSON in valid UTF-8. */
function decode(message: Buffer): Message {
  const text = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true }).decode(message);
  assert.ok(message.length <= SYNC_MESSAGE_MAX, `${message.length} bytes`);
  assert.equal(text.indexOf("\n"), text.length - 1);
  return JSON.parse(text) as Message;
}

const encoded = (message: string | Uint8Array): Buffer => encodeSyncMessage("data", -1, message);
const textOf = (message: string | Uint8Array): string | undefined =>
  decode(encoded(message)).message;

describe("the property that carries the number", () => {
  test("depends on the API version, and with version 0 on exec", () => {
    assert.equal(syncKey(0, false), "pid");
    assert.equal(syncKey(0, true), "exit_code");
    assert.equal(syncKey(-1, true), "exit_code");
    assert.equal(syncKey(1, false), "data");
    assert.equal(syncKey(1, true), "data");
    assert.equal(syncKey(2, true), "data");
  });

  test("is the one that was asked for", () => {
    assert.equal(encodeSyncMessage("data", 4711).toString(), '{"data":4711}\n');
    assert.equal(encodeSyncMessage("pid", -1).toString(), '{"pid":-1}\n');
    assert.equal(encodeSyncMessage("exit_code", 137).toString(), '{"exit_code":137}\n');
  });
});

describe("the text beside it", () => {
  test("is there when there is something to say", () => {
    const message = encodeSyncMessage("data", -1, "command timed out");
    assert.equal(message.toString(), '{"data":-1,"message":"command timed out"}\n');
    assert.equal(encoded("").toString(), '{"data":-1}\n');
    assert.equal(encoded(Buffer.alloc(0)).toString(), '{"data":-1}\n');
  });

  test("comes back as it was, whatever characters are in it", () => {
    const texts = [
      '"quotes"\\',
      "a\nb\r\n\t",
      "\0\x01\x1f\x7f",
      "äé€😀",
      "\ufeffmark",
      "</script>",
      "\u2028",
    ];
    for (const text of texts) {
      assert.equal(textOf(text), text);
      assert.equal(textOf(Buffer.from(text)), text);
    }
  });

  test("has replacement characters for bytes that are no UTF-8", () => {
    assert.equal(textOf(Buffer.from([0x61, 0xff, 0x62])), "a\ufffdb");
    assert.equal(textOf(Buffer.from([0x80, 0xc3])), "\ufffd\ufffd");
    assert.equal(textOf("a\ud800b"), "a\ufffdb");
  });

  test("may be a view into a larger buffer", () => {
    const buffer = Buffer.from("before middle after");
    assert.equal(textOf(buffer.subarray(7, 13)), "middle");
    assert.equal(textOf(new Uint8Array(buffer.buffer, buffer.byteOffset + 7, 6)), "middle");
  });
});

describe("a text too long", () => {
  const frame = '{"data":-1,"message":""}\n'.length;
  const room = SYNC_MESSAGE_MAX - frame;

  test("loses its front, and no more than it must", () => {
    const digits = Array.from({ length: 2000 }, (_, index) => String(index)).join(" ");
    assert.equal(textOf(digits.slice(-room)), digits.slice(-room));
    assert.equal(textOf(digits), digits.slice(-room));
    assert.equal(encoded(digits).length, SYNC_MESSAGE_MAX);
    assert.equal(textOf(Buffer.from(digits)), digits.slice(-room));
  });

  test("leaves less room for itself with a longer number", () => {
    const message = encodeSyncMessage("exit_code", -2147483648, "x".repeat(9999));
    assert.equal(message.length, SYNC_MESSAGE_MAX);
  });

  test("is never cut inside a character or an escape", () => {
    for (const [character, size] of [
      ["é", 2],
      ["€", 3],
      ["😀", 4],
      ['"', 2],
      ["\n", 2],
      ["\x01", 6],
    ] as const) {
      for (let padding = 0; padding < size; padding++) {
        const end = "e".repeat(padding);
        const expected = character.repeat(Math.floor((room - padding) / size)) + end;
        assert.equal(textOf(character.repeat(5000) + end), expected);
        assert.equal(textOf(Buffer.from(character.repeat(5000) + end)), expected);
      }
    }
  });

  test("is cut between bytes that are no UTF-8, too", () => {
    const garbage = Buffer.alloc(1 << 20, 0xbf);
    assert.equal(textOf(garbage), "\ufffd".repeat(Math.floor(room / 3)));
    assert.equal(textOf(Buffer.alloc(1 << 20, 0)), "\0".repeat(Math.floor(room / 6)));
  });

  test("ends as it should when it was cut in the middle of what a runtime wrote", () => {
    const cut = Buffer.from(`${"€".repeat(100_000)}the reason\n`);
    for (let from = 0; from < 4; from++) {
      const text = textOf(cut.subarray(from)) ?? "";
      assert.match(text, /^€+the reason\n$/);
    }
  });
});

test("random bytes of any length give valid JSON within the limit", () => {
  for (let round = 0; round < 500; round++) {
    const bytes = randomBytes(round * 17);
    const text = textOf(bytes) ?? "";
    const whole = bytes.toString("utf8");
    assert.ok(
      whole.replace(/^\ufeff/, "").endsWith(text.replace(/^\ufeff/, "")),
      bytes.toString("base64"),
    );
  }
});
