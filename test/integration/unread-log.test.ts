/** A shared conmond whose own log nobody reads: what it is there for goes on. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { constants, openSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { readOutput } from "../../src/logging/read/cri-records.ts";
import * as sys from "../../src/sys/mod.ts";
import { AttachClient } from "../support/attach-client.ts";
import { makeBundle } from "../support/bundle.ts";
import { startConmon } from "../support/conmon.ts";
import { newSocketPath } from "../support/conmond.ts";
import { conmondProgram, programPath, unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { makeTracedShim } from "../support/traced-shim.ts";
import { inTime, textOf } from "../support/waiting.ts";

const skip = unlessRootWith();

/** The other end of conmond's stderr: read from only when somebody asks. */
class LogReader {
  readonly #fd: number;
  #text = "";

  constructor(fd: number) {
    this.#fd = fd;
  }

  /** All up to now, as soon as `text` is part of it. */
  async until(text: string): Promise<string> {
    let readiness: sys.Readiness | undefined;
    const there = new Promise<void>((resolve) => {
      readiness = new sys.Readiness(this.#fd, () => {
        const bytes = Buffer.alloc(100_000);
        const count = sys.read(this.#fd, bytes, 0, bytes.length);
        if (count > 0) this.#text += bytes.toString("latin1", 0, count);
        if (this.#text.includes(text)) resolve();
      });
      readiness.watch(sys.READABLE);
    });
    try {
      await inTime(there, () => `"${text}" in conmond's log: ${this.#text.slice(-500)}`);
    } finally {
      readiness?.close();
    }
    return this.#text;
  }
}

interface UnreadConmond {
  readonly socket: string;
  readonly log: LogReader;
  readonly ended: Promise<[number | null, NodeJS.Signals | null]>;
  kill(signal: NodeJS.Signals): void;
}

/** Starts a conmond that writes its log to `writing`, which is full from then on. */
async function startUnread(
  scratch: Scratch,
  [reading, writing]: [number, number],
): Promise<UnreadConmond> {
  const socket = newSocketPath(scratch);
  const child = spawn(process.execPath, [conmondProgram, "--socket", socket], {
    cwd: scratch.directory,
    env: { PATH: programPath, TMPDIR: scratch.temporary, CONMON_TS_TEST: scratch.id },
    stdio: ["ignore", "ignore", writing],
  });
  const ended = once(child, "exit") as Promise<[number | null, NodeJS.Signals | null]>;
  scratch.atEnd(async () => {
    child.kill("SIGKILL");
    await ended;
    rmSync(socket, { force: true });
    sys.close(reading);
    sys.close(writing);
  });
  const log = new LogReader(reading);
  await log.until("Listening on");
  fill(writing);
  return { socket, log, ended, kill: (signal) => child.kill(signal) };
}

/** Writes until nothing more fits, without changing the mode in which conmond has it. */
function fill(writing: number): void {
  const { O_NOCTTY, O_NONBLOCK, O_WRONLY } = constants;
  const fd = openSync(`/proc/self/fd/${writing}`, O_WRONLY | O_NONBLOCK | O_NOCTTY);
  const filling = Buffer.from("filling\n".repeat(512));
  // The last bit as well, into which a short line would fit.
  for (const size of [filling.length, 1]) while (sys.write(fd, filling, 0, size) > 0);
  sys.close(fd);
}

const KINDS = { pipe: () => sys.pipe(), terminal: () => sys.openTerminal() };

for (const [kind, make] of Object.entries(KINDS)) {
  describe(`a shared conmond whose stderr is a full ${kind}`, { skip }, () => {
    it("goes on with its sessions, and logs what it could not as soon as it can", async (t) => {
      const scratch = makeScratch(t);
      const shim = makeTracedShim(scratch);
      const conmond = await startUnread(scratch, make());
      const go = scratch.path("go");
      const bundle = makeBundle(scratch, { args: ["true"] });
      const script = `echo one; while [[ ! -e ${go} ]]; do sleep 0.05; done; echo two; exit 5`;
      const run = startConmon(scratch, {
        bundle,
        runtime: makeStandInRuntime(scratch, behaviours.runs(script)).path,
        ...{ apiVersion: 1, conmond: conmond.socket, conmon: shim.path },
        arguments: ["--full-attach"],
      });
      await run.created();
      await textOf(run.paths.log, (text) => text.includes("one"));
      const client = new AttachClient(scratch, join(bundle.directory, "attach"));
      // Each has something to be logged, all together more than is kept: 100 KiB a piece.
      const bad = "x".repeat(100_000);
      for (const number of [1, 2, 3, 4, 5]) {
        const refused = startConmon(scratch, {
          ...{ apiVersion: 1, conmond: conmond.socket, conmon: shim.path },
          arguments: [`--bad-option-${number}-${bad}`],
        });
        await refused.ended();
      }
      writeFileSync(go, "");
      await client.until((text) => text.endsWith("two\n"));
      assert.equal(await run.exitStatus(), 5);
      await run.ended();
      assert.equal(readOutput(readFileSync(run.paths.log), "stdout").toString(), "one\ntwo\n");
      assert.deepEqual(shim.starts(), [], "no shim has gone private");

      const log = await conmond.log.until("lines of this log were lost here");
      assert.ok(log.includes("bad-option-1-"));
      assert.ok(!log.includes("bad-option-5-"));
    });

    it("ends when it is told to", async (t) => {
      const scratch = makeScratch(t);
      const conmond = await startUnread(scratch, make());
      conmond.kill("SIGTERM");
      assert.deepEqual(await inTime(conmond.ended, "conmond's end"), [0, null]);
    });
  });
}
