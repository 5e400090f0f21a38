/** Descriptors of conmond's that the shim keeps, so that the next conmond can go on with them. */
import { fstatSync } from "node:fs";
import type { ShimConnection } from "../shim/connection.ts";
import { SLOT } from "../shim/messages.ts";
import * as sys from "../sys/mod.ts";

/** Slots of conmond's own, above those that the shim fills by itself. */
export const DEPOSIT = {
  journal: SLOT.free,
  listener: SLOT.free + 1,
  ctl: SLOT.free + 2,
  winsz: SLOT.free + 3,
  notify: SLOT.free + 4,
  consoleListener: SLOT.free + 5,
  consoleConnection: SLOT.free + 6,
  terminal: SLOT.free + 7,
  oom: SLOT.free + 8,
  transit: SLOT.free + 9,
  startup: SLOT.free + 10,
  /** And the four that follow. */
  firstLog: SLOT.free + 11,
  firstClient: SLOT.free + 16,
  /** Behind the clients; there only from one conmond that hands the session on to the next. */
  undelivered: SLOT.free + 80,
} as const;

/** The most attach clients a session can have: the shim has 96 slots in all. */
export const CLIENTS_MAX = 64;

/** Whether an attach client may be in the slot. */
function isClientSlot(slot: number): boolean {
  return slot >= DEPOSIT.firstClient && slot < DEPOSIT.firstClient + CLIENTS_MAX;
}

/** Takes the attach clients out of what a hello brought, by slot. */
export function takeClients(descriptors: Map<number, number>): Map<number, number> {
  const clients = new Map([...descriptors].filter(([slot]) => isClientSlot(slot)));
  for (const slot of clients.keys()) descriptors.delete(slot);
  return clients;
}

/** Which of our attach clients is in which slot. */
export class ClientDeposit {
  readonly #connection: ShimConnection;
  readonly #slots = new Map<number, number>();

  /** `present`: slot to descriptor, as a hello brought them. */
  constructor(connection: ShimConnection, present: ReadonlyMap<number, number> = new Map()) {
    this.#connection = connection;
    for (const [slot, fd] of present) this.#slots.set(fd, slot);
  }

  /**
   * Clients can come and go faster than the shim takes them. One that it has no time for is served as others
   * are, but goes with us if we are killed.
   */
  add(fd: number): void {
    const slot = this.#freeSlot();
    if (slot === undefined || !this.#connection.tryKeep(slot, fd)) return;
    this.#slots.set(fd, slot);
  }

  /**
   * Where the client is; one that the shim had no time for is deposited now, for which the connection waits if need be.
   * Undefined: there are too many.
   */
  slotOf(fd: number): number | undefined {
    const present = this.#slots.get(fd);
    if (present !== undefined) return present;
    const slot = this.#freeSlot();
    if (slot === undefined) return undefined;
    this.#connection.keep(slot, fd);
    this.#slots.set(fd, slot);
    return slot;
  }

  #freeSlot(): number | undefined {
    const taken = new Set(this.#slots.values());
    for (let slot: number = DEPOSIT.firstClient; slot < DEPOSIT.firstClient + CLIENTS_MAX; slot++) {
      if (!taken.has(slot)) return slot;
    }
    return undefined;
  }

  /** To be called before the descriptor's number can be used again. */
  remove(fd: number): void {
    const slot = this.#slots.get(fd);
    if (slot === undefined) return;
    this.#slots.delete(fd);
    this.#connection.drop(slot);
  }
}

type Kind = "memory file" | "pipe" | "socket" | "terminal";

/** Of what kind the descriptor in a slot is; undefined where any will do. */
function kindIn(slot: number): Kind | undefined {
  switch (slot) {
    case DEPOSIT.journal:
    case DEPOSIT.oom:
    case DEPOSIT.startup:
      return "memory file";
    case SLOT.stdin:
    case SLOT.stdout:
    case SLOT.stderr:
    case DEPOSIT.ctl:
    case DEPOSIT.winsz:
    case DEPOSIT.transit:
      return "pipe";
    case DEPOSIT.listener:
    case DEPOSIT.notify:
    case DEPOSIT.consoleListener:
    case DEPOSIT.consoleConnection:
    case DEPOSIT.undelivered:
      return "socket";
    case DEPOSIT.terminal:
      return "terminal";
    default:
      return isClientSlot(slot) ? "socket" : undefined;
  }
}

function isOfKind(fd: number, kind: Kind): boolean {
  const status = fstatSync(fd);
  switch (kind) {
    case "memory file":
      return status.isFile();
    case "pipe":
      return status.isFIFO();
    case "socket":
      return status.isSocket();
    case "terminal":
      return sys.isTerminal(fd);
  }
}

/**
 * Looks at what a hello brought before anything is done with it, so that nothing is half taken over when
 * something in it turns out to be of no use.
 *
 * @returns what is wrong with it, undefined if nothing is
 */
export function faultOfDeposits(descriptors: ReadonlyMap<number, number>): string | undefined {
  for (const [slot, fd] of descriptors) {
    const kind = kindIn(slot);
    if (kind !== undefined && !isOfKind(fd, kind)) return `what is in slot ${slot} is no ${kind}`;
  }
  const slots = [...descriptors.keys()];
  // The journal is the first that is deposited, and stays to the end.
  if (slots.some((slot) => slot >= SLOT.free) && !descriptors.has(DEPOSIT.journal)) {
    return "there are deposits, but no journal";
  }
  if (slots.some(isClientSlot) && !descriptors.has(DEPOSIT.listener)) {
    return "there are attach clients, but nothing that listens for them";
  }
  return undefined;
}

/** Takes a descriptor out of those that a hello brought. */
export function takeDeposit(descriptors: Map<number, number>, slot: number): number | undefined {
  const fd = descriptors.get(slot);
  descriptors.delete(slot);
  return fd;
}
