/** The host runtime under monitors: ours with a private and a shared conmond, and Debian's conmon. */
import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { AttachClient } from "../support/attach-client.ts";
import { type Bundle, type BundleOptions, makeBundle, type OciConfig } from "../support/bundle.ts";
import { type ConmonOptions, type ConmonRun, startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { startExec } from "../support/exec.ts";
import { processesWith } from "../support/processes.ts";
import { hostRuntimeProgram, type Monitor, unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith("busybox", "conmon", "setpriv");
const NOBODY = 65534;

/** What is the same for all monitors of a test. */
interface Place {
  readonly scratch: Scratch;
  readonly common: Pick<ConmonOptions, "conmon" | "conmond" | "runtime" | "apiVersion">;
}

const monitors: Record<string, (t: TestContext) => Promise<Place>> = {
  "our monitor with a private conmond": async (t) => makePlace(makeScratch(t), "ours"),
  "our monitor with a shared conmond": async (t) => {
    const scratch = makeScratch(t);
    const { scratch: same, common } = makePlace(scratch, "ours");
    return { scratch: same, common: { ...common, conmond: (await startConmond(scratch)).socket } };
  },
  "Debian's conmon": async (t) => {
    const scratch = makeScratch(t);
    // It leaves its fifos and links behind.
    scratch.atEnd(() => {
      for (const folder of ["bundles", "execs"]) {
        for (const name of readdirSync(scratch.folder(folder))) {
          for (const left of ["ctl", "winsz", "attach"]) {
            rmSync(scratch.path(folder, name, left), { force: true });
          }
        }
      }
      rmSync(scratch.path("sockets"), { recursive: true, force: true });
    });
    return makePlace(scratch, "debian");
  },
};

function makePlace(scratch: Scratch, conmon: Monitor): Place {
  return { scratch, common: { conmon, runtime: hostRuntimeProgram, apiVersion: 1 } };
}

/** Says nothing about isolation, which would be in the log. */
function quiet(config: OciConfig): void {
  config.annotations = { "conmon-ts.host-runtime": "quiet" };
}

function bundleOf(scratch: Scratch, script: string, options: Partial<BundleOptions> = {}): Bundle {
  return makeBundle(scratch, { args: ["sh", "-c", script], change: quiet, ...options });
}

async function run(
  { scratch, common }: Place,
  bundle: Bundle,
  ...args: string[]
): Promise<ConmonRun> {
  const monitor = startConmon(scratch, { bundle, ...common, arguments: args });
  await monitor.created();
  return monitor;
}

function outputOf({ paths }: ConmonRun, stream: "stdout" | "stderr" = "stdout"): string {
  return readOutput(readFileSync(paths.log), stream).toString();
}

for (const [name, prepare] of Object.entries(monitors)) {
  describe(`the host runtime under ${name}`, { skip }, () => {
    it("has its output logged and its status reported", async (t) => {
      const place = await prepare(t);
      const monitor = await run(place, bundleOf(place.scratch, "echo out; echo err >&2; exit 3"));
      assert.equal(existsSync(monitor.paths.log) && outputOf(monitor), "");
      await monitor.runtimeStart();
      assert.equal(await monitor.exitStatus(), 3);
      await monitor.ended();
      assert.deepEqual([outputOf(monitor), outputOf(monitor, "stderr")], ["out\n", "err\n"]);
    });

    it("has every status and byte of 50 short programs in a row", async (t) => {
      const place = await prepare(t);
      for (let i = 0; i < 50; i++) {
        const monitor = await run(place, bundleOf(place.scratch, `echo ${i}; exit ${i}`));
        await monitor.runtimeStart();
        assert.equal(await monitor.exitStatus(), i);
        await monitor.ended();
        assert.equal(outputOf(monitor), `${i}\n`);
        await monitor.runtimeDelete();
      }
    });

    it("gets signals, from the monitor too", async (t) => {
      const place = await prepare(t);
      const killed = await run(place, bundleOf(place.scratch, "exec sleep 1000"));
      await killed.runtimeStart();
      await killed.runtimeKill("KILL");
      assert.equal(await killed.exitStatus(), 137);
      await killed.ended();
      await assert.rejects(killed.runtimeKill("KILL"), /container not running/);

      const script = "trap 'echo asked; exit 7' TERM; echo up; while :; do sleep 0.05; done";
      const asked = await run(place, bundleOf(place.scratch, script));
      await asked.runtimeStart();
      await textOf(asked.paths.log, (text) => text.includes("up"));
      process.kill(await asked.monitorPid(), "SIGTERM");
      assert.equal(await asked.exitStatus(), 7);
      await asked.ended();
      assert.equal(outputOf(asked), "up\nasked\n");
    });

    it("is killed before it was started with a status that says so", async (t) => {
      const place = await prepare(t);
      const monitor = await run(place, bundleOf(place.scratch, "echo ran"));
      await monitor.runtimeDelete();
      assert.equal(await monitor.exitStatus(), 137);
      await monitor.ended();
      assert.equal(outputOf(monitor), "");
    });

    it("has a terminal, with input, its size, and interrupts", async (t) => {
      const place = await prepare(t);
      const script = `
        trap 'stty size' WINCH; trap 'echo int; exit 5' INT
        tty | sed s/[0-9].*/N/; stty size; read -r line; echo got $line
        while :; do sleep 0.05; done`;
      const bundle = bundleOf(place.scratch, script, {
        terminal: true,
        change: (config) => {
          quiet(config);
          config.process.consoleSize = { height: 24, width: 80 };
        },
      });
      const monitor = await run(place, bundle, "--terminal", "--stdin", "--full-attach");
      const client = new AttachClient(place.scratch, join(bundle.directory, "attach"));
      await monitor.runtimeStart();
      await client.until((text) => text === "/dev/pts/N\r\n24 80\r\n");
      client.send("typed\r");
      await client.until((text) => text.includes("got typed"));
      writeFileSync(join(bundle.directory, "ctl"), "1 40 120\n");
      await client.until((text) => text.includes("40 120"));
      client.send("\x03");
      await client.ended();
      assert.equal(await monitor.exitStatus(), 5);
      await monitor.ended();
      const shown = client.output().toString();
      assert.equal(shown, "/dev/pts/N\r\n24 80\r\ntyped\r\ngot typed\r\n40 120\r\n^Cint\r\n");
      assert.equal(outputOf(monitor), shown);
    });

    it("tells the monitor's caller why it failed", async (t) => {
      const { scratch, common } = await prepare(t);
      for (const terminal of [false, true]) {
        const bundle = makeBundle(scratch, { args: ["no-such"], terminal, change: quiet });
        const monitor = startConmon(scratch, {
          bundle,
          ...common,
          arguments: terminal ? ["--terminal"] : [],
        });
        const message = await monitor.sync?.next();
        assert.equal(message?.data, -1);
        assert.match(
          message?.message ?? "",
          /exec: \\"no-such\\": executable file not found in \$PATH/,
        );
        await monitor.ended();
      }
      const left = processesWith(scratch.id).filter(({ command }) => command.includes("host-init"));
      assert.deepEqual(left, []);
    });

    it("hands on descriptors from 3 up", async (t) => {
      const { scratch, common } = await prepare(t);
      const path = scratch.path("kept");
      writeFileSync(path, "kept\n");
      const descriptor = openSync(path, "r");
      const monitor = startConmon(scratch, {
        bundle: bundleOf(scratch, "cat <&3"),
        ...common,
        descriptors: [descriptor],
        arguments: ["--runtime-opt=--preserve-fds", "--runtime-opt=1"],
      });
      closeSync(descriptor);
      await monitor.created();
      await monitor.runtimeStart();
      assert.equal(await monitor.exitStatus(), 0);
      await monitor.ended();
      assert.equal(outputOf(monitor), "kept\n");
    });

    it("executes commands beside it, with every status and byte of 50 in a row", async (t) => {
      const place = await prepare(t);
      const bundle = bundleOf(place.scratch, "exec sleep 1000");
      await (await run(place, bundle)).runtimeStart();
      for (let i = 0; i < 50; i++) {
        // Of these, many have ended before the runtime has.
        const args = i % 2 === 0 ? ["sh", "-c", `echo ${i}; exit ${i}`] : ["false"];
        const exec = startExec(place.scratch, bundle, { args, ...place.common });
        await exec.run.created();
        assert.equal((await exec.run.sync?.next())?.data, i % 2 === 0 ? i : 1);
        await exec.run.ended();
        assert.equal(outputOf(exec.run), i % 2 === 0 ? `${i}\n` : "");
      }
      const missing = startExec(place.scratch, bundle, { args: ["no-such"], ...place.common });
      const message = await missing.run.sync?.next();
      assert.equal(message?.data, -1);
      assert.match(message?.message ?? "", /no-such.*executable file not found in \$PATH/);
      await missing.run.ended();
    });

    it("gives an executed command a terminal", async (t) => {
      const place = await prepare(t);
      const bundle = bundleOf(place.scratch, "exec sleep 1000");
      await (await run(place, bundle)).runtimeStart();
      // Nothing tells when the size that is asked for has arrived.
      const sized = 'until [ "$(stty size)" = "33 77" ]; do sleep 0.02; done; echo sized';
      const { run: exec, directory } = startExec(place.scratch, bundle, {
        args: ["sh", "-c", `${sized}; read -r line; stty size; echo got $line; exit 3`],
        terminal: true,
        withBundle: true,
        startPipe: true,
        attachPipe: true,
        ...place.common,
        arguments: ["--exec-attach", "--stdin"],
      });
      exec.start?.allow();
      await exec.attach?.next();
      const client = new AttachClient(place.scratch, join(directory, "attach"));
      exec.start?.allow();
      await exec.created();
      writeFileSync(join(directory, "ctl"), "1 33 77\n");
      await client.until((text) => text === "sized\r\n");
      client.send("typed\r");
      await client.ended();
      assert.equal(client.output().toString(), "sized\r\ntyped\r\n33 77\r\ngot typed\r\n");
      assert.equal(await exec.exitStatus(), 3);
      await exec.ended();
    });

    it("works for an ordinary user", async (t) => {
      const { scratch, common } = await prepare(t);
      // A shared conmond is root's, and turns this user away.
      const user = { uid: NOBODY, gid: NOBODY };
      const bundle = bundleOf(scratch, "id -u; id -G; exit 4", {
        change: (config) => {
          quiet(config);
          config.process.user = user;
        },
      });
      const terminal = bundleOf(scratch, "tty | grep -o pts; exit 5", {
        terminal: true,
        change: (config) => {
          quiet(config);
          config.process.user = user;
        },
      });
      const ids = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
      const asUser = { ...common, owner: NOBODY, wrapper: ["setpriv", ...ids] };
      const plain = startConmon(scratch, { ...asUser, bundle });
      await plain.created();
      await plain.runtimeStart();
      assert.equal(await plain.exitStatus(), 4);
      await plain.ended();
      assert.equal(outputOf(plain), `${NOBODY}\n${NOBODY}\n`);
      const shown = startConmon(scratch, {
        ...asUser,
        bundle: terminal,
        arguments: ["--terminal"],
      });
      await shown.created();
      await shown.runtimeStart();
      assert.equal(await shown.exitStatus(), 5);
      await shown.ended();
      assert.equal(outputOf(shown), "pts\r\n");
    });
  });
}

describe("the warning of the host runtime", { skip }, () => {
  it("is the first line in the log of a container that does not forbid it", async (t) => {
    const place = makePlace(makeScratch(t), "ours");
    const monitor = await run(place, makeBundle(place.scratch, { args: ["echo", "out"] }));
    await monitor.runtimeStart();
    assert.equal(await monitor.exitStatus(), 0);
    await monitor.ended();
    assert.match(
      outputOf(monitor, "stderr"),
      /^time=\S+ level=warning msg="the host runtime isolates nothing/,
    );
    assert.equal(outputOf(monitor), "out\n");
  });
});
