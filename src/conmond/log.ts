/** conmond's own log. */
import type { Level } from "../session/own-messages.ts";

/** Logs a message, of a session where `containerId` is given. */
export type Log = (level: Level, text: string, containerId?: string) => void;

/**
 * JSON lines on stderr by pino, for a conmond that somebody runs. pino is loaded only
 * here, since a private conmond has no log of its own and must start fast.
 */
export async function openLog(level: Level): Promise<Log> {
  const { pino } = await import("pino");
  // Synchronous: the last lines before a crash are those that matter.
  const logger = pino({ name: "conmond", level }, pino.destination({ dest: 2, sync: true }));
  return (messageLevel, text, containerId) => {
    if (containerId === undefined) logger[messageLevel](text);
    else logger[messageLevel]({ container: containerId }, text);
  };
}
