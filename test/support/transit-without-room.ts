import { randomBytes } from "node:crypto";
import { READ_SIZE, Transit } from "../../src/session/transit.ts";
import * as sys from "../../src/sys/mod.ts";

// Goes on with a full transit as a user who has as much in pipes as is allowed, and prints what it came to as one
// JSON object. To be run as a user who does nothing else.

const [readEnd, writeEnd] = sys.pipe();
sys.setPipeSize(readEnd, READ_SIZE);
const sent = randomBytes(READ_SIZE / 2);
sys.write(writeEnd, sent, 0, sent.length);

/** The size of a new pipe, in bytes, once the user has no more room. */
function takeAllRoom(): number {
  for (let count = 0; count < 1000; count++) {
    const [pipe] = sys.pipe();
    try {
      sys.setPipeSize(pipe, READ_SIZE);
    } catch {
      return sys.getPipeSize(sys.pipe()[0]);
    }
  }
  throw new Error("this user may have any number of large pipes");
}

const room = takeAllRoom();
const transit = Transit.adopt(readEnd);
const got: Buffer[] = [];
transit.resume((data) => got.push(Buffer.from(data)) > 0);
const resumed = { pieces: got.length, right: got[0]?.equals(sent) === true };

const [from, to] = sys.pipe();
const next = randomBytes(room);
sys.write(to, next, 0, next.length);
got.length = 0;
for (let left = next.length; left > 0; ) {
  left -= transit.read(from, READ_SIZE, (data) => got.push(Buffer.from(data)) > 0);
}
const read = Buffer.concat(got).equals(next);
console.log(JSON.stringify({ room, resumed, read }));
