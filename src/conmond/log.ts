/** conmond's own log. */
import type { Level } from "../session/own-messages.ts";
import { LineWriter } from "./line-writer.ts";

/** Logs a message, of a session where `containerId` is given. Never waits. */
export type Log = (level: Level, text: string, containerId?: string) => void;

const STDERR = 2;

/**
 * JSON lines on stderr by pino, for a conmond that somebody runs. pino is loaded only
 * here, since a private conmond has no log of its own and must start fast.
 *
 * A line is written before this returns, since the last lines before a crash are those that matter; but not if
 * that would mean to wait for whoever reads stderr, since all sessions would wait then. See {@link LineWriter}.
 * What Node.js itself warns of goes the same way.
 */
export async function openLog(level: Level): Promise<Log> {
  const { pino } = await import("pino");
  const writer = new LineWriter(STDERR, (lines) => {
    // Whatever the level is: they may have been errors.
    logger.error(`${lines} lines of this log were lost here: they could not be written`);
  });
  const logger = pino({ name: "conmond", level }, writer);
  process.on("exit", () => writer.flush());
  process.removeAllListeners("warning");
  process.on("warning", ({ name, message }) => logger.warn(`${name}: ${message}`));
  return (messageLevel, text, containerId) => {
    if (containerId === undefined) logger[messageLevel](text);
    else logger[messageLevel]({ container: containerId }, text);
  };
}
