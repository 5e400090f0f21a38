/** What the runtime says about itself: to `--log FILE`, else to stderr, in the formats of runc. */
import { appendFileSync, writeFileSync } from "node:fs";
import { Failure, messageOf } from "./failure.ts";

export type Level = "debug" | "warning" | "error";

export interface LogSettings {
  /** Where to append; without it everything goes to stderr. */
  readonly file: string | undefined;
  readonly format: "text" | "json";
  readonly debug: boolean;
}

/** One line, without its newline. Both formats are those of logrus, which callers of runc parse. */
export function formatRecord(
  format: LogSettings["format"],
  level: Level,
  message: string,
  time: Date,
): string {
  const stamp = `${time.toISOString().slice(0, -5)}Z`;
  if (format === "json") return JSON.stringify({ level, msg: message, time: stamp });
  return `time=${JSON.stringify(stamp)} level=${level} msg=${JSON.stringify(message)}`;
}

/** Writes the runtime's own messages. */
export class Log {
  readonly #settings: LogSettings;

  constructor(settings: LogSettings) {
    this.#settings = settings;
  }

  debug(message: string): void {
    if (this.#settings.debug) this.#write("debug", message);
  }

  warning(message: string): void {
    this.#write("warning", message);
  }

  /** The reason for a failure. Callers read it from stderr, so it is there too if there is a log file. */
  error(message: string): void {
    try {
      this.#write("error", message);
    } finally {
      if (this.#settings.file !== undefined) writeFileSync(2, `${message}\n`);
    }
  }

  #write(level: Level, message: string): void {
    const { file, format } = this.#settings;
    const line = `${formatRecord(format, level, message, new Date())}\n`;
    if (file === undefined) {
      writeFileSync(2, line);
      return;
    }
    try {
      appendFileSync(file, line, { mode: 0o640 });
    } catch (cause) {
      throw new Failure(`cannot write to the log: ${messageOf(cause)}`, { cause });
    }
  }
}
