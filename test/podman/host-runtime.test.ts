/** The host runtime under Podman, whose containers then are plain processes: with our monitor and Debian's. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { makePodman } from "../support/podman.ts";
import { hostRuntimeProgram, unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";

const skip = unlessRootWith("podman", "conmon", "busybox");

for (const conmon of ["ours", "debian"] as const) {
  describe(`Podman with the host runtime and the monitor ${conmon}`, { skip }, () => {
    it("runs, executes, stops and removes, and tells 126 and 127 from others", async (t) => {
      const scratch = makeScratch(t);
      const podman = await makePodman(scratch, { conmon, runtime: hostRuntimeProgram });
      const run = (...args: string[]) => podman.run(args);
      // Podman does not hand its environment on. The warning would be the first line of stderr, and
      // come to Podman if Debian's conmon reads it after Podman has attached.
      const quiet = "--annotation=conmon-ts.host-runtime=quiet";
      const mark = `--env=CONMON_TS_TEST=${scratch.id}`;
      const options = ["--network=none", mark, quiet, "--workdir=/"];

      const foreground = ["run", "--rm", ...options, podman.image];
      const plain = await run(...foreground, "sh", "-c", "echo out; echo err >&2; exit 5");
      assert.deepEqual([plain.status, plain.stdout, plain.stderr], [5, "out\n", "err\n"]);
      assert.equal((await run(...foreground, "no-such")).status, 127);
      assert.equal((await run(...foreground, "/etc/passwd")).status, 126);
      const terminal = await run("run", "--rm", "-t", ...options, podman.image, "tty");
      assert.match(terminal.stdout, /^\/dev\/pts\/\d+\r\n$/);

      const name = scratch.uniqueName();
      const started = await run(
        "run",
        "-d",
        "--name",
        name,
        ...options,
        podman.image,
        "sleep",
        "1000",
      );
      assert.equal(started.status, 0, started.stderr);
      const exec = await run("exec", name, "sh", "-c", "echo beside; exit 6");
      assert.deepEqual([exec.status, exec.stdout], [6, "beside\n"]);
      assert.equal((await run("exec", name, "no-such")).status, 127);
      assert.equal((await run("stop", "-t", "5", name)).status, 0);
      const inspect = ["inspect", "--format", "{{.State.Status}} {{.State.ExitCode}}", name];
      assert.equal((await run(...inspect)).stdout, "exited 143\n");
      assert.equal((await run("start", name)).status, 0);
      assert.equal((await run("kill", name)).status, 0);
      assert.equal((await run("wait", name)).stdout, "137\n");
      assert.equal((await run("start", name)).status, 0);
      assert.equal((await run("rm", "--force", "-t", "1", name)).status, 0);
    });
  });
}
