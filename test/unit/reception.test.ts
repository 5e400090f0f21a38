/** Those who have connected to a shared conmond and are not known yet. */
import assert from "node:assert/strict";
import { writeSync } from "node:fs";
import { afterEach, beforeEach, describe, it } from "node:test";
import { encodeAsk } from "../../src/conmond/hand-over/messages.ts";
import { Reception } from "../../src/conmond/reception.ts";
import * as sys from "../../src/sys/mod.ts";

/** More than anybody may take for the first word, in milliseconds. */
const LATE = 60_000;

let reception: Reception;
let theirs: number;
let ours: number;
let known: string[];

beforeEach(() => {
  [ours, theirs] = sys.unixSocketPair("seqpacket");
  known = [];
  const keep = (who: string) => (fd: number) => {
    known.push(who);
    sys.close(fd);
  };
  reception = new Reception({
    onShim: keep("shim"),
    onSuccessor: keep("successor"),
    onNobody: () => known.push("nobody"),
  });
});
afterEach(() => sys.close(theirs));

describe("the reception", () => {
  it("turns away whoever does not say who it is", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    reception.welcome(ours);
    assert.equal(reception.count, 1);
    t.mock.timers.tick(LATE);
    assert.deepEqual(known, ["nobody"]);
    assert.equal(reception.count, 0);
  });

  it("knows who has spoken, although it comes to look too late itself", (t) => {
    t.mock.timers.enable({ apis: ["setTimeout"] });
    reception.welcome(ours);
    writeSync(theirs, encodeAsk());
    // As after a stop of the process: the timer comes before what is there to be read.
    t.mock.timers.tick(LATE);
    assert.deepEqual(known, ["successor"]);
    assert.equal(reception.count, 0);
  });
});
