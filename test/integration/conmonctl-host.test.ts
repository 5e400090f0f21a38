/** conmonctl with the built-in runtime, which isolates nothing and needs neither root nor runc. */
import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Conmonctl } from "../support/conmonctl.ts";
import { runConmonctl } from "../support/run-conmonctl.ts";
import { makeScratch } from "../support/scratch.ts";

const WARNING = "conmonctl: warning: the host runtime isolates nothing: job is a plain process";

describe("conmonctl run --runtime host", () => {
  it("says once that nothing is isolated, on stderr and not in the log", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    const command = ["--runtime", "host", "--name", "job", "--memory", "1g", "--", "echo", "hi"];
    const { status, stdout, stderr } = await ctl.run("run", ...command);
    assert.deepEqual([status, stdout], [0, "hi\n"]);
    assert.equal(stderr, `${WARNING} of this machine; ignored: memory\n`);
    assert.equal(await ctl.succeed("logs", "job"), "hi");
  });

  it("says nothing if that was forbidden", (t) => {
    const environment = { CONMON_TS_HOST_RUNTIME: "quiet" };
    const args = ["run", "--rm", "--runtime", "host", "--", "echo", "hi"];
    const { stdout, stderr } = runConmonctl(makeScratch(t), args, { environment });
    assert.deepEqual([stdout, stderr], ["hi\n", ""]);
  });

  it("works where node is not in PATH", (t) => {
    const scratch = makeScratch(t);
    const PATH = scratch.folder("empty");
    assert.equal(existsSync(join(PATH, "node")), false);
    const args = ["run", "--rm", "--runtime", "host", "--", "sh", "-c", "echo $PATH; exit 3"];
    const { status, stdout, stderr } = runConmonctl(scratch, args, { environment: { PATH } });
    assert.equal(status, 3, stderr);
    assert.equal(stdout.includes(PATH), false, "the container has a PATH of its own");
  });
});
