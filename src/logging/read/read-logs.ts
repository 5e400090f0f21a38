import * as fs from "node:fs";
import { FileReader } from "./file-reader.ts";
import { LogDecoder } from "./log-decoder.ts";
import { type LogFilePart, LogFiles } from "./log-files.ts";
import type { LogLine } from "./log-line.ts";
import { decoderOptions, type ReadOptions, tailOf } from "./read-options.ts";
import { findTailStart, type TailStart } from "./tail-start.ts";

/**
 * Reads a log as it is when the reading begins: records in the format of the Kubernetes CRI or of
 * Docker's json-file, rotated files first, compressed ones too.
 *
 * Lines come in the order in which they end. Those that are not complete come last.
 *
 * @param path The file that is written to. It may be a link, and may be missing if there are rotated
 *   ones.
 * @throws {Error} with the `code` of the system call: `ENOENT` if there is no such log.
 * @throws {LogFault} where the log is faulty, unless there is an `onFault`.
 *
 * @example
 * ```ts
 * for await (const line of readLogs("/var/log/pods/web/0.log", { tail: 10, stream: "stderr" })) {
 *   console.log(`${line.timestamp} ${line.text}`);
 * }
 * ```
 */
export async function* readLogs(
  path: string,
  options: ReadOptions = {},
): AsyncGenerator<LogLine, void, undefined> {
  for await (const lines of readLogBatches(path, options)) {
    for (const line of lines) yield line;
  }
}

/**
 * The same with the lines of each block that is read in an array, since it takes as long to wait
 * for a line as to read it.
 */
export async function* readLogBatches(
  path: string,
  options: ReadOptions = {},
): AsyncGenerator<LogLine[], void, undefined> {
  const tail = tailOf(options);
  const decoding = decoderOptions(options);
  const decoder = new LogDecoder(decoding);
  const reader = new FileReader(decoder, decoding.onFault, options.signal);
  const files = openLog(path);
  try {
    const end = await endOf(files, tail);
    const start = await findStart(files, end, tail, options);
    const last = files.length - 1;
    for (let index = start.index; index <= last; index++) {
      const file = files[index];
      if (file === undefined || options.signal?.aborted === true) return;
      reader.begin(file, index === start.index ? start.offset : 0, start.from[index]);
      yield* reader.read(file, index === last ? end : Number.POSITIVE_INFINITY);
      if (index < last) decoder.endFile();
    }
    if (options.signal?.aborted !== true) yield decoder.finish(options.torn === "deliver");
  } finally {
    for (const file of files) file.close();
  }
}

function openLog(path: string): LogFilePart[] {
  const files = new LogFiles(path).openAll();
  if (files.length > 0) return files;
  const isOther = fs.statSync(path, { throwIfNoEntry: false }) !== undefined;
  const reason = isOther ? "It is no regular file" : "No such file or directory";
  const message = `Failed to open the log ${path}: ${reason}`;
  throw Object.assign(new Error(message), { code: "ENOENT", syscall: "open", path });
}

/** How many bytes of the last file belong to the log: without an end a busy log would never end. */
async function endOf(files: readonly LogFilePart[], tail: number): Promise<number> {
  const last = files.at(-1);
  if (last === undefined) return 0;
  // It takes time to find out for a compressed file, which does not grow.
  const isFixed = last.compressed && tail === Number.POSITIVE_INFINITY;
  return isFixed ? Number.POSITIVE_INFINITY : await last.length();
}

/** Where reading begins, with the last lines only or at the beginning of the log. */
export async function findStart(
  files: readonly LogFilePart[],
  end: number,
  tail: number,
  options: ReadOptions,
): Promise<TailStart> {
  if (tail === Number.POSITIVE_INFINITY) return { index: 0, offset: 0, from: [] };
  return await findTailStart(files, end, { ...options, tail, torn: options.torn === "deliver" });
}
