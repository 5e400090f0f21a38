import { JsonFramer } from "./json-framing.ts";
import { type RecordFileOptions, RecordFileSink } from "./record-file.ts";

/** How a {@link JsonFileSink} is to log. */
export type JsonFileOptions = RecordFileOptions;

/**
 * Logs to a file in the format of Docker's log driver json-file (see {@link JsonFramer}), with the
 * limits and the rotation of the other file.
 *
 * @example
 * ```ts
 * const sink = new JsonFileSink({ path: "/var/log/web-json.log", maxSize: 10_000_000 });
 * sink.write("stdout", Buffer.from("ready\n"), { seconds: 1_700_000_000, nanoseconds: 0 });
 * await sink.sync();
 * sink.close();
 * ```
 */
export class JsonFileSink extends RecordFileSink {
  /** Opens the file, and throws as its base class does. */
  constructor(options: JsonFileOptions) {
    super("json-file", new JsonFramer(), options);
  }
}
