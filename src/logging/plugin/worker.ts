/**
 * The program of a plug-in's thread: loads the module, turns batches into records for it, and answers
 * each request of conmond's. It is part of the bundle as a text, see thread.ts.
 */
import { pathToFileURL } from "node:url";
import { parentPort, workerData } from "node:worker_threads";
import type { OpenPlugin, PluginSink } from "../plugin-api.ts";
import type { StreamName } from "../sink.ts";
import { readEntries } from "./batch.ts";
import { LineSplitter, type Records } from "./lines.ts";
import type { Answer, PluginTask, Request } from "./messages.ts";

const splitters = { stdout: new LineSplitter("stdout"), stderr: new LineSplitter("stderr") };

function answer(message: Answer): void {
  parentPort?.postMessage(message);
}

function reasonOf(thrown: unknown): string {
  return thrown instanceof Error ? `${thrown.name}: ${thrown.message}` : String(thrown);
}

/** ES modules have a default export; what CommonJS modules export can be the function or have it. */
async function load(path: string): Promise<OpenPlugin> {
  let found: unknown = await import(pathToFileURL(path).href);
  for (let depth = 0; depth < 2 && typeof found !== "function"; depth++) {
    found = (found as { readonly default?: unknown } | undefined)?.default;
  }
  if (typeof found !== "function") throw new Error("its default export is no function");
  return found as OpenPlugin;
}

async function open({ path, options, container }: PluginTask): Promise<PluginSink> {
  const openPlugin = await load(path);
  const sink: Partial<PluginSink> | undefined = await openPlugin(options, container);
  if (typeof sink?.write !== "function") throw new Error("what it opened has no write function");
  return sink as PluginSink;
}

/** The records that a batch completes, and how many bytes of stderr are in them. */
function split(bytes: Uint8Array, length: number, afterGap: boolean) {
  const records: Records = { list: [], bytes: 0 };
  let stderrBytes = 0;
  const add = (stream: StreamName, more: (splitter: LineSplitter) => void): void => {
    const before = records.bytes;
    more(splitters[stream]);
    if (stream === "stderr") stderrBytes += records.bytes - before;
  };
  if (afterGap) {
    for (const stream of ["stdout", "stderr"] as const) add(stream, (one) => one.finish(records));
  }
  for (const { stream, at, data } of readEntries(bytes, length)) {
    if (data.length > 0) add(stream, (splitter) => splitter.push(data, at, records));
    else add(stream, (splitter) => splitter.finish(records));
  }
  return { ...records, stderrBytes };
}

async function handle(sink: PluginSink, request: Request): Promise<Answer> {
  if (request.kind === "close") {
    await sink.close?.();
    return { kind: "closed" };
  }
  const { list, bytes, stderrBytes } = split(request.bytes, request.length, request.afterGap);
  if (list.length > 0) await sink.write(list);
  const stderrRecords = list.filter(({ stream }) => stream === "stderr").length;
  return {
    kind: "written",
    stdout: { records: list.length - stderrRecords, bytes: bytes - stderrBytes },
    stderr: { records: stderrRecords, bytes: stderrBytes },
  };
}

async function run(task: PluginTask): Promise<void> {
  const sink = await open(task);
  // conmond waits for the answer before it sends the next request.
  parentPort?.on("message", (request: Request) => {
    handle(sink, request).then(answer, fail);
  });
  answer({ kind: "opened" });
}

function fail(thrown: unknown): void {
  answer({ kind: "failed", reason: reasonOf(thrown) });
}

run(workerData as PluginTask).catch(fail);
