/** One shim as conmond sees it: requests as methods, messages as events. */
import { fstatSync, readSync, writeSync } from "node:fs";
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

/** The connection's buffer is shared: every message is handled before the next is received. */
const packet = Buffer.alloc(messages.MESSAGE_MAX);

/** Owns the socket to one shim. */
export class ShimConnection {
  readonly #fd: number;
  readonly #readiness: sys.Readiness;
  readonly #events: ShimEvents;
  #greeted = false;
  #closed = false;

  constructor(fd: number, events: ShimEvents) {
    this.#fd = fd;
    this.#events = events;
    this.#readiness = new sys.Readiness(fd, () => this.#receive());
    this.#readiness.watch(sys.READABLE);
  }

  get closed(): boolean {
    return this.#closed;
  }

  /** Text for the caller's stdout or stderr; goes nowhere once the caller has been released. */
  tell(stream: "stdout" | "stderr", text: string): void {
    for (const message of messages.encodeTell(stream, text)) this.#send(message);
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
      this.#send(messages.encodeSpawn(role, flags), file);
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
    this.#send(messages.encodeKeep(slot), fd);
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
    this.close();
  }

  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#readiness.close();
    sys.close(this.#fd);
  }

  #send(message: Buffer, descriptor?: number): void {
    if (this.#closed) return;
    try {
      const sent = sys.send(
        this.#fd,
        message,
        0,
        message.length,
        descriptor === undefined ? undefined : [descriptor],
      );
      // A shim reads all the time; one whose queue is full is stopped or wedged.
      if (sent < 0) throw new Error("the shim does not take any more messages");
    } catch (error) {
      // Told later: whoever sends is in the midst of something, and must not find all closed when it goes on.
      this.close();
      queueMicrotask(() => this.#events.onLost(error as Error));
    }
  }

  #lose(error?: Error): void {
    if (this.#closed) return;
    this.close();
    this.#events.onLost(error);
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
      if (message.type === "hello") context = readContext(descriptors.shift());
    } catch (error) {
      for (const fd of descriptors) sys.close(fd);
      if (error instanceof messages.ProtocolError && !this.#greeted) this.refuse(error.message);
      else this.close();
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
    const { size } = fstatSync(file);
    if (size > CONTEXT_MAX) throw new messages.ProtocolError(`a context of ${size} bytes`);
    const bytes = Buffer.alloc(size);
    for (let at = 0; at < bytes.length; ) {
      const count = readSync(file, bytes, at, bytes.length - at, at);
      if (count === 0) throw new messages.ProtocolError("the shim's context became shorter");
      at += count;
    }
    return decodeContext(bytes);
  } finally {
    sys.close(file);
  }
}
