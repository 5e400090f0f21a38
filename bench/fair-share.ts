/**
 * Fifty containers that write as fast as they can through one conmond, and one that hardly writes.
 *
 *     npm run bench:fair [-- SECONDS]
 *
 * Prints what the slowest got of the mean, and how long the idle one's lines took until conmond had
 * read them. Fifty containers want processors too: how long conmond waited for one is printed as well.
 */
import { closeSync, openSync, readFileSync, rmSync, writeFileSync, writeSync } from "node:fs";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { readCriRecords } from "../src/logging/read/cri-records.ts";
import * as sys from "../src/sys/mod.ts";
import { makeBundle } from "../test/support/bundle.ts";
import { type ConmonRun, startConmon } from "../test/support/conmon.ts";
import { startConmond } from "../test/support/conmond.ts";
import { Scratch } from "../test/support/scratch.ts";
import { median, table } from "./figures.ts";
import { privateBytes } from "./processes.ts";

const BUSY = 50;
const LINES = 100;
/** Where nothing is slowed down by a disk. */
const TMPFS = "/dev/shm";
/**
 * A log is dropped when it has grown so large, in bytes: tmpfs is memory. It is what kubelet has by default. Fifty
 * logs grow alike, so they are dropped together, and to free the memory of one takes some 50 microseconds per MB of a
 * processor.
 */
const LOG_LIMIT = 10 * 1024 * 1024;

const seconds = Number(process.argv[2] ?? 5);
const scratch = new Scratch();

async function start(conmond: string, name: string, script: string): Promise<ConmonRun> {
  const gates = scratch.folder("gates");
  const bundle = makeBundle(scratch, {
    args: ["sh", "-c", script],
    mounts: [{ destination: "/gates", type: "bind", source: gates, options: ["bind", "rw"] }],
  });
  const run = startConmon(scratch, {
    bundle,
    conmond,
    apiVersion: 1,
    omit: ["--log-path"],
    arguments: [
      `--log-path=${logOf(name)}`,
      `--log-size-max=${LOG_LIMIT}`,
      ...["--no-sync-log", "--full-attach"],
    ],
  });
  await run.created();
  await run.runtimeStart();
  return run;
}

function logOf(name: string): string {
  return join(TMPFS, `${scratch.id}-${name}.log`);
}

/** Bytes that a process has written so far: `wchar` in proc_pid_io(5). */
function written(pid: number): number {
  return Number(readFileSync(`/proc/${pid}/io`, "latin1").match(/^wchar: (\d+)$/m)?.[1]);
}

/** Milliseconds for which a process was ready to run and did not, so far: proc_pid_schedstat(5). */
function waited(pid: number): number {
  const [, nanoseconds] = readFileSync(`/proc/${pid}/schedstat`, "latin1").split(" ");
  return Number(nanoseconds) / 1e6;
}

function percent(part: number): string {
  return `${(part * 100).toFixed(0)} %`;
}

const names = Array.from({ length: BUSY }, (_, index) => `busy${index}`);
try {
  const gates = scratch.folder("gates");
  const go = names.map((name) => join(gates, name));
  for (const path of [...go, join(gates, "leave")]) sys.makeFifo(path, 0o600);
  const { socket, pid } = await startConmond(scratch, { openFiles: 4096 });
  const runs: ConmonRun[] = [];
  for (const name of names) {
    runs.push(await start(socket, name, `read x </gates/${name}; exec yes ${"x".repeat(99)}`));
  }
  const idle = await start(socket, "idle", "read x </gates/leave");
  const pids = runs.map((run) => Number(readFileSync(run.paths.containerPidFile, "utf8")));
  const idlePid = readFileSync(idle.paths.containerPidFile, "utf8");
  const stdout = openSync(`/proc/${idlePid}/fd/1`, "w");
  for (const path of go) writeFileSync(path, "\n");
  await delay(500);
  const before = pids.map(written);
  const waitedBefore = waited(pid);
  let memory = 0;
  const sent: number[] = [];
  for (let line = 0; line < LINES; line++) {
    await delay((seconds * 1000) / LINES);
    sent.push(performance.timeOrigin + performance.now());
    writeSync(stdout, `line ${line}\n`);
    memory = Math.max(memory, privateBytes([pid]));
  }
  const wait = waited(pid) - waitedBefore;
  const shares = pids.map((busy, index) => written(busy) - (before[index] ?? 0));
  closeSync(stdout);
  for (const busy of pids) process.kill(busy, "SIGKILL");
  for (const run of runs) await run.ended();
  writeFileSync(join(gates, "leave"), "\n");
  await idle.ended();
  const latencies = [...readCriRecords(readFileSync(logOf("idle")))].map(
    ({ timestamp }, index) => Date.parse(timestamp) - (sent[index] ?? 0),
  );
  const mean = shares.reduce((a, b) => a + b) / shares.length;
  const total = (mean * shares.length) / seconds / 1e6;
  const rows = [
    ["", "got", "aim"],
    ["slowest of the mean", (Math.min(...shares) / mean).toFixed(2), "0.5"],
    ["fastest of the mean", (Math.max(...shares) / mean).toFixed(2), ""],
    ["all together, MB/s", total.toFixed(0), ""],
    ["idle one's lines, median ms", median(latencies).toFixed(1), "50"],
    [
      "idle one's lines, within 50 ms",
      percent(latencies.filter((ms) => ms <= 50).length / LINES),
      "",
    ],
    ["idle one's lines, most ms", Math.max(...latencies).toFixed(1), "50"],
    ["conmond waited for a processor", percent(wait / 1000 / seconds), ""],
    ["conmond's private memory, MB", (memory / 1e6).toFixed(1), "40"],
  ];
  console.log(`${BUSY} busy containers and an idle one, ${seconds} s:\n\n${table(rows)}`);
  if (latencies.length !== LINES) throw new Error(`${latencies.length} of ${LINES} lines arrived`);
  for (const path of [...go, join(gates, "leave")]) rmSync(path);
} finally {
  for (const name of [...names, "idle"]) rmSync(logOf(name), { force: true });
  await scratch.close();
}
