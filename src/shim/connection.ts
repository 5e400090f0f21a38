/** One shim as conmond sees it: requests as methods, messages as events. */
import { writeSync } from "node:fs";
import { readMemoryFile } from "../files/memory-file.ts";
import * as sys from "../sys/mod.ts";
import { type Context, decodeContext } from "./context.ts";
import * as messages from "./messages.ts";

/** What a connection tells its owner. Nothing is called after `onLost`. */
export interface ShimEvents {
  /** Descriptors belong to the receiver, by slot. */
  onHello(hello: messages.Hello, context: Context, descriptors: Map<number, number>): void;
  onSpawned(role: messages.Role, pid: number, descriptors: Map<number, number>): void;
  onFailed(request: number, errno: number, text: string): void;
  onExited(role: messages.Role, pid: number, ending: messages.Ending): void;
  onSignal(signal: number, forwardedTo: messages.Role | undefined): void;
  onInheritedClosed(): void;
  /** `errno` 0: the report has been written, or its reader is known to have left. */
  onReported(report: number, errno: number): void;
  /** The shim is gone (no `error`), or does not speak the protocol. */
  onLost(error?: Error): void;
}

/** More than the kernel lets any process have of arguments and environment (execve(2)), in bytes. */
const CONTEXT_MAX = 8 * 1024 * 1024;

/** The longest text for the caller, in characters: one of its arguments alone can have 128 KiB. */
const TOLD_MAX = 16 * 1024;

/**
 * How many messages may wait for a shim that takes none just now. It gets some for what happens once, and
 * none for what may happen without end: so a shim that is behind by more has stopped.
 */
const WAITING_MAX = 512;

/** A message that is still to be sent, with descriptors of its own. */
interface Waiting {
  readonly message: Buffer;
  readonly descriptors: readonly number[];
}

/** The connection's buffer is shared: every message is handled before the next is received. */
const packet = Buffer.alloc(messages.MESSAGE_MAX);

/** Owns the socket to one shim. */
export class ShimConnection {
  readonly #fd: number;
  readonly #readiness: sys.Readiness;
  readonly #events: ShimEvents;
  readonly #waiting: Waiting[] = [];
  #greeted = false;
  #closed = false;
  /** Resolves when the socket has been closed. */
  readonly #shutDown: Promise<void>;
  #onShutDown: () => void = () => undefined;
  /** Deposits that have not been sent yet, by slot; see {@link keepTogether}. */
  #held: Map<number, number> | undefined;

