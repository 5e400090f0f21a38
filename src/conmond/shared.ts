/** A conmond that serves all shims of one user. */
import { join } from "node:path";
import { FaultLimit } from "../faults/fault-limit.ts";
import { prepareTransits } from "../session/transit.ts";
import { Listener } from "../sockets/listener.ts";
import { build } from "./build.ts";
import { Conmond } from "./conmond.ts";
import type { Door } from "./door.ts";
import { Predecessor } from "./hand-over/predecessor.ts";
import { leave, leaveAtOnce } from "./leave.ts";
import type { Log } from "./log.ts";
import { OpenFiles } from "./open-files.ts";
import { refusePeer } from "./peer.ts";
import { Reception } from "./reception.ts";
import { ServiceManager } from "./service-manager.ts";
import { keepYoungHeapSmall } from "./young-heap.ts";

/**
 * How long sessions may take at the end for what is in flight, in milliseconds. Shims wait for 5 s for an
 * answer of the next conmond, which may only be started when this one has ended.
 */
const LEAVING_MS = 3000;

/** The same when another conmond accepts already, so that nobody waits for us. */
const REPLACED_MS = 10_000;

/** How long those may take at the end who have connected and not said hello yet, in milliseconds. */
const NEWCOMERS_MS = 500;

/** How a shared conmond is to live. */
export interface SharedSettings {
  readonly log: Log;
  /** More sessions are refused; undefined: as many as there are descriptors for. */
  readonly maxSessions?: number | undefined;
  /** Ends when there was no session for so many seconds; undefined: never. */
  readonly idleExitSeconds?: number | undefined;
}

/** Where shims look when `$CONMOND_SOCKET` is not set. */
export function defaultSocketPath(environment: NodeJS.ProcessEnv): string {
  const base = environment.XDG_RUNTIME_DIR || (process.geteuid?.() === 0 ? "/run" : undefined);
  if (base === undefined) {
    throw new Error("XDG_RUNTIME_DIR is not set: name the socket with --socket PATH");
  }
  return join(base, "conmond", "conmond.sock");
}

/**
 * - `serving`: shims are accepted
 * - `giving`: a successor has the socket, and has not said yet that it accepts
 * - `leaving`: nobody is accepted here any more, and sessions are handed on
 */
type State = "serving" | "giving" | "leaving";

/** Serves from the moment it is made until it ends the process. */
export class SharedConmond {
  readonly #door: Door;
  readonly #settings: SharedSettings;
  readonly #log: Log;
  readonly #conmond: Conmond;
  readonly #reception: Reception;
  readonly #listener: Listener;
  readonly #predecessor: Predecessor;
  readonly #refusals = new FaultLimit((error) => this.#log("warn", error.message));
  readonly #openFiles = new OpenFiles();
  readonly #serviceManager = new ServiceManager();
  #state: State = "serving";
  #idle: NodeJS.Timeout | undefined;

