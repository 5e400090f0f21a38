/** Real runc, real Podman: what a container writes, how it ends, with a private and a shared conmond. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { makeBundle } from "../support/bundle.ts";
import { startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { makePodman } from "../support/podman.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";

const skip = unlessRootWith("runc", "podman", "busybox");

for (const mode of ["private", "shared"] as const) {
  describe(`with a ${mode} conmond`, { skip }, () => {
    async function prepare(t: TestContext): Promise<{ scratch: Scratch; conmond?: string }> {
      const scratch = makeScratch(t);
      if (mode === "private") return { scratch };
      return { scratch, conmond: (await startConmond(scratch)).socket };
    }

    it("logs every byte of both streams and reports the exit status", async (t) => {
      const { scratch, ...shared } = await prepare(t);
      const data = Buffer.concat([
        randomBytes(200_000),
        Buffer.from("\n\n\n"),
        Buffer.alloc(1024 * 1024, "x"),
        Buffer.from("\nno newline at the end"),
      ]);
      const source = scratch.path("data");
      writeFileSync(source, data);
      const bundle = makeBundle(scratch, {
        args: ["sh", "-c", "cat /mnt/data & cat /mnt/data >&2; wait; exit 3"],
        mounts: [{ destination: "/mnt/data", type: "bind", source, options: ["bind", "ro"] }],
      });
      const run = startConmon(scratch, { bundle, apiVersion: 1, ...shared });
      await run.created();
      await run.runtimeStart();
      assert.equal(await run.exitStatus(), 3);
      // Complete before the exit file appears.
      const log = readFileSync(run.paths.log);
      assert.ok(readOutput(log, "stdout").equals(data), "stdout");
      assert.ok(readOutput(log, "stderr").equals(data), "stderr");
      assert.equal(readFileSync(join(run.paths.persistDirectory, "exit"), "utf8"), "3");
      await run.ended();
    });

    it("tells what a runtime said that failed, and leaves nothing behind", async (t) => {
      const { scratch, ...shared } = await prepare(t);
      const runtime = makeStandInRuntime(scratch, behaviours.babbles(1024 * 1024, "the reason"));
      const bundle = makeBundle(scratch, { args: ["true"] });
      const run = startConmon(scratch, {
        bundle,
        runtime: runtime.path,
        apiVersion: 1,
        ...shared,
      });
      const message = await run.sync?.next();
      assert.equal(message?.data, -1);
      assert.match(message?.message ?? "", /the reason$/);
      await run.ended();
      assert.equal(existsSync(run.paths.exitFile), false);
    });

    it("says when a runtime wrote no pidfile", async (t) => {
      const { scratch, ...shared } = await prepare(t);
      const runtime = makeStandInRuntime(scratch, behaviours.writesNoPidFile());
      const bundle = makeBundle(scratch, { args: ["true"] });
      const run = startConmon(scratch, {
        bundle,
        runtime: runtime.path,
        apiVersion: 1,
        ...shared,
      });
      const message = await run.sync?.next();
      assert.equal(message?.data, -1);
      assert.match(message?.message ?? "", /ENOENT.*container\.pid/);
      await run.ended();
    });

    it("names a bundle that is missing, with status 1", async (t) => {
      const { scratch, ...shared } = await prepare(t);
      const run = startConmon(scratch, {
        arguments: ["--bundle", "/no/such/bundle"],
        apiVersion: 1,
        ...shared,
      });
      assert.deepEqual(await run.closed, { status: 1, signal: null });
      assert.match(
        run.stderr,
        /^\[conmon:e\]: .*\/no\/such\/bundle.*no such file or directory\n$/i,
      );
      await run.ended();
    });

    it("names an exit directory that is missing, with status 1, before anything is started", async (t) => {
      const { scratch, ...shared } = await prepare(t);
      const runtime = makeStandInRuntime(scratch, behaviours.fails("it was started"));
      const run = startConmon(scratch, {
        bundle: makeBundle(scratch, { args: ["true"] }),
        runtime: runtime.path,
        arguments: ["--exit-dir", "/no/such/exits"],
        ...shared,
      });
      assert.deepEqual(await run.closed, { status: 1, signal: null });
      assert.match(run.stderr, /^\[conmon:e\]: .*--exit-dir \/no\/such\/exits.*\n$/);
      assert.deepEqual(runtime.calls(), []);
    });

    it("does not mind a caller that closes the sync pipe early", async (t) => {
      const { scratch, ...shared } = await prepare(t);
      const runtime = makeStandInRuntime(
        scratch,
        behaviours.runs("exit_with() { exit 4; }; exit_with"),
      );
      const run = startConmon(scratch, {
        bundle: makeBundle(scratch, { args: ["true"] }),
        runtime: runtime.path,
        apiVersion: 1,
        ...shared,
      });
      run.sync?.close();
      assert.equal(await run.exitStatus(), 4);
      assert.deepEqual(await run.closed, { status: 0, signal: null });
    });

    it("hands SIGTERM on to the container", async (t) => {
      const { scratch, ...shared } = await prepare(t);
      const bundle = makeBundle(scratch, {
        args: ["sh", "-c", "trap 'exit 9' TERM; echo ready; while :; do sleep 0.1; done"],
      });
      const run = startConmon(scratch, { bundle, apiVersion: 1, ...shared });
      await run.created();
      await run.runtimeStart();
      const { textOf } = await import("../support/waiting.ts");
      await textOf(run.paths.log, (text) => text.includes("ready"));
      process.kill(await run.monitorPid(), "SIGTERM");
      assert.equal(await run.exitStatus(), 9);
      await run.ended();
    });

    it("runs containers for Podman as Debian's conmon does", async (t) => {
      const { scratch, conmond } = await prepare(t);
      const podman = await makePodman(scratch, conmond === undefined ? {} : { conmond });
      const command = ["sh", "-c", "echo hi; echo err >&2; exit 3"];
      const args = ["run", "--rm", "--network", "none", podman.image, ...command];
      const ours = await podman.run(args);
      assert.deepEqual(ours, await podman.run(args, { conmon: "debian" }));
      assert.deepEqual(ours, { status: 3, stdout: "hi\n", stderr: "err\n" });
      const piped = ["run", "--rm", "-i", "--network", "none", podman.image, "cat"];
      const input = "piped\n".repeat(50_000);
      assert.equal((await podman.run(piped, { input })).stdout, input);
    });
  });
}