  constructor(fd: number, events: ShimEvents) {
    this.#fd = fd;
    this.#events = events;
    this.#shutDown = new Promise((resolve) => {
      this.#onShutDown = resolve;
    });
    this.#readiness = new sys.Readiness(fd, (ready) => {
      if ((ready & sys.WRITABLE) !== 0) this.#sendWaiting();
      if ((ready & sys.READABLE) !== 0) this.#receive();
    });
    this.#readiness.watch(sys.READABLE);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Whether the shim has hung up, which `onLost` may have yet to tell. */
  get hasHungUp(): boolean {
    return this.#closed || sys.hasHungUp(this.#fd);
  }

  /**
   * To be called before something is made under a name. A shim that has given up waiting has another conmond, which
   * has made that for itself by now: it would be replaced, and nobody would listen there.
   *
   * @throws Error when the shim has hung up
   */
  requireShim(): void {
    if (this.hasHungUp) throw new Error("the shim has given up waiting, or has ended");
  }

  /** Text for the caller's stdout or stderr; goes nowhere once the caller has been released. */
  tell(stream: "stdout" | "stderr", text: string): void {
    for (const message of messages.encodeTell(stream, shortened(text))) this.#send(message);
  }

  release(keepStdio: boolean): void {
    this.#send(messages.encodeRelease(keepStdio));
  }

  /** Starts the runtime or the exit command; answered by `onSpawned` or `onFailed`. */
  spawn(
    role: "runtime" | "exit-command",
    argv: readonly string[],
    flags: messages.SpawnFlags,
  ): void {
    const file = sys.memoryFile(`conmon-${role}`);
    try {
      const vector = messages.encodeArguments(argv.map((argument) => Buffer.from(argument)));
      for (let at = 0; at < vector.length; ) at += writeSync(file, vector, at);
      this.#send(messages.encodeSpawn(role, flags), [file]);
    } finally {
      sys.close(file);
    }
  }

  watch(pid: number): void {
    this.#send(messages.encodeWatch(pid));
  }

  /** Answered only when it fails. */
  kill(target: messages.SignalTarget, signal: number): void {
    this.#send(messages.encodeKill(target, signal));
  }

  /** Deposits a duplicate of a descriptor with the shim, where it outlives conmond. */
  keep(slot: number, fd: number): void {
    if (this.#held === undefined) this.#send(messages.encodeKeep(slot), [fd]);
    else this.#held.set(slot, fd);
  }

  /**
   * Does something in which descriptors are kept, and sends these together: each message wakes the shim.
   * They have to be open at the end of it. If it throws, those not sent yet are not kept.
   */
  keepTogether<T>(action: () => T): T {
    this.#held = new Map();
    try {
      const result = action();
      this.#sendHeld();
      return result;
    } finally {
      this.#held = undefined;
    }
  }

  /**
   * As {@link keep}, unless the shim is behind: then nothing is deposited. For what may come without end.
   *
   * @returns whether it is deposited
   */
  tryKeep(slot: number, fd: number): boolean {
    if (this.#closed || this.#waiting.length > 0) return false;
    return this.#trySend(messages.encodeKeep(slot), [fd]) && !this.#closed;
  }

  drop(slot: number): void {
    this.#send(messages.encodeDrop(slot));
  }

  /** Answered by `onInheritedClosed`. */
  closeInherited(): void {
    this.#send(messages.encodeCloseInherited());
  }

  /** Writes to a pipe of the caller's, once for each `report`; answered by `onReported`. */
  report(slot: number, report: number, bytes: Uint8Array): void {
    this.#send(messages.encodeReport(slot, report, bytes));
  }

  /** The shim's last request: it leaves with this status. */
  exit(status: number): void {
    this.#send(messages.encodeExit(status));
  }

  /** Turns the shim away; it will look for another conmond. */
  refuse(reason: string): void {
    if (!this.#closed) sendRefusal(this.#fd, reason);
    void this.close();
  }

  /**
   * Nothing more is said or heard. What waits for the shim is still sent, as soon as it takes it.
   *
   * @returns resolves when the shim has taken all, or is gone: until then this process has to be there
   */
  close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      if (this.#waiting.length > 0) this.#readiness.watch(sys.WRITABLE);
      else this.#shut();
    }
    return this.#shutDown;
  }

  #shut(): void {
    this.#closed = true;
    this.#readiness.close();
    for (const { descriptors } of this.#waiting.splice(0)) descriptors.forEach(sys.close);
    sys.close(this.#fd);
    this.#onShutDown();
  }

  #sendHeld(): void {
    const all = [...(this.#held ?? [])];
    this.#held?.clear();
    for (let at = 0; at < all.length; at += messages.KEEP_MAX) {
      const some = all.slice(at, at + messages.KEEP_MAX);
      const descriptors = some.map(([, fd]) => fd);
      this.#send(messages.encodeKeep(...some.map(([slot]) => slot)), descriptors);
    }
  }

  #send(message: Buffer, descriptors: readonly number[] = []): void {
    if (this.#held !== undefined && this.#held.size > 0) this.#sendHeld();
    if (this.#closed) return;
    if (this.#waiting.length === 0 && this.#trySend(message, descriptors)) return;
    if (this.#waiting.length === WAITING_MAX) {
      this.#loseLater(new Error("the shim does not take any more messages"));
      return;
    }
    const own: number[] = [];
    try {
      // The caller may close its own as soon as this returns.
      for (const fd of descriptors) own.push(sys.duplicate(fd));
      this.#readiness.watch(sys.READABLE | sys.WRITABLE);
      this.#waiting.push({ message, descriptors: own });
    } catch (error) {
      own.forEach(sys.close);
      this.#loseLater(error as Error);
    }
  }

  /** False: the shim takes nothing just now. When it cannot be sent at all, it is done with. */
  #trySend(message: Buffer, descriptors: readonly number[]): boolean {
    try {
      const along = descriptors.length === 0 ? undefined : [...descriptors];
      return sys.send(this.#fd, message, 0, message.length, along) >= 0;
    } catch (error) {
      this.#loseLater(error as Error);
      return true;
    }
  }

  #sendWaiting(): void {
    for (let next = this.#waiting[0]; next !== undefined; next = this.#waiting[0]) {
      const { message, descriptors } = next;
      if (!this.#trySend(message, descriptors)) return;
      // If the connection was lost over it, nothing waits any more.
      if (this.#waiting.shift() === undefined) return;
      descriptors.forEach(sys.close);
    }
    if (this.#closed) this.#shut();
    else this.#readiness.watch(sys.READABLE);
  }

  #lose(error?: Error): void {
    if (this.#closed) return;
    this.#shut();
    this.#events.onLost(error);
  }

  /** Told later: whoever sends is in the midst of something, and must not find all closed when it goes on. */
  #loseLater(error: Error): void {
    const wasOpen = !this.#closed;
    this.#shut();
    if (wasOpen) queueMicrotask(() => this.#events.onLost(error));
  }

  #receive(): void {
    while (!this.#closed) {
      let received: ReturnType<typeof sys.receiveWithDescriptors>;
      try {
        received = sys.receiveWithDescriptors(this.#fd, packet, messages.DESCRIPTORS_MAX);
      } catch (error) {
        this.#lose(error as Error);
        return;
      }
      if (received === undefined) return;
      if (received.bytes === 0) {
        for (const fd of received.descriptors) sys.close(fd);
        this.#lose();
        return;
      }
      this.#take(received.bytes, received.descriptors, received.truncated);
    }
  }

  /** Descriptors that do not reach their receiver are closed here. */
  #take(bytes: number, descriptors: number[], truncated: boolean): void {
    let message: messages.ShimMessage;
    let context: Context | undefined;
    try {
      if (truncated) throw new messages.ProtocolError("a message arrived cut");
      message = messages.decodeShimMessage(packet.subarray(0, bytes), descriptors.length);
      if ((message.type === "hello") === this.#greeted) {
        throw new messages.ProtocolError(`message ${message.type} out of turn`);
      }
      if (message.type === "hello") {
        context = readContext(descriptors.shift());
        // It did not wait for us: the session is another conmond's by now, and nothing of it may be touched.
        if (sys.hasHungUp(this.#fd)) throw new Error("it has given up waiting for an answer");
      }
    } catch (error) {
      for (const fd of descriptors) sys.close(fd);
      if (this.#greeted) void this.close();
      else this.refuse((error as Error).message);
      this.#events.onLost(error as Error);
      return;
    }
    this.#greeted = true;
    this.#dispatch(message, context, descriptors);
  }

  #dispatch(
    message: messages.ShimMessage,
    context: Context | undefined,
    descriptors: number[],
  ): void {
    switch (message.type) {
      case "hello":
        if (context !== undefined) {
          this.#events.onHello(message, context, bySlot(message.slots, descriptors));
        }
        break;
      case "spawned":
        this.#events.onSpawned(message.role, message.pid, bySlot(message.slots, descriptors));
        break;
      case "failed":
        this.#events.onFailed(message.request, message.errno, message.text);
        break;
      case "exited":
        this.#events.onExited(message.role, message.pid, message.ending);
        break;
      case "signal":
        this.#events.onSignal(message.signal, message.forwardedTo);
        break;
      case "inherited-closed":
        this.#events.onInheritedClosed();
        break;
      case "reported":
        this.#events.onReported(message.report, message.errno);
        break;
    }
  }
}

/** Who was told what has been given wrong needs no more of it to know it again. */
function shortened(text: string): string {
  return text.length <= TOLD_MAX ? text : `${text.slice(0, TOLD_MAX)}...\n`;
}

/** Tells a shim that it is not served; the descriptor stays the caller's. */
export function sendRefusal(fd: number, reason: string): void {
  try {
    sys.send(fd, messages.encodeRefuse(reason));
  } catch {
    // It has gone, and with it the one who could be told. A refusal must not harm other sessions.
  }
}

function bySlot(slots: readonly number[], descriptors: readonly number[]): Map<number, number> {
  const map = new Map<number, number>();
  slots.forEach((slot, index) => {
    const fd = descriptors[index];
    if (fd !== undefined) map.set(slot, fd);
  });
  return map;
}

function readContext(file: number | undefined): Context {
  if (file === undefined) throw new messages.ProtocolError("a hello without its context");
  try {
    return decodeContext(readMemoryFile(file, "a context", CONTEXT_MAX));
  } finally {
    sys.close(file);
  }
}
