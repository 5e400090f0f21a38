/** Real runc, real Podman: what a container writes, how it ends, with a private and a shared conmond. */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import * as sys from "../../src/sys/mod.ts";
import { makeBundle } from "../support/bundle.ts";
import { startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { makePodman } from "../support/podman.ts";
import { hasOpen } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { type Behaviour, behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { appears, inTime, textOf, watchFor } from "../support/waiting.ts";

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

    /** A monitor whose runtime behaves like this. */
    async function startWith(t: TestContext, behaviour: Behaviour) {
      const { scratch, ...shared } = await prepare(t);
      const runtime = makeStandInRuntime(scratch, behaviour);
      const bundle = makeBundle(scratch, { args: ["true"] });
      const settings = { bundle, runtime: runtime.path, apiVersion: 1, ...shared };
      return { runtime, run: startConmon(scratch, settings) };
    }

    const failures: [string, Behaviour, RegExp][] = [
      ["says a lot before it fails", behaviours.babbles(1024 * 1024, "the reason"), /the reason$/],
      ["fails without a word", behaviours.fails("", 7), /failed with exit status 7/],
      ["is killed", behaviours.isKilled(), /was killed by signal 9/],
      ["writes no pidfile", behaviours.writesNoPidFile(), /ENOENT.*container\.pid/],
      ["writes no pidfile, but why", behaviours.writesNoPidFile("because"), /^because$/],
      ["writes nonsense for a pid", behaviours.writesPidFile("1 2"), /holds no pid .*"1 2"/],
      ["writes pid 1", behaviours.writesPidFile("1"), /holds no pid/],
    ];
    for (const [what, behaviour, reason] of failures) {
      it(`tells why there is no container when the runtime ${what}`, async (t) => {
        const { run } = await startWith(t, behaviour);
        const message = await run.sync?.next();
        assert.equal(message?.data, -1);
        assert.match(message?.message ?? "", reason);
        await run.ended();
        assert.equal(existsSync(run.paths.exitFile), false);
        assert.deepEqual(run.sync?.lines.length, 1);
      });
    }

    it("ends a runtime that hangs when it is told to", async (t) => {
      const { run, runtime } = await startWith(t, behaviours.hangs());
      await run.left;
      await watchFor(runtime.callsDirectory, () => runtime.calls()[0], "the runtime's start");
      process.kill(await run.monitorPid(), "SIGTERM");
      const message = await run.sync?.next();
      assert.equal(message?.data, -1);
      assert.match(message?.message ?? "", /was killed by signal 15/);
      await run.ended();
    });

    it("closes the caller's descriptors before the exit file appears", async (t) => {
      const { scratch, ...shared } = await prepare(t);
      const parked = scratch.path("parked");
      writeFileSync(parked, "");
      const descriptor = openSync(parked, "r");
      const holders = scratch.path("holders");
      // Looks who has the file open as soon as the exit is on record: the exit command runs later.
      const script = `ls -l /proc/[0-9]*/fd 2>/dev/null | grep -c ${parked} >${holders}`;
      const bundle = makeBundle(scratch, { args: ["true"] });
      // Not before the process that we started is gone, which has the file open as long as it is there.
      const end = "until [[ -e $bundle/go ]]; do sleep 0.05; done; exit 0";
      const run = startConmon(scratch, {
        bundle,
        runtime: makeStandInRuntime(scratch, behaviours.runs(end)).path,
        descriptors: [descriptor],
        arguments: [
          "--exit-command=/bin/sh",
          "--exit-command-arg=-c",
          `--exit-command-arg=${script}`,
        ],
        ...shared,
      });
      closeSync(descriptor);
      await run.left;
      writeFileSync(join(bundle.directory, "go"), "");
      assert.equal(await run.exitStatus(), 0);
      const monitor = await run.monitorPid();
      assert.equal(hasOpen(monitor, parked), false);
      await run.ended();
      assert.equal(readFileSync(holders, "utf8"), "0\n");
    });

    it("serves clients at the attach socket: output, stdin and its end", async (t) => {
      const { scratch, ...shared } = await prepare(t);
      const bundle = makeBundle(scratch, { args: ["cat"] });
      const run = startConmon(scratch, {
        bundle,
        apiVersion: 1,
        arguments: ["--full-attach", "--stdin"],
        ...shared,
      });
      await run.created();
      const client = sys.unixSocket("seqpacket");
      sys.connectUnix(client, join(bundle.directory, "attach"));
      await run.runtimeStart();
      const sent = randomBytes(300_000);
      const got: Buffer[] = [];
      const end = new Promise<void>((resolve, reject) => {
        let at = 0;
        const buffer = Buffer.alloc(9000);
        const readiness = new sys.Readiness(client, (events) => {
          try {
            while ((events & sys.WRITABLE) !== 0 && at < sent.length) {
              const count = sys.send(client, sent, at, Math.min(30_000, sent.length - at));
              if (count < 0) break;
              at += count;
              if (at === sent.length) sys.shutdownWrite(client);
            }
            const count = (events & sys.READABLE) === 0 ? -1 : sys.receive(client, buffer);
            if (count > 0) got.push(Buffer.from(buffer.subarray(1, count)));
            if (count === 0) {
              readiness.close();
              resolve();
            } else readiness.watch(at < sent.length ? sys.READABLE | sys.WRITABLE : sys.READABLE);
          } catch (error) {
            readiness.close();
            reject(error);
          }
        });
        readiness.watch(sys.READABLE | sys.WRITABLE);
      });
      await inTime(end, "the end of what the client reads");
      sys.close(client);
      assert.ok(Buffer.concat(got).equals(sent), "the client got back what it sent");
      // Complete before the client saw the end.
      assert.ok(readOutput(readFileSync(run.paths.log), "stdout").equals(sent), "the log");
      assert.equal(await run.exitStatus(), 0);
      await run.ended();
    });

    it("reopens the log on request and loses nothing", async (t) => {
      const { run } = await startWith(
        t,
        behaviours.runs(
          "wait_for() { echo before; while [[ ! -e $bundle/go ]]; do sleep 0.05; done; echo after; }; wait_for",
        ),
      );
      await run.created();
      await textOf(run.paths.log, (text) => text.includes("before"));
      renameSync(run.paths.log, `${run.paths.log}.away`);
      const bundle = run.arguments.find((text) => text.startsWith("--bundle="))?.slice(9) ?? "";
      writeFileSync(join(bundle, "ctl"), "2 0 0\n");
      await appears(run.paths.log);
      writeFileSync(join(bundle, "go"), "");
      assert.equal(await run.exitStatus(), 0);
      const [old, fresh] = [`${run.paths.log}.away`, run.paths.log].map((path) =>
        readOutput(readFileSync(path), "stdout").toString(),
      );
      assert.deepEqual([old, fresh], ["before\n", "after\n"]);
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

    it("leaves no fifo and no socket behind when one of the fifos cannot be made", async (t) => {
      const { scratch, ...shared } = await prepare(t);
      const bundle = makeBundle(scratch, { args: ["true"] });
      mkdirSync(join(bundle.directory, "winsz"));
      const run = startConmon(scratch, { bundle, arguments: ["--full-attach"], ...shared });
      assert.deepEqual(await run.closed, { status: 1, signal: null });
      assert.match(run.stderr, /^\[conmon:e\]: Failed to make the fifo .*winsz.*\n$/);
      assert.deepEqual(readdirSync(bundle.directory).sort(), ["config.json", "winsz"]);
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
