/** The sessions of one conmond, and its own life. */
import type { Build } from "../session/help.ts";
import { OwnMessages } from "../session/own-messages.ts";
import { Session } from "../session/session.ts";
import { ShimConnection, sendRefusal } from "../shim/connection.ts";
import * as sys from "../sys/mod.ts";
import type { Log } from "./log.ts";
import { Syslog } from "./syslog.ts";

export interface ConmondSettings {
  log: Log;
  build: Build;
  /** There may be shims of which it is no child. */
  shared: boolean;
  /** Called whenever a session has ended and none is left. */
  onIdle(): void;
}

/** Serves any number of shims. */
export class Conmond {
  readonly #settings: ConmondSettings;
  readonly #syslog = new Syslog();
  readonly #sessions = new Set<Session>();
  /** Set at the end: until when sessions may take for what is in flight, and who is to be told. */
  #end: { readonly at: number; readonly done: () => void } | undefined;

  constructor(settings: ConmondSettings) {
    this.#settings = settings;
  }

  get sessionCount(): number {
    return this.#sessions.size;
  }

  /** Takes over the socket to a shim, which is going to say hello. */
  serve(fd: number): void {
    // The three know each other: a session sends by its connection, which calls the session.
    const connection: ShimConnection = new ShimConnection(fd, {
      onHello: (...hello) => session.onHello(...hello),
      onSpawned: (...spawned) => session.onSpawned(...spawned),
      onFailed: (...failed) => session.onFailed(...failed),
      onExited: (...exited) => session.onExited(...exited),
      onSignal: (...signal) => session.onSignal(...signal),
      onInheritedClosed: () => session.onInheritedClosed(),
      onReported: (...reported) => session.onReported(...reported),
      onLost: (error) => session.onLost(error),
    });
    const messages = new OwnMessages({
      tell: (text) => connection.tell("stderr", text),
      log: (level, text) => this.#settings.log(level, text, session.containerId),
      syslog: this.#syslog,
    });
    const session: Session = new Session({
      connection,
      messages,
      build: this.#settings.build,
      shared: this.#settings.shared,
      onClosed: (closed) => this.#forget(closed),
    });
    this.#sessions.add(session);
    if (this.#end !== undefined) session.handOn(this.#end.at - performance.now());
  }

  /**
   * Hands all sessions on to the conmonds that their shims find next, those that have yet to say hello
   * as well: each as soon as what is in flight has arrived where it belongs.
   *
   * @param milliseconds after which it is not waited for any longer
   * @returns how many sessions are still here; they go on elsewhere when the process ends
   */
  async handOn(milliseconds: number): Promise<number> {
    await new Promise<void>((resolve) => {
      const timer = setTimeout(resolve, milliseconds);
      const done = (): void => {
        clearTimeout(timer);
        resolve();
      };
      this.#end = { at: performance.now() + milliseconds, done };
      for (const session of [...this.#sessions]) session.handOn(milliseconds);
      if (this.#sessions.size === 0) done();
    });
    return this.#sessions.size;
  }

  /** Turns a shim away, which finds a conmond of its own then. */
  refuse(fd: number, reason: string): void {
    sendRefusal(fd, reason);
    sys.close(fd);
  }

  #forget(session: Session): void {
    this.#sessions.delete(session);
    if (this.#sessions.size > 0) return;
    this.#settings.onIdle();
    this.#end?.done();
  }
}
