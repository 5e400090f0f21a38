import * as fs from "node:fs";
import { join } from "node:path";
import { K8sFileSink } from "../../src/logging/k8s-file.ts";
import { parseLossNotice } from "../../src/logging/loss-notice.ts";
import { readCriRecords, readOutput } from "../../src/logging/read/cri-records.ts";
import type { SinkFault } from "../../src/logging/sink.ts";

// Fills the file system of 64 KiB at argv[2] with a log, makes room, logs on, and prints what
// happened as one JSON object.

const directory = process.argv[2] ?? "";
const lineLength = Number(process.argv[3]);
const path = join(directory, "0.log");
const ballast = join(directory, "ballast");
fs.writeFileSync(ballast, Buffer.alloc(32 * 1024));

const faults: SinkFault[] = [];
const sink = new K8sFileSink({ path, onError: (fault) => faults.push(fault) });
const total = { bytes: 0 };

/** Lines of different lengths, so that some still fit when others do not. */
function print(bytes: number): void {
  const end = total.bytes + bytes;
  for (let number = 0; total.bytes < end; number++) {
    const data = Buffer.from(`${"x".repeat((number * 7919) % lineLength)}\n`);
    sink.write("stdout", data, { seconds: 1_700_000_000, nanoseconds: number });
    total.bytes += data.length;
  }
}

print(200_000);
const whileFull = { faults: faults.length, size: fs.statSync(path).size, ...sink.counters };
const endsInRecord = fs.readFileSync(path).at(-1) === 10;
fs.rmSync(ballast);
// As much as had failed, so that it counts as recovered, but less than there is room for.
print(Math.min(lineLength * 20, 20_000));
sink.close();

const log = fs.readFileSync(path);
const report = {
  whileFull,
  endsInRecord,
  faults: faults.map((fault) => ({ ...fault, error: "error" in fault ? fault.error : undefined })),
  counters: { ...sink.counters, lastError: (sink.counters.lastError as { code?: string }).code },
  total,
  records: [...readCriRecords(log)].filter(({ stream }) => stream === "stdout").length,
  notices: [...readCriRecords(log)]
    .filter(({ stream }) => stream === "stderr")
    .map(({ payload }) => parseLossNotice(payload.toString())),
  output: readOutput(log, "stdout").length,
};
console.log(JSON.stringify(report));