  /** Owns the door. */
  constructor(door: Door, settings: SharedSettings) {
    keepYoungHeapSmall();
    process.umask(0o022);
    prepareTransits();
    this.#door = door;
    this.#settings = settings;
    this.#log = settings.log;
    const { log } = settings;
    this.#conmond = new Conmond({ log, build, shared: true, onIdle: () => this.#onIdle() });
    this.#reception = new Reception({
      onShim: (fd) => this.#serve(fd),
      onSuccessor: (fd) => {
        this.#predecessor.onSuccessor(fd);
        this.#onIdle();
      },
      onNobody: () => this.#onIdle(),
    });
    this.#predecessor = new Predecessor(door, {
      onGiving: () => this.#give(),
      onKept: (reason) => this.#keep(reason),
      onTaken: () => this.#leave(REPLACED_MS, "Replaced by another conmond"),
    });
    const faults = new FaultLimit((error) => log("error", error.message));
    this.#listener = new Listener(door.listener, {
      client: "shim",
      onConnection: (fd) => this.#welcome(fd),
      onFault: (kind, error) => faults.add(kind, error),
      onExhausted: (accept) => this.#turnAway(accept),
    });
    this.#obeySignals();
    this.#onIdle();
    const room = this.#openFiles.roomForSessions;
    log("info", `Listening on ${door.path}; descriptors suffice for about ${room} sessions`);
    this.#serviceManager.ready(`Listening on ${door.path}`);
  }

  /** Serves a shim that has not come through the door. */
  serve(fd: number): void {
    this.#conmond.serve(fd);
    this.#wake();
  }

  // ---- shims ----

  #welcome(fd: number): void {
    const reason = refusePeer(fd);
    if (reason !== undefined) this.#refuse(fd, "place", reason);
    else this.#reception.welcome(fd);
    this.#openFiles.keepSpare();
  }

  /** Not even one descriptor is left: says so to one who waits, for whom one has been kept. */
  #turnAway(accept: () => number | undefined): boolean {
    // Without one this throws, and the listener pauses.
    this.#openFiles.spendSpare();
    const fd = accept();
    if (fd !== undefined) this.#refuse(fd, "descriptors", this.#scarcity());
    this.#openFiles.keepSpare();
    return fd !== undefined;
  }

  #serve(fd: number): void {
    const { maxSessions = Number.POSITIVE_INFINITY } = this.#settings;
    const count = this.#conmond.sessionCount;
    if (this.#openFiles.isScarce(fd)) this.#refuse(fd, "descriptors", this.#scarcity());
    else if (count >= maxSessions) {
      const reason = `conmond has ${count} sessions, as many as --max-sessions allows`;
      this.#refuse(fd, "sessions", reason);
    } else this.serve(fd);
  }

  /** Of each kind one is told, and then they are only counted for a while. */
  #refuse(fd: number, kind: "place" | "sessions" | "descriptors", reason: string): void {
    this.#refusals.add(`shim refused (${kind})`, new Error(`Refused a shim: ${reason}`));
    this.#conmond.refuse(fd, reason);
    this.#onIdle();
  }

  #scarcity(): string {
    const { limit } = this.#openFiles;
    return `conmond has ${this.#conmond.sessionCount} sessions and nearly all descriptors that it may have (limit ${limit})`;
  }

  // ---- another conmond ----

  #give(): void {
    this.#state = "giving";
    this.#listener.pause();
  }

  #keep(reason: string): void {
    if (this.#state !== "giving") return;
    this.#state = "serving";
    this.#log("warn", `Not replaced, going on: ${reason}`);
    this.#listener.resume();
    this.#onIdle();
  }

  // ---- the end ----

  #obeySignals(): void {
    const leaveOn = (signal: NodeJS.Signals): void => {
      if (this.#state === "leaving") {
        this.#log("warn", `Ending at once on another ${signal}`);
        leaveAtOnce(0);
      }
      this.#leave(LEAVING_MS, `Leaving on ${signal}`);
    };
    process.on("SIGTERM", leaveOn);
    process.on("SIGINT", leaveOn);
    process.on("uncaughtException", (error) => {
      this.#log("error", `Ending, the sessions go on elsewhere: ${error.stack ?? error.message}`);
      leaveAtOnce(70);
    });
  }

  /** Hands on what is here, for so many milliseconds at most, and ends. */
  #leave(milliseconds: number, why: string): void {
    if (this.#state === "leaving") return;
    this.#state = "leaving";
    clearTimeout(this.#idle);
    const count = this.#conmond.sessionCount;
    this.#log("info", `${why} with ${count} sessions, which go on elsewhere`);
    this.#serviceManager.stopping(why);
    if (!this.#predecessor.hasGiven) this.#door.removeName();
    this.#listener.close();
    this.#door.releaseLock();
    void this.#finish(milliseconds);
  }

  async #finish(milliseconds: number): Promise<void> {
    await this.#reception.emptied(NEWCOMERS_MS);
    const left = await this.#conmond.handOn(milliseconds);
    if (left > 0) {
      const late = `${left} sessions were not done after ${milliseconds} ms`;
      this.#log("warn", `${late}; they go on too, without what their shims have not taken`);
    }
    await leave(0);
  }

  // ---- idleness ----

  get #isIdle(): boolean {
    return this.#conmond.sessionCount === 0 && this.#reception.count === 0;
  }

  #wake(): void {
    clearTimeout(this.#idle);
    this.#idle = undefined;
  }

  #onIdle(): void {
    const { idleExitSeconds } = this.#settings;
    if (idleExitSeconds === undefined || this.#state !== "serving" || !this.#isIdle) return;
    this.#wake();
    this.#idle = setTimeout(() => this.#leaveIdle(), idleExitSeconds * 1000);
  }

  /** Somebody may be coming just now: nobody can any more once the name is gone. */
  #leaveIdle(): void {
    if (this.#state !== "serving" || !this.#isIdle) return;
    const somebodyCame = this.#door.hideWhile(() => {
      this.#listener.acceptWaiting();
      return !this.#isIdle;
    });
    if (somebodyCame) return;
    this.#leave(LEAVING_MS, `Idle for ${this.#settings.idleExitSeconds} s: leaving`);
  }
}
