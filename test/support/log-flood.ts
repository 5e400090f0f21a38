import * as fs from "node:fs";
import { createInterface } from "node:readline";
import { gzipSync } from "node:zlib";
import { K8sFileSink } from "../../src/logging/k8s-file.ts";

// Logs numbered lines to the file at argv[2] as fast as it can, argv[4] of them, and has the log rotated
// in the way that argv[3] says. With "truncate-read" it asks on stdout before each truncation, with the
// number of lines that are written, and waits for a line on stdin.

const [, , path = "", rotation = "", count = "0"] = process.argv;
const total = Number(count);
const sizeLimit = rotation === "by-size" ? 400_000 : 0;
const sink = new K8sFileSink({ path, maxSize: sizeLimit, rotate: true, maxFiles: 10_000 });
const at = { seconds: 1_700_000_000, nanoseconds: 0 };

let number = 0;
let rotations = 0;
let rest = Buffer.alloc(0);

/** The text of a line, which the test makes too. */
function lineOf(index: number): string {
  return `${index} ${"x".repeat((index * 7919) % 211)}\n`;
}

/** Writes about so many lines; reads from a pipe do not end where lines end. */
function write(lines: number, whole: boolean): void {
  const texts: string[] = [];
  for (let left = lines; left > 0 && number < total; left--) texts.push(lineOf(number++));
  const data = Buffer.concat([rest, Buffer.from(texts.join(""))]);
  const cut = whole || number === total ? data.length : data.length - (number % 50);
  at.nanoseconds++;
  sink.write("stdout", data.subarray(0, cut), at);
  rest = Buffer.from(data.subarray(cut));
}

/** As kubelet does it: rename, and some time later the reopen, while everything goes on. */
function rename(): string {
  const name = `${path}.20260102-${String(rotations++).padStart(6, "0")}`;
  fs.renameSync(path, name);
  write(rotations % 3, false);
  sink.reopen();
  return name;
}

function compress(name: string): void {
  fs.writeFileSync(`${name}.tmp`, gzipSync(fs.readFileSync(name), { level: 1 }));
  fs.renameSync(`${name}.tmp`, `${name}.gz`);
  fs.rmSync(name);
}

function truncate(): void {
  fs.copyFileSync(path, `${path}.1`);
  fs.truncateSync(path);
}

const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

async function rotate(): Promise<void> {
  switch (rotation) {
    case "rename":
      rename();
      return;
    case "rename-compress":
      compress(rename());
      return;
    case "truncate-read":
      process.stdout.write(`${number}\n`);
      await answers.next();
      truncate();
      return;
    case "truncate":
      truncate();
  }
}

const whole = rotation.startsWith("truncate");
for (let round = 1; number < total; round++) {
  write((round * 31) % 700, whole);
  if (round % 10 === 0) await rotate();
}
sink.close();
process.stdin.destroy();
