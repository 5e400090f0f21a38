/** The attach clients of a container that has ended. */
import { AttachServer } from "../attach/mod.ts";
import { ClientDeposit, takeClients } from "./deposit.ts";
import type { Surroundings } from "./stage.ts";
import { depositUndelivered, takeUndelivered, withBacklogs } from "./undelivered-deposit.ts";

/** How long attached clients that read slowly are given for the rest, in milliseconds. */
export const CLIENT_GRACE_MS = 10_000;

/** Those that had not got everything when another conmond handed the session on. Owns their descriptors. */
export class LastClients {
  /** Resolves when they have the rest, or have had their time, which begins anew. */
  readonly detached: Promise<void>;
  readonly #around: Surroundings;
  readonly #server: AttachServer;
  readonly #deposit: ClientDeposit;

  /** @param descriptors what a hello brought, by slot; clients are taken out of it */
  constructor(around: Surroundings, descriptors: Map<number, number>) {
    const { options, connection, messages } = around;
    const undelivered = takeUndelivered(around, descriptors);
    const clients = takeClients(descriptors);
    this.#around = around;
    this.#deposit = new ClientDeposit(connection, clients);
    this.#server = AttachServer.adoptFinishing(
      withBacklogs(clients, undelivered),
      {
        bundle: options.launch.bundle ?? "",
        fullAttach: options.fullAttach,
        socketDirectory: options.socketDir,
        linkName: options.cuuid,
        onInput: () => true,
        onInputEnd: () => undefined,
        onFault: (error) => messages.warn(error.message),
        onClientsChanged: (_added, removed) => {
          if (removed !== undefined) this.#deposit.remove(removed);
        },
      },
      CLIENT_GRACE_MS,
    );
    this.detached = this.#server.finish(CLIENT_GRACE_MS);
  }

  /** Leaves with the shim what they have not taken yet; `close()` is to follow at once. */
  depositUndelivered(): void {
    depositUndelivered(this.#around, this.#server, this.#deposit, undefined);
  }

  close(): void {
    this.#server.close();
  }
}
