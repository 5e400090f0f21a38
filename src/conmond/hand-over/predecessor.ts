/** The end of the conmond that is replaced. */

import { sendRefusal } from "../../shim/connection.ts";
import * as sys from "../../sys/mod.ts";
import type { Door } from "../door.ts";
import { HandOverConnection } from "./connection.ts";
import { encodeDecline, encodeGive, HAND_OVER_VERSION, type HandOverMessage } from "./messages.ts";

/** How long a successor that has the socket may take until it accepts, in milliseconds. */
const PATIENCE_MS = 5000;

export interface PredecessorEvents {
  /** The socket is going to be handed over: nobody is to be accepted here meanwhile. */
  onGiving(): void;
  /** It was not taken: goes on as before. */
  onKept(reason: string): void;
  /** The successor accepts: what is left here is to hand the sessions on and to end. */
  onTaken(): void;
}

/**
 * Hands the socket to whoever asks for it. In between nobody accepts, and shims wait in the socket's queue; it
 * is only when the successor says that it accepts that it is committed.
 */
export class Predecessor {
  readonly #door: Door;
  readonly #events: PredecessorEvents;
  #state: "serving" | "giving" | "given" = "serving";
  #timer: NodeJS.Timeout | undefined;
  /** The one that was given the socket last. */
  #taker: HandOverConnection | undefined;

  constructor(door: Door, events: PredecessorEvents) {
    this.#door = door;
    this.#events = events;
  }

  /** Whether the socket, and with it its name, is another conmond's, or may be at any moment. */
  get hasGiven(): boolean {
    return this.#state !== "serving";
  }

  /** Takes over a connection on which an `ask` is waiting. */
  onSuccessor(fd: number): void {
    const connection: HandOverConnection = new HandOverConnection(fd, {
      onMessage: (message, descriptors) => {
        for (const descriptor of descriptors) sys.close(descriptor);
        this.#onMessage(fd, connection, message);
      },
      onLost: (error) => {
        if (connection !== this.#taker) return;
        this.#taker = undefined;
        this.#keep(error?.message ?? "the successor has ended before it accepted");
      },
    });
  }

  #onMessage(fd: number, connection: HandOverConnection, message: HandOverMessage): void {
    if (message.type === "taken" && connection === this.#taker) this.#give();
    else if (message.type !== "ask") throw new Error(`got ${message.type} from a successor`);
    else if (message.version !== HAND_OVER_VERSION) {
      sendRefusal(
        fd,
        `this conmond hands its socket over by version ${HAND_OVER_VERSION}, not ${message.version}`,
      );
      connection.close();
    } else this.#offer(connection);
  }

  #offer(connection: HandOverConnection): void {
    const { owner, listener, lock } = this.#door;
    if (owner === "service-manager" || lock === undefined) {
      const reason = "systemd listens for this conmond: restart its service instead";
      connection.send(encodeDecline(false, reason));
      connection.close();
    } else if (this.#state !== "serving") {
      connection.send(encodeDecline(true, "it is being replaced by another one already"));
      connection.close();
    } else {
      connection.send(encodeGive(process.pid), [listener, lock]);
      this.#state = "giving";
      this.#taker = connection;
      // If it does in the end, that is as good.
      this.#timer = setTimeout(() => this.#keep("the successor does not accept"), PATIENCE_MS);
      this.#events.onGiving();
    }
  }

  /** The connection stays open until we end, so that the successor sees that. */
  #give(): void {
    clearTimeout(this.#timer);
    if (this.#state === "given") return;
    this.#state = "given";
    this.#events.onTaken();
  }

  #keep(reason: string): void {
    if (this.#state !== "giving") return;
    clearTimeout(this.#timer);
    this.#state = "serving";
    this.#events.onKept(reason);
  }
}
