/** What the caller is told on its pipes: that it can attach, how the start went, how it ended. */
import type { ShimConnection } from "../shim/connection.ts";
import { SLOT } from "../shim/messages.ts";
import { CallerPipe, REPORT } from "./caller-pipe.ts";
import type { CheckedOptions } from "./checks.ts";
import { takeDeposit } from "./deposit.ts";
import type { OwnMessages } from "./own-messages.ts";
import { encodeSyncMessage, syncKey } from "./sync-message.ts";

/** What the options say about how the caller is spoken to. */
type Manners = Pick<CheckedOptions, "apiVersion" | "launch">;

/** Owns the pipes. Each thing is told once, however often and by whichever conmond it is asked for. */
export class Caller {
  readonly #messages: OwnMessages;
  readonly #syncPipe: CallerPipe | undefined;
  readonly #attachPipe: CallerPipe | undefined;

  /** @param descriptors what a hello brought, by slot; those of the pipes are taken out of it */
  constructor(connection: ShimConnection, messages: OwnMessages, descriptors: Map<number, number>) {
    const take = (slot: number): CallerPipe | undefined => {
      const fd = takeDeposit(descriptors, slot);
      return fd === undefined ? undefined : new CallerPipe(fd, slot, connection);
    };
    this.#messages = messages;
    this.#syncPipe = take(SLOT.syncPipe);
    this.#attachPipe = take(SLOT.attachPipe);
  }

  /** The attach socket is there. */
  tellAttachable(): void {
    this.#attachPipe
      ?.send(REPORT.attachable, encodeSyncMessage("data", 0))
      .catch((error: Error) => this.#messages.error(error.message));
  }

  /** The container process is there. Callers of the old exec wait for nothing but the exit status. */
  tellStarted(manners: Manners, pid: number): void {
    if (manners.launch.kind === "exec" && manners.apiVersion < 1) return;
    void this.#sendSync(manners, REPORT.start, pid);
  }

  /** There is no container process. Resolves when that is told, or cannot be. */
  tellNotStarted(manners: Manners, reason: string | Uint8Array): Promise<void> {
    return this.#sendSync(manners, REPORT.start, -1, reason);
  }

  /** The container process has ended. Resolves when that is told, or cannot be. */
  tellExit(manners: Manners, status: number, message?: string): Promise<void> {
    return this.#sendSync(manners, REPORT.exit, status, message);
  }

  /** The shim's answer to what was told last on one of the pipes. */
  onReported(report: number, errno: number): void {
    const pipe = report === REPORT.attachable ? this.#attachPipe : this.#syncPipe;
    pipe?.onReported(errno);
  }

  close(): void {
    this.#syncPipe?.close();
    this.#attachPipe?.close();
  }

  /** What cannot be told to the caller is told to those who read our own messages. */
  async #sendSync(
    { apiVersion, launch }: Manners,
    report: number,
    value: number,
    message?: string | Uint8Array,
  ): Promise<void> {
    const key = syncKey(apiVersion, launch.kind === "exec");
    try {
      await this.#syncPipe?.send(report, encodeSyncMessage(key, value, message));
    } catch (error) {
      this.#messages.error(`${(error as Error).message} (the message was ${value})`);
    }
  }
}
