import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { linesForHost } from "../../src/events/notify-filter.ts";

describe("of a container's sd-notify message the host gets", () => {
  const cases: [what: string, message: string, expected: string | undefined][] = [
    ["a single line", "READY=1", "READY=1"],
    ["a line without its newline", "READY=1\n", "READY=1"],
    [
      "all lines that are allowed, in their order",
      "STOPPING=1\nSTATUS=a = b\nREADY=1\nRELOADING=1\nWATCHDOG=1\nWATCHDOG=trigger\nERRNO=2\nBUSERROR=x.y\nMONOTONIC_USEC=3",
      "STOPPING=1\nSTATUS=a = b\nREADY=1\nRELOADING=1\nWATCHDOG=1\nWATCHDOG=trigger\nERRNO=2\nBUSERROR=x.y\nMONOTONIC_USEC=3",
    ],
    [
      "only these",
      "MAINPID=1\nREADY=1\nFOO=1\n\nSTATUS=up\nNOTIFYACCESS=all\n",
      "READY=1\nSTATUS=up",
    ],
    ["empty values", "STATUS=\nERRNO=", "STATUS=\nERRNO="],
    [
      "no values but those allowed",
      "READY=0\nREADY=10\nREADY=\nWATCHDOG=2\nSTOPPING=1 \n",
      undefined,
    ],
    [
      "no names that are only similar",
      "XREADY=1\nREADY\nready=1\nWATCHDOG_USEC=4\nSTATUS",
      undefined,
    ],
    ["no request to keep descriptors", "FDSTORE=1\nFDNAME=x", undefined],
    ["no carriage returns turned into newlines", "READY=1\rMAINPID=3", undefined],
    ["nothing after a NUL", "STATUS=a\0b\nREADY=1", "STATUS=a"],
    ["nothing of nothing", "", undefined],
    ["nothing of empty lines", "\n\n", undefined],
  ];
  for (const [what, message, expected] of cases) {
    it(what, () => {
      assert.equal(linesForHost(Buffer.from(message))?.toString(), expected);
    });
  }

  it("bytes that are no UTF-8 as they are", () => {
    const message = Buffer.concat([Buffer.from("STATUS="), Buffer.of(0xff, 0xc3, 0x80)]);
    assert.deepEqual(linesForHost(message), message);
  });
});
