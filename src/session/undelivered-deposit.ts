/** From one conmond to the next: leaving with the shim what has yet to be delivered, and finding it there. */
import {
  type AdoptedClient,
  type AttachServer,
  dropPacked,
  type PackedBacklog,
} from "../attach/mod.ts";
import * as sys from "../sys/mod.ts";
import { type ClientDeposit, DEPOSIT, takeDeposit } from "./deposit.ts";
import type { Surroundings } from "./stage.ts";
import {
  dropUndelivered,
  packUndelivered,
  type Undelivered,
  unpackUndelivered,
} from "./undelivered.ts";

type Neighbours = Pick<Surroundings, "connection" | "messages">;

/**
 * Leaves the clients with the shim, and what they and the container's stdin have not taken. To be called when nothing
 * will be given to them any more. What cannot be left is lost, and told.
 */
export function depositUndelivered(
  { connection, messages }: Neighbours,
  server: AttachServer,
  clients: ClientDeposit,
  input: Uint8Array | undefined,
): void {
  const backlogs = new Map<number, PackedBacklog>();
  // Also of those that have all: who came while the shim was behind is not there yet.
  const slots = new Map(server.clientFds.map((client) => [client, clients.slotOf(client)]));
  for (const [client, backlog] of server.packBacklogs()) {
    const slot = slots.get(client);
    // There is no slot for it: its connection ends with this process.
    if (slot === undefined) dropPacked(backlog);
    else backlogs.set(slot, backlog);
  }
  try {
    const fd = packUndelivered({ backlogs, input });
    if (fd === undefined) return;
    connection.keep(DEPOSIT.undelivered, fd);
    sys.close(fd);
  } catch (error) {
    messages.warn(
      `What attach clients and the container's stdin had yet to get is lost: ${(error as Error).message}`,
    );
  }
}

/**
 * Takes what another conmond has left out of the descriptors that a hello brought. It is not with the shim any more
 * then: who is killed loses it.
 */
export function takeUndelivered(
  { connection, messages }: Neighbours,
  descriptors: Map<number, number>,
): Undelivered {
  const fd = takeDeposit(descriptors, DEPOSIT.undelivered);
  if (fd !== undefined) {
    connection.drop(DEPOSIT.undelivered);
    try {
      return unpackUndelivered(fd);
    } catch (error) {
      messages.warn(
        `What attach clients and the container's stdin had yet to get cannot be read: ${(error as Error).message}`,
      );
    }
  }
  return { backlogs: new Map(), input: undefined };
}

/** Puts clients, by slot, together with what is left for them, and drops what is left for others. */
export function withBacklogs(
  clients: ReadonlyMap<number, number>,
  undelivered: Undelivered,
): AdoptedClient[] {
  const { backlogs } = undelivered;
  const together = [...clients].map(([slot, fd]) => {
    const backlog = backlogs.get(slot);
    backlogs.delete(slot);
    return { fd, backlog };
  });
  dropUndelivered(undelivered);
  return together;
}
