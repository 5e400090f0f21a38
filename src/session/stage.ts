/** What the stages of a session's life have in common. */
import type { ShimConnection } from "../shim/connection.ts";
import type { TimeZone } from "../time-zone/time-zone.ts";
import type { Caller } from "./caller.ts";
import type { CheckedOptions } from "./checks.ts";
import type { Containment } from "./containment.ts";
import type { OwnMessages } from "./own-messages.ts";

/** Known from the caller's options on, to the end. */
export interface Surroundings {
  readonly connection: ShimConnection;
  readonly messages: OwnMessages;
  readonly caller: Caller;
  readonly containment: Containment;
  readonly options: CheckedOptions;
  /** The caller has been let go before: nothing can be refused any more. */
  readonly released: boolean;
  readonly shimPid: number;
  /** The caller's local time. */
  readonly zone: TimeZone;
}
