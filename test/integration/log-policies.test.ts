/** Real containers whose logs are rotated, compressed, on a full disk, or faster than they may be. */
import assert from "node:assert/strict";
import * as fs from "node:fs";
import { dirname, join } from "node:path";
import { describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { parseLossNotice } from "../../src/logging/loss-notice.ts";
import { readCriRecords, readOutput } from "../../src/logging/read/cri-records.ts";
import * as sys from "../../src/sys/mod.ts";
import { AttachClient } from "../support/attach-client.ts";
import { makeBundle } from "../support/bundle.ts";
import { type ConmonRun, startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { inBothModes, type Place } from "../support/modes.ts";
import { NumberedLines, readBack } from "../support/numbered-lines.ts";
import { eventually, privateConmond } from "../support/private-conmond.ts";
import { hasOpen } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { behaviours, makeStandInRuntime } from "../support/stand-in-runtime.ts";
import { mountTmpfs } from "../support/tmpfs.ts";
import { appears, textOf, watchFor } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox", "mount", "umount");

/** 8000 numbers of 500 digits: far more than pipe and monitor hold. */
const WRITE_4_MB = `awk 'BEGIN { for (i = 1; i <= 8000; i++) printf "%0500d\\n", i }'`;

const WHAT_IS_IN_4_MB = Array.from(
  { length: 8000 },
  (_, index) => `${String(index + 1).padStart(500, "0")}\n`,
).join("");

/** A container whose log is on a tmpfs that is full but for 100 KiB. */
function startOnFullDisk(
  { scratch, shared, runtime }: Place & { readonly runtime?: string },
  script: string,
  ...options: string[]
) {
  const disk = mountTmpfs(scratch, 6144);
  const ballast = join(disk, "ballast");
  fs.writeFileSync(ballast, Buffer.alloc(6044 * 1024));
  const log = join(disk, "0.log");
  const signs = scratch.folder("signs");
  const bundle = makeBundle(scratch, {
    args: ["sh", "-c", script],
    mounts: [{ destination: "/mnt/signs", type: "bind", source: signs, options: ["bind", "rw"] }],
  });
  const run = startConmon(scratch, {
    bundle,
    apiVersion: 1,
    omit: ["--log-path"],
    arguments: [`--log-path=${log}`, ...options],
    ...(runtime === undefined ? {} : { runtime }),
    ...shared,
  });
  const full = (): Promise<true> =>
    watchFor(disk, () => fs.statfsSync(disk).bavail === 0 || undefined, "the disk to be full");
  return { run, log, ballast, signs, full };
}

/** Kills a private conmond so many times, each when it has the log. */
async function killSome(run: ConmonRun, log: string, times: number): Promise<void> {
  const monitor = await run.monitorPid();
  for (let last = 0, left = times; left > 0; left--) {
    const conmond = await privateConmond(monitor, last);
    await eventually(() => hasOpen(conmond, log), "conmond to have the log");
    // Some of them get to where they wait for the disk, which nobody tells.
    await delay(Math.random() * 400);
    process.kill(conmond, "SIGKILL");
    last = conmond;
  }
}

/** Has the logs reopened, unless the session is over: nobody reads the fifo then, or it is gone. */
function askToReopen(fifo: string): void {
  const { O_NONBLOCK, O_WRONLY } = fs.constants;
  try {
    const fd = fs.openSync(fifo, O_WRONLY | O_NONBLOCK);
    fs.writeSync(fd, "2 0 0\n");
    fs.closeSync(fd);
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (!["ENXIO", "ENOENT", "EPIPE"].includes(code)) throw error;
  }
}

/** How many bytes of stdout a log holds, and how many more it says are missing. */
function loggedAndLost(log: Buffer): number {
  const notices = [...readCriRecords(log)]
    .filter(({ stream }) => stream === "stderr")
    .map(({ payload }) => parseLossNotice(payload.toString())?.bytes ?? 0);
  return notices.reduce((sum, bytes) => sum + bytes, readOutput(log, "stdout").length);
}

async function start(run: ConmonRun): Promise<void> {
  await run.created();
  await run.runtimeStart();
}

inBothModes("logs", skip, (prepare) => {
  it("loses nothing when it is rotated, compressed and reopened at full speed", async (t) => {
    const { scratch, shared } = await prepare(t);
    const lines = new NumberedLines();
    for (const stream of ["stdout", "stderr"] as const) {
      fs.writeFileSync(scratch.path(stream), lines.read(stream, 40 * 2 ** 20));
    }
    sys.makeFifo(scratch.path("gate"), 0o600);
    const bundle = makeBundle(scratch, {
      // It stays until something has been compressed, which takes its time on a busy machine.
      args: ["sh", "-c", "cat /mnt/stdout & cat /mnt/stderr >&2; wait; read compressed </mnt/gate"],
      mounts: (["stdout", "stderr", "gate"] as const).map((name) => ({
        destination: `/mnt/${name}`,
        type: "bind",
        source: scratch.path(name),
        options: ["bind", "ro"],
      })),
    });
    // More than is read at a time: so the times of their first records tell the files' order.
    const run = startConmon(scratch, {
      bundle,
      apiVersion: 1,
      arguments: ["--log-size-max=1300000", "--log-opt=max-files=10000"],
      environment: { CONMON_LOG_OPTS: "compress=gzip,max-files=1" },
      ...shared,
    });
    await run.created();
    await run.runtimeStart();
    let rotations = 0;
    const kubelet = fs.watch(dirname(run.paths.log), (_event, name) => {
      // With every tenth compressed backup, as if it were kubelet's time.
      if (!/\d+0\.gz$/.test(name ?? "")) return;
      try {
        fs.renameSync(run.paths.log, `${run.paths.log}.20260102-${150000 + rotations}`);
      } catch (error) {
        // It is just being rotated by conmond.
        if ((error as NodeJS.ErrnoException).code === "ENOENT") return;
        throw error;
      }
      rotations++;
      askToReopen(join(bundle.directory, "ctl"));
    });
    const { log } = run.paths;
    const isCompressed = () => fs.readdirSync(dirname(log)).some((name) => name.endsWith(".gz"));
    await watchFor(dirname(log), () => (isCompressed() && rotations > 0) || undefined, "a backup");
    fs.writeFileSync(scratch.path("gate"), "\n");
    fs.rmSync(scratch.path("gate"));
    assert.equal(await run.exitStatus(), 0);
    kubelet.close();
    await run.ended();
    const files = readBack(run.paths.log);
    lines.check(files);
    assert.ok(files.length > 50, `${files.length} files`);
    assert.ok(
      files.some(({ name }) => name.endsWith(".gz")),
      "none was compressed",
    );
    assert.ok(rotations > 0, "kubelet never had its turn");
    assert.ok(files.every(({ content }) => content.at(-1) === 10));
    const left = fs.readdirSync(dirname(run.paths.log)).filter((name) => name.endsWith(".tmp"));
    assert.deepEqual(left, []);
  });

  it("with on-error=block the container waits for room on the disk", async (t) => {
    const place = await prepare(t);
    const script = `${WRITE_4_MB}; seq 1 10 >&2; echo > /mnt/signs/done`;
    const { run, log, ballast, signs, full } = startOnFullDisk(
      place,
      script,
      "--log-opt=on-error=block",
    );
    await start(run);
    await full();
    assert.equal(fs.existsSync(join(signs, "done")), false);
    fs.rmSync(ballast);
    assert.equal(await run.exitStatus(), 0);
    const numbers = Array.from({ length: 8000 }, (_, index) => String(index + 1));
    const output = (stream: "stdout" | "stderr"): string =>
      readOutput(fs.readFileSync(log), stream).toString();
    assert.ok(output("stdout") === numbers.map((text) => `${text.padStart(500, "0")}\n`).join(""));
    assert.equal(output("stderr"), "1\n2\n3\n4\n5\n6\n7\n8\n9\n10\n");
    await run.ended();
  });

  it("with on-error=block the end is reported although the disk stays full", async (t) => {
    const place = await prepare(t);
    const { run, log, full } = startOnFullDisk(
      place,
      "seq 1 6000; exit 3",
      "--log-opt=on-error=block",
    );
    await start(run);
    await full();
    assert.equal(await run.exitStatus(), 3);
    const output = readOutput(fs.readFileSync(log), "stdout").toString();
    assert.match(output, /^1\n2\n(.*\n)*\d+\n$/);
    assert.ok(!output.includes("6000"));
    await run.ended();
  });

  it("by default it goes on, and the log says what was lost", async (t) => {
    const place = await prepare(t);
    const script =
      `${WRITE_4_MB}; echo > /mnt/signs/done; ` +
      "while [ ! -e /mnt/signs/go ]; do sleep 0.05; done; echo last";
    const { run, log, ballast, signs } = startOnFullDisk(place, script);
    await start(run);
    await appears(join(signs, "done"));
    fs.rmSync(ballast);
    fs.writeFileSync(join(signs, "go"), "");
    assert.equal(await run.exitStatus(), 0);
    const records = [...readCriRecords(fs.readFileSync(log))];
    const own = records.filter(({ stream }) => stream === "stderr");
    const notices = own.map(({ payload }) => parseLossNotice(payload.toString()));
    assert.equal(notices.length, 1);
    const lost = notices[0]?.bytes ?? 0;
    const logged = readOutput(fs.readFileSync(log), "stdout").toString();
    assert.equal(logged.length + lost, 8000 * 501 + "last\n".length);
    assert.ok(lost > 1_000_000, `${lost} bytes were lost`);
    assert.match(logged, /\nlast\n$/);
    await run.ended();
  });

  it("with on-limit=block the container is as fast as it may be, and nothing is lost", async (t) => {
    const { scratch, shared } = await prepare(t);
    const signs = scratch.folder("signs");
    const until = (sign: string) => `until [ -e /mnt/${sign} ]; do sleep 0.02; done`;
    // The rest must not be read together with what comes first. And it lives on until all has been logged, since
    // what is in the pipe at its end is logged without waiting.
    const script = `seq 1 50; ${until("more")}; seq 51 100; ${until("end")}`;
    const bundle = makeBundle(scratch, {
      args: ["sh", "-c", script],
      mounts: [{ destination: "/mnt", type: "bind", source: signs, options: ["bind"] }],
    });
    const run = startConmon(scratch, {
      bundle,
      apiVersion: 1,
      environment: { CONMON_LOG_OPTS: "max-lines-per-second=40" },
      arguments: ["--log-opt=on-limit=block"],
      ...shared,
    });
    await start(run);
    await textOf(run.paths.log, (text) => text.endsWith(" 50\n"));
    fs.writeFileSync(join(signs, "more"), "");
    await textOf(run.paths.log, (text) => text.endsWith(" 100\n"));
    fs.writeFileSync(join(signs, "end"), "");
    // The first 50 are 10 more than a second's worth, so the others come a quarter of a second later.
    assert.equal(await run.exitStatus(), 0);
    const records = [...readCriRecords(fs.readFileSync(run.paths.log))];
    assert.equal(records.length, 100);
    const [first, later] = [records[0], records[50]].map((record) =>
      Date.parse(record?.timestamp ?? ""),
    );
    assert.ok(Number(later) - Number(first) >= 240, `${first} ${later}`);
    await run.ended();
  });

  it("with on-limit=drop a flood is cut, and the log says by how much", async (t) => {
    const { scratch, shared } = await prepare(t);
    const signs = scratch.folder("signs");
    const script = "seq 1 100000; until [ -e /mnt/go ]; do sleep 0.02; done; echo last";
    const bundle = makeBundle(scratch, {
      args: ["sh", "-c", script],
      mounts: [{ destination: "/mnt", type: "bind", source: signs, options: ["bind"] }],
    });
    const run = startConmon(scratch, {
      bundle,
      apiVersion: 1,
      arguments: ["--log-opt=max-lines-per-second=100", "--log-opt=on-limit=drop"],
      ...shared,
    });
    await start(run);
    // While the container is silent, without anything that would be a reason but the time.
    const flood = 588_895;
    await textOf(run.paths.log, (text) => loggedAndLost(Buffer.from(text)) === flood);
    fs.writeFileSync(join(signs, "go"), "");
    assert.equal(await run.exitStatus(), 0);
    const records = [...readCriRecords(fs.readFileSync(run.paths.log))];
    const [notice, ...more] = records
      .filter(({ stream }) => stream === "stderr")
      .map(({ payload }) => parseLossNotice(payload.toString()));
    assert.deepEqual(more, []);
    assert.equal(notice?.reason, "more than 100 lines per second");
    assert.equal(loggedAndLost(fs.readFileSync(run.paths.log)), flood + "last\n".length);
    assert.equal(records.at(-1)?.payload.toString(), "last");
    await run.ended();
  });

  it("refuses log options that are wrong before anything is started", async (t) => {
    const { scratch, shared } = await prepare(t);
    const runtime = makeStandInRuntime(scratch, behaviours.fails("it was started"));
    const settings = {
      bundle: makeBundle(scratch, { args: ["true"] }),
      runtime: runtime.path,
      apiVersion: 1,
      ...shared,
    };
    const byOption = startConmon(scratch, { ...settings, arguments: ["--log-opt", "compress=x"] });
    assert.deepEqual(await byOption.closed, { status: 1, signal: null });
    assert.equal(
      byOption.stderr,
      "[conmon:e]: --log-opt compress=x: compress must be none or gzip\n",
    );
    const byVariable = startConmon(scratch, {
      ...settings,
      environment: { CONMON_LOG_OPTS: "size=1" },
    });
    assert.deepEqual(await byVariable.closed, { status: 1, signal: null });
    assert.match(
      byVariable.stderr,
      /^\[conmon:e\]: CONMON_LOG_OPTS: size=1: there is no size; known/,
    );
    assert.deepEqual(runtime.calls(), []);
  });
});

describe("a full disk, when conmond is killed", { skip }, () => {
  it("with on-error=block nothing is lost although conmond is killed meanwhile", async (t) => {
    const place: Place = { scratch: makeScratch(t), shared: {} };
    const script = `seq 1 5 >&2; ${WRITE_4_MB}`;
    const { run, log, ballast, full } = startOnFullDisk(place, script, "--log-opt=on-error=block");
    await run.created();
    const client = new AttachClient(
      place.scratch,
      join(place.scratch.path("sockets"), run.id, "attach"),
    );
    await run.runtimeStart();
    await full();
    await killSome(run, log, 4);
    fs.rmSync(ballast);
    assert.equal(await run.exitStatus(), 0);
    await client.ended();
    const output = readOutput(fs.readFileSync(log), "stdout").toString();
    assert.ok(output === WHAT_IS_IN_4_MB, "each line is there once");
    assert.ok(client.output().toString() === WHAT_IS_IN_4_MB, "and was shown once");
    await run.ended();
  });

  it("with on-error=block nothing is lost of what a container wrote last of all", async (t) => {
    const place: Place = { scratch: makeScratch(t), shared: {} };
    const script = "seq 1 20000; exit 3";
    const { run, log, ballast, full } = startOnFullDisk(place, script, "--log-opt=on-error=block");
    await start(run);
    await full();
    await killSome(run, log, 4);
    fs.rmSync(ballast);
    assert.equal(await run.exitStatus(), 3);
    const numbers = Array.from({ length: 20000 }, (_, index) => `${index + 1}\n`);
    assert.ok(readOutput(fs.readFileSync(log), "stdout").toString() === numbers.join(""));
    await run.ended();
  });

  it("by default the log says what was lost although conmond is killed meanwhile", async (t) => {
    const place: Place = { scratch: makeScratch(t), shared: {} };
    const { run, log, ballast, signs, full } = startOnFullDisk(
      place,
      `${WRITE_4_MB}; until test -e /mnt/signs/go; do sleep 0.02; done; echo after`,
    );
    await start(run);
    await full();
    await killSome(run, log, 3);
    fs.rmSync(ballast);
    fs.writeFileSync(join(signs, "go"), "");
    assert.equal(await run.exitStatus(), 0);
    await run.ended();
    const text = fs.readFileSync(log);
    const logged = readOutput(text, "stdout").length;
    const notices = readOutput(text, "stderr").toString().split("\n");
    const lost = notices.map((line) => parseLossNotice(line)?.bytes ?? 0);
    const sum = lost.reduce((all, bytes) => all + bytes, 0);
    assert.equal(logged + sum, WHAT_IS_IN_4_MB.length + "after\n".length);
  });

  it("with on-limit=drop the log says what was dropped although conmond is killed meanwhile", async (t) => {
    const scratch = makeScratch(t);
    const script = "for i in $(seq 1 100); do seq 1 100; usleep 10000; done";
    const run = startConmon(scratch, {
      bundle: makeBundle(scratch, { args: ["sh", "-c", script] }),
      apiVersion: 1,
      arguments: ["--log-opt=max-lines-per-second=500", "--log-opt=on-limit=drop"],
    });
    await start(run);
    await killSome(run, run.paths.log, 3);
    assert.equal(await run.exitStatus(), 0);
    await run.ended();
    const records = [...readCriRecords(fs.readFileSync(run.paths.log))];
    const logged = records.filter(({ stream }) => stream === "stdout").length;
    const notices = records.filter(({ stream }) => stream === "stderr");
    const lost = notices.map(({ payload }) => parseLossNotice(payload.toString())?.records ?? 0);
    const all = lost.reduce((sum, count) => sum + count, logged);
    // Whoever is killed between two system calls does not tell of the piece that was just thrown away.
    const pieces = 3 * 100;
    assert.ok(all <= 10_000 && all >= 10_000 - pieces, `${logged} logged, ${lost} lost`);
  });

  for (const kills of [0, 3]) {
    it(`what the runtime had said waits as well, whose container writes at once, ${kills} kills`, async (t) => {
      const scratch = makeScratch(t);
      const [go, end] = [scratch.path("go"), scratch.path("end")];
      const until = (path: string) => `while [[ ! -e ${path} ]]; do sleep 0.02; done`;
      const runtime = makeStandInRuntime(
        scratch,
        `echo the runtime warns >&2
        { seq 1 30000; ${until(end)}; exit 3; } &
        printf '%s' "$!" >"$pid_file"
        ${until(go)}`,
      ).path;
      const place = { scratch, shared: {}, runtime };
      const { run, log, ballast, full } = startOnFullDisk(place, "", "--log-opt=on-error=block");
      await full();
      fs.writeFileSync(go, "");
      await run.created();
      await killSome(run, log, kills);
      fs.rmSync(ballast);
      fs.writeFileSync(end, "");
      assert.equal(await run.exitStatus(), 3);
      const text = fs.readFileSync(log);
      const numbers = Array.from({ length: 30_000 }, (_, index) => `${index + 1}\n`);
      assert.ok(readOutput(text, "stdout").toString() === numbers.join(""));
      assert.equal(readOutput(text, "stderr").toString(), "the runtime warns\n");
      await run.ended();
    });
  }

  it("with on-error=block nothing is lost although the sessions go to another conmond meanwhile", async (t) => {
    const scratch = makeScratch(t);
    const first = await startConmond(scratch);
    const place: Place = { scratch, shared: { conmond: first.socket } };
    const { run, log, ballast, full } = startOnFullDisk(
      place,
      `seq 1 5 >&2; ${WRITE_4_MB}`,
      "--log-opt=on-error=block",
    );
    await start(run);
    await full();
    const second = await startConmond(scratch, {
      socket: first.socket,
      arguments: ["--replace"],
    });
    assert.deepEqual(await first.ended, { status: 0, signal: null }, first.log());
    await eventually(() => hasOpen(second.pid, log), "the second conmond to have the log");
    fs.rmSync(ballast);
    assert.equal(await run.exitStatus(), 0);
    assert.ok(readOutput(fs.readFileSync(log), "stdout").toString() === WHAT_IS_IN_4_MB);
    await run.ended();
  });
});
