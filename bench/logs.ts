/**
 * Logging speed: Debian's conmon and ours in turn, on the same containers.
 *
 *     npm run bench:logs [-- ROUNDS]
 *
 * For each kind of data a real runc container writes a file into its stdout; the log is on tmpfs. What is
 * printed are medians over the rounds and their ratios. Every log is read back and compared.
 */
import { spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { open } from "node:fs/promises";
import { join } from "node:path";
import * as sys from "../src/sys/mod.ts";
import { makeBundle } from "../test/support/bundle.ts";
import { startConmon } from "../test/support/conmon.ts";
import { startConmond } from "../test/support/conmond.ts";
import { needProgram } from "../test/support/programs.ts";
import { Scratch } from "../test/support/scratch.ts";
import { median, table } from "./figures.ts";
import { cpuSeconds, monitorsOf, privateBytes } from "./processes.ts";

const MEBIBYTE = 1024 * 1024;
const MEMORY_PACE_MS = 50;
/** Where nothing is slowed down by a disk. */
const TMPFS = "/dev/shm";

interface Kind {
  readonly name: string;
  readonly data: Buffer;
  /** How often the data is written: what takes too short a time shows the start of things, not their speed. */
  readonly times: number;
  /** Of conmon's throughput, at least. */
  readonly aim: number;
}

const kinds: readonly Kind[] = [
  {
    name: "100-byte lines",
    data: Buffer.alloc(256 * MEBIBYTE, `${"x".repeat(99)}\n`),
    times: 2,
    aim: 1.8,
  },
  { name: "1-character lines", data: Buffer.alloc(32 * MEBIBYTE, "x\n"), times: 1, aim: 1.2 },
  { name: "no newlines", data: Buffer.alloc(512 * MEBIBYTE, "x"), times: 3, aim: 1.6 },
];

/** Of one run. */
interface Figures {
  /** Payload bytes per second. */
  readonly throughput: number;
  /** CPU seconds per 10^9 bytes of payload, all processes of the monitor. */
  readonly cpu: number;
  /** The most private memory seen, in bytes, all processes of the monitor. */
  readonly memory: number;
}

async function measure(monitor: "debian" | "ours", kind: Kind, file: string): Promise<Figures> {
  const scratch = new Scratch();
  const log = join(TMPFS, `${scratch.id}.log`);
  try {
    const gates = scratch.folder("gates");
    for (const name of ["go", "done", "leave"]) sys.makeFifo(join(gates, name), 0o600);
    const files = Array(kind.times).fill("/data").join(" ");
    const script = `read x </gates/go; cat ${files}; echo >/gates/done; read x </gates/leave`;
    const bundle = makeBundle(scratch, {
      args: ["sh", "-c", script],
      mounts: [
        { destination: "/data", type: "bind", source: file, options: ["bind", "ro"] },
        { destination: "/gates", type: "bind", source: gates, options: ["bind", "rw"] },
      ],
    });
    const shared = monitor === "ours" ? { conmond: (await startConmond(scratch)).socket } : {};
    const run = startConmon(scratch, {
      bundle,
      conmon: monitor,
      apiVersion: 1,
      omit: ["--log-path"],
      arguments: [`--log-path=k8s-file:${log}`, "--no-sync-log", "--full-attach"],
      ...shared,
    });
    await run.created();
    await run.runtimeStart();
    const pids = monitorsOf(scratch.id);
    const idle = cpuSeconds(pids);
    let memory = 0;
    const look = (): void => {
      memory = Math.max(memory, privateBytes(pids));
    };
    const timer = setInterval(look, MEMORY_PACE_MS);
    const began = process.hrtime.bigint();
    writeFileSync(join(gates, "go"), "\n");
    await readToEnd(join(gates, "done"));
    // What is still in the pipe is less than a thousandth of all.
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    look();
    clearInterval(timer);
    const cpu = cpuSeconds(pids) - idle;
    writeFileSync(join(gates, "leave"), "\n");
    await run.exitStatus();
    await run.ended();
    compare(log, kind);
    // Debian's conmon leaves fifos behind.
    for (const folder of [gates, bundle.directory]) rmSync(folder, { recursive: true });
    return {
      throughput: sizeOf(kind) / seconds,
      cpu: (cpu / sizeOf(kind)) * 1e9,
      memory,
    };
  } finally {
    rmSync(log, { force: true });
    await scratch.close();
  }
}

function sizeOf({ data, times }: Kind): number {
  return data.length * times;
}

async function readToEnd(path: string): Promise<void> {
  const file = await open(path);
  await file.readFile();
  await file.close();
}

const RECORD_HEAD = "2006-01-02T15:04:05.000000000+00:00 stdout F ".length;

/**
 * The container's output again, from the log: nothing missing, nothing doubled. For speed it knows how
 * long the head of a record is; src/logging/read/ has what reads any log.
 */
function compare(log: string, kind: Kind): void {
  const records = readFileSync(log);
  const output = Buffer.allocUnsafe(sizeOf(kind));
  let length = 0;
  for (let at = 0; at < records.length; ) {
    const end = records.indexOf("\n", at);
    const tag = records.toString("latin1", at + RECORD_HEAD - 3, at + RECORD_HEAD);
    if (tag !== " F " && tag !== " P ") throw new Error(`${log} has no record at byte ${at}`);
    length += records.copy(output, length, at + RECORD_HEAD, end + (tag === " F " ? 1 : 0));
    at = end + 1;
  }
  const { data } = kind;
  let isSame = length === output.length;
  for (let at = 0; at < length; at += data.length) {
    isSame &&= data.equals(output.subarray(at, at + data.length));
  }
  if (isSame) return;
  throw new Error(`${log} is not what the container wrote`);
}

/** Payload bytes per second that dd takes from a pipe to the same file system: the limit. */
async function limit(kind: Kind, file: string): Promise<number> {
  const copy = join(TMPFS, "bench-logs.copy");
  const began = process.hrtime.bigint();
  const busybox = needProgram("busybox");
  const files = Array(kind.times).fill(file).join(" ");
  const command = `${busybox} cat ${files} | dd bs=64k of=${copy} status=none`;
  const child = spawn("sh", ["-c", command], { stdio: "inherit" });
  await new Promise((resolve) => child.on("close", resolve));
  const seconds = Number(process.hrtime.bigint() - began) / 1e9;
  rmSync(copy);
  return sizeOf(kind) / seconds;
}

async function compareMonitors(kind: Kind, rounds: number): Promise<string[]> {
  const file = join(TMPFS, "bench-logs.data");
  writeFileSync(file, kind.data);
  const figures: Record<"debian" | "ours", Figures[]> = { debian: [], ours: [] };
  const limits: number[] = [];
  try {
    for (let round = 0; round < rounds; round++) {
      for (const monitor of ["debian", "ours"] as const) {
        figures[monitor].push(await measure(monitor, kind, file));
      }
      limits.push(await limit(kind, file));
    }
  } finally {
    rmSync(file);
  }
  const of = (monitor: "debian" | "ours", what: keyof Figures): number =>
    median(figures[monitor].map((one) => one[what]));
  const ratio = (what: keyof Figures): number => of("ours", what) / of("debian", what);
  const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(bytes < 1e7 ? 2 : 0);
  return [
    kind.name,
    megabytes(of("debian", "throughput")),
    megabytes(of("ours", "throughput")),
    `${ratio("throughput").toFixed(2)} (${kind.aim})`,
    of("debian", "cpu").toFixed(2),
    of("ours", "cpu").toFixed(2),
    `${ratio("cpu").toFixed(2)} (0.7)`,
    megabytes(of("debian", "memory")),
    `${megabytes(of("ours", "memory"))} (40)`,
    `${Math.round((100 * of("ours", "throughput")) / median(limits))} %`,
  ];
}

const rounds = Number(process.argv[2] ?? 5);
const only = process.argv[3];
const rows = [
  [
    ["", "conmon", "ours", "ratio", "conmon", "ours", "ratio", "conmon", "ours", "of dd"],
    ["", "MB/s", "MB/s", "(aim)", "CPU s/GB", "CPU s/GB", "(aim)", "MB", "MB (aim)", ""],
  ],
].flat();
for (const kind of kinds) {
  if (only === undefined || kind.name.includes(only))
    rows.push(await compareMonitors(kind, rounds));
}
console.log(`Medians of ${rounds} rounds; payload in MB (10^6 bytes); private memory.\n`);
console.log(table(rows));
