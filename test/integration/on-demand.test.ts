/** CONMOND=auto: the first shim starts a shared conmond, and the others use it. */
import assert from "node:assert/strict";
import { chmodSync, existsSync, readFileSync, readlinkSync, writeFileSync } from "node:fs";
import { dirname } from "node:path";
import { describe, it } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonOptions, type ConmonRun, startConmon } from "../support/conmon.ts";
import { newSocketPath } from "../support/conmond.ts";
import { eventually } from "../support/private-conmond.ts";
import { openFilesOf, processesWith, waitUntilGone } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { makeTracedShim, type TracedShim } from "../support/traced-shim.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith();

class AutoStart {
  readonly scratch: Scratch;
  readonly socket: string;
  readonly shim: TracedShim;

  constructor(scratch: Scratch) {
    this.scratch = scratch;
    this.socket = newSocketPath(scratch);
    this.shim = makeTracedShim(scratch);
    scratch.atEnd(async () => {
      for (const { pid } of this.conmonds()) process.kill(pid, "SIGTERM");
      await waitUntilGone(() => this.conmonds());
    });
  }

  start(commands: string, options: ConmonOptions = {}): ConmonRun {
    return startConmon(this.scratch, {
      bundle: makeBundle(this.scratch, { args: ["true"] }),
      runtime: makeStandInRuntime(this.scratch, behaviours.runs(commands)).path,
      ...{ apiVersion: 1, conmond: this.socket, conmon: this.shim.path },
      ...options,
      environment: { CONMOND: "auto", ...options.environment },
    });
  }

  /** Those that are there, however they were started. */
  conmonds() {
    const all = processesWith(this.scratch.id);
    return all.filter(({ command }) => command.includes("conmond.cjs --on-demand"));
  }

  /** The one that listens. */
  conmond(): number {
    return Number(readFileSync(`${this.socket}.lock`, "latin1"));
  }
}

describe("CONMOND=auto", { skip }, () => {
  it("starts one conmond, for this shim and for those that come later", async (t) => {
    const scratch = makeScratch(t);
    const auto = new AutoStart(scratch);
    for (let i = 0; i < 3; i++) {
      // Code of the caller's that would make each Node.js fail.
      const run = auto.start("echo out; exit 5", {
        environment: { NODE_OPTIONS: "--require=/not/there" },
      });
      await run.created();
      assert.equal(await run.exitStatus(), 5);
      await run.ended();
      assert.deepEqual(await run.closed, { status: 0, signal: null });
      assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "out\n");
    }
    assert.deepEqual(auto.shim.starts(), ["--on-demand"]);
  });

  it("starts one that has nothing of the shim and its caller", async (t) => {
    const scratch = makeScratch(t);
    const auto = new AutoStart(scratch);
    const run = auto.start("exec sleep 100", { environment: { SECRET: "of the caller" } });
    await run.created();
    const conmond = auto.conmond();
    const monitor = await run.monitorPid();
    assert.equal(readlinkSync(`/proc/${conmond}/cwd`), "/");
    const [, parent, , session] =
      readFileSync(`/proc/${conmond}/stat`, "latin1").split(") ")[1]?.split(" ").map(Number) ?? [];
    assert.notEqual(parent, monitor);
    assert.equal(session, conmond, "it is the leader of a session of its own");
    assert.ok(!readFileSync(`/proc/${conmond}/environ`, "latin1").includes("SECRET"));
    for (const fd of [0, 1, 2])
      assert.equal(readlinkSync(`/proc/${conmond}/fd/${fd}`), "/dev/null");
    process.kill(monitor, "SIGTERM");
    await run.ended();
    // What it has got from the shim it has given back.
    assert.ok(existsSync(`/proc/${conmond}`));
    const files = () => openFilesOf(conmond).filter((path) => path.includes("runs/"));
    await waitUntilGone(files);
    assert.deepEqual(files(), []);
  });

  it("starts one for several shims that begin at the same time", async (t) => {
    const scratch = makeScratch(t);
    const auto = new AutoStart(scratch);
    const runs = Array.from({ length: 6 }, () => auto.start("exec sleep 100"));
    await Promise.all(runs.map((run) => run.created()));
    await waitUntilGone(() => auto.conmonds().slice(1));
    assert.deepEqual(
      auto.conmonds().map(({ pid }) => pid),
      [auto.conmond()],
    );
    assert.ok(!auto.shim.starts().includes("--private"));
    for (const run of runs) process.kill(await run.monitorPid(), "SIGTERM");
    await Promise.all(runs.map((run) => run.ended()));
  });

  it("starts another one when it has been killed, for all sessions, which do not wait for it", async (t) => {
    const scratch = makeScratch(t);
    const auto = new AutoStart(scratch);
    const go = scratch.path("go");
    const exitCommand = ["--exit-command=/bin/true"];
    const runs = [0, 1, 2].map(() =>
      auto.start(`echo one; while [[ ! -e ${go} ]]; do sleep 0.05; done; echo two; exit 5`, {
        arguments: exitCommand,
      }),
    );
    await Promise.all(runs.map((run) => run.created()));
    await Promise.all(runs.map((run) => textOf(run.paths.log, (text) => text.includes("one"))));
    const first = auto.conmond();
    process.kill(first, "SIGKILL");
    const next = await eventually(() => {
      const pid = auto.conmond();
      return pid > 0 && pid !== first && pid;
    }, "the next one");
    writeFileSync(go, "");
    for (const run of runs) {
      assert.equal(await run.exitStatus(), 5);
      // With an exit command the shim waits for all its children.
      await run.ended();
      assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "one\ntwo\n");
    }
    assert.ok(existsSync(`/proc/${next}`));
    assert.ok(!auto.shim.starts().includes("--private"));
  });

  it("works with --sync as well, where conmond is not the caller's child either", async (t) => {
    const scratch = makeScratch(t);
    const auto = new AutoStart(scratch);
    const run = auto.start("exit 5", { arguments: ["--sync", "--exit-command=/bin/true"] });
    await run.created();
    assert.deepEqual(await run.closed, { status: 5, signal: null });
    const status = readFileSync(`/proc/${auto.conmond()}/status`, "latin1");
    assert.notEqual(Number(/^PPid:\s+(\d+)/m.exec(status)?.[1]), process.pid);
    assert.deepEqual(auto.shim.starts(), ["--on-demand"]);
  });

  it("goes private where a shared one cannot be started", async (t) => {
    const scratch = makeScratch(t);
    const auto = new AutoStart(scratch);
    chmodSync(dirname(auto.socket), 0o777);
    const run = auto.start("exit 5");
    await run.created();
    assert.equal(await run.exitStatus(), 5);
    await run.ended();
    assert.equal(run.stderr, "");
    assert.deepEqual(auto.shim.starts(), ["--on-demand", "--private"]);
  });

  it("starts none where CONMOND_SOCKET is empty, and where it is not auto", async (t) => {
    const scratch = makeScratch(t);
    const auto = new AutoStart(scratch);
    for (const options of [{ conmond: "" }, { environment: { CONMOND: "" } }]) {
      const run = auto.start("exit 5", options);
      await run.created();
      await run.ended();
    }
    assert.deepEqual(auto.shim.starts(), ["--private", "--private"]);
  });
});
