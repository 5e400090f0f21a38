/** What the monitor itself has to say about a session: to the caller, to syslog, to conmond's log. */
import type { Syslog } from "../conmond/syslog.ts";

/** As `--log-level` names them, most severe first. */
export const LEVELS = ["error", "warn", "info", "debug", "trace"] as const;

export type Level = (typeof LEVELS)[number];

/** Letters in `[conmon:e]: text`; trace is a kind of debug there. */
const LETTERS: Record<Level, string> = { error: "e", warn: "w", info: "i", debug: "d", trace: "d" };

/** Where messages go besides the caller's stderr. */
export interface MessageSinks {
  /** Writes to the caller's stderr while it still is that; later it has no effect. */
  tell(text: string): void;
  /** conmond's own log. */
  log(level: Level, text: string): void;
  syslog: Syslog;
}

/** One session's messages. */
export class OwnMessages {
  readonly #sinks: MessageSinks;
  #level: Level = "warn";
  #toSyslog = false;
  #containerId = "";
  #callerListens = true;

  constructor(sinks: MessageSinks) {
    this.#sinks = sinks;
  }

  /** Set once the options are known. */
  configure(settings: { level: Level; syslog: boolean; containerId: string }): void {
    this.#level = settings.level;
    this.#toSyslog = settings.syslog;
    this.#containerId = settings.containerId;
  }

  /** The caller's stderr is gone: from here on errors go to syslog even without `--syslog`. */
  callerLeft(): void {
    this.#callerListens = false;
  }

  /** The line with which a session ends before it began; shown whatever the level. */
  fatal(line: string): void {
    this.#sinks.log("error", line);
    this.#sinks.tell(`${line}\n`);
    if (this.#toSyslog) this.#sinks.syslog.send("error", line);
  }

  error(text: string): void {
    this.#say("error", text);
  }

  warn(text: string): void {
    this.#say("warn", text);
  }

  info(text: string): void {
    this.#say("info", text);
  }

  debug(text: string): void {
    this.#say("debug", text);
  }

  #say(level: Level, text: string): void {
    this.#sinks.log(level, text);
    if (LEVELS.indexOf(level) > LEVELS.indexOf(this.#level)) return;
    if (this.#callerListens) this.#sinks.tell(`[conmon:${LETTERS[level]}]: ${text}\n`);
    // An error that no one can see any more must still reach someone.
    if (this.#toSyslog || (level === "error" && !this.#callerListens)) {
      this.#sinks.syslog.send(
        level,
        `conmon ${this.#containerId.slice(0, 20)} <${level}>: ${text}`,
      );
    }
  }
}
