import { tmpdir } from "node:os";
import { FaultLimit } from "../faults/fault-limit.ts";
import { Listener } from "../sockets/listener.ts";
import { removeName } from "../sockets/socket-path.ts";
import * as sys from "../sys/mod.ts";
import {
  attachLinkPath,
  attachSocketPath,
  linkToBundle,
  openAttachSocket,
} from "./attach-socket.ts";
import { Backlog, type BacklogSettings, dropPacked, type PackedBacklog } from "./backlog.ts";
import { AttachClient } from "./client.ts";
import { fillPacket, MAX_PACKET_DATA, MAX_PACKET_SIZE, type OutputStream } from "./packet.ts";

const MEBIBYTE = 1024 * 1024;

/** Node.js makes two dozen system calls to find out. */
const temporaryDirectory = tmpdir();

/** What an {@link AttachServer} is to serve, and whom it tells about what. */
export interface AttachServerOptions {
  /** The bundle, an absolute path; it gets the socket `attach`. */
  bundle: string;
  /** Called when the socket is about to be given its name, by `open()`: what it throws keeps it from that. */
  onNaming?(): void;
  /** Clients find the socket in the bundle; otherwise through the link `socketDirectory/linkName`. */
  fullAttach: boolean;
  /** The directory of the link to the bundle. */
  socketDirectory: string;
  /** The name of the link to the bundle. */
  linkName: string;
  /**
   * Takes bytes for the container's stdin, in order. `data` is only valid during the call. False: no
   * more until `resumeInput()`, which is called after this has returned.
   */
  onInput(data: Uint8Array): boolean;
  /** A client will send nothing more, because it half-closed, left or was dropped; once for each. */
  onInputEnd(): void;
  /** Something is worth a warning: a client was dropped, the next one cannot be accepted. */
  onFault(error: Error): void;
  /**
   * A client's descriptor has come, or is about to be closed. Not called for adopted ones that
   * come, nor by `close()`.
   */
  onClientsChanged?(added: number | undefined, removed: number | undefined): void;
  /** The most bytes held in memory for one client that does not keep up. Default: 1 MiB. */
  bufferLimit?: number;
  /** The most bytes beyond these held in a file, before that client is dropped. Default: 1 GiB. */
  spillLimit?: number;
  /** How many clients there can be at a time; more are turned away. Default: 64. */
  maxClients?: number;
}

/** A client that another process has served, with what that had yet to send to it. */
export interface AdoptedClient {
  readonly fd: number;
  readonly backlog?: PackedBacklog | undefined;
}

/** One packet at a time is under way, in all of the process. */
const packet = new Uint8Array(MAX_PACKET_SIZE);

/**
 * The attach socket of a container: any number of clients, which get the container's output and may
 * send input. What a client does or fails to do delays nobody else: output that it does not take is
 * kept for it within limits, beyond which it is dropped.
 *
 * @example
 * const server = AttachServer.open(options);
 * server.broadcast("stdout", Buffer.from("hello\n"));
 * await server.finish(10_000);
 */
export class AttachServer {
  readonly #options: AttachServerOptions;
  readonly #backlogSettings: BacklogSettings;
  readonly #faults: FaultLimit;
  /** None where nobody is to come any more. */
  readonly #listener: Listener | undefined;
  readonly #clients = new Map<number, AttachClient>();
  /** What becomes of input: at the end nobody wants it any more, but clients can still send it. */
  #input: "wanted" | "paused" | "discarded" = "wanted";
  #finished: Promise<void> | undefined;
  #onAllGone: (() => void) | undefined;
  #grace: NodeJS.Timeout | undefined;

  private constructor(listenerFd: number | undefined, options: AttachServerOptions) {
    this.#options = options;
    this.#backlogSettings = {
      memoryLimit: options.bufferLimit ?? MEBIBYTE,
      spillLimit: options.spillLimit ?? 1024 * MEBIBYTE,
      spillDirectories: [options.bundle, temporaryDirectory, "/var/tmp"],
    };
    this.#faults = new FaultLimit((error) => options.onFault(error));
    if (listenerFd === undefined) return;
    this.#listener = new Listener(listenerFd, {
      client: "attach client",
      onConnection: (fd) => this.#welcome(fd),
      onFault: (kind, error) => this.#faults.add(kind, error),
    });
  }

  /**
   * Makes the socket, and the link to it if one is called for, in place of old ones.
   *
   * @throws Error that names the path and the reason. Then neither socket nor link is left behind.
   */
  static open(options: AttachServerOptions): AttachServer {
    const fd = openAttachSocket(options.bundle, options.onNaming);
    let server: AttachServer | undefined;
    try {
      server = new AttachServer(fd, options);
      if (!options.fullAttach) linkToBundle(linkOf(options), options.bundle);
      return server;
    } catch (error) {
      if (server === undefined) sys.close(fd);
      else server.close();
      removeName(attachSocketPath(options.bundle));
      throw error;
    }
  }

  /**
   * Goes on with descriptors that another process opened; socket and link are there already. What that had
   * yet to send to clients is known here only where it comes along.
   */
  static adopt(
    listenerFd: number,
    clients: readonly AdoptedClient[],
    options: AttachServerOptions,
  ): AttachServer {
    const server = new AttachServer(listenerFd, options);
    for (const client of clients) server.#adopt(client);
    return server;
  }

  /**
   * Goes on with the clients of one that another process had begun to {@link finish}: they get what is left for
   * them, and nobody else comes any more. Nothing in the file system is touched.
   */
  static adoptFinishing(
    clients: readonly AdoptedClient[],
    options: AttachServerOptions,
    graceMilliseconds: number,
  ): AttachServer {
    const server = new AttachServer(undefined, options);
    for (const client of clients) server.#adopt(client);
    server.#finished = server.#finishClients(graceMilliseconds);
    return server;
  }

  /** The listening socket. It stays this object's own; closed once `finish()` has been called. */
  get listenerFd(): number {
    if (this.#listener === undefined)
      throw new Error("nothing listens for attach clients any more");
    return this.#listener.fd;
  }

  /** Whether anybody gets what is broadcast. */
  get hasClients(): boolean {
    return this.#clients.size > 0;
  }

  /** The sockets of the clients; they stay this object's own. */
  get clientFds(): number[] {
    return [...this.#clients.keys()];
  }

  /**
   * Accepts those who have connected, even if the event loop has not told of them yet. To be called before
   * output is logged: who connected before it was written is to have it.
   */
  acceptWaiting(): void {
    if (this.#finished === undefined) this.#listener?.acceptWaiting();
  }

  /** Sends output to all clients. `data` is only valid during the call. */
  broadcast(stream: OutputStream, data: Uint8Array): void {
    if (this.#clients.size === 0) return;
    let changed = false;
    for (let offset = 0; offset < data.length; offset += MAX_PACKET_DATA) {
      const length = fillPacket(packet, stream, data, offset);
      for (const client of this.#clients.values()) {
        if (client.deliver(packet, length)) changed = true;
      }
    }
    if (changed) for (const client of [...this.#clients.values()]) this.#lookAfter(client);
  }

  /** More input is welcome, after `onInput` returned false. */
  resumeInput(): void {
    if (this.#input === "paused") this.#setInput("wanted");
  }

  /** Takes no more input until `resumeInput()`: what clients send stays where it is. */
  pauseInput(): void {
    if (this.#input === "wanted") this.#setInput("paused");
  }

  /**
   * What clients have yet to take, by their descriptors, for the process that goes on with them; it belongs to the
   * caller. Nothing may be sent to them after that, so `close()` is to follow at once.
   */
  packBacklogs(): Map<number, PackedBacklog> {
    const packed = new Map<number, PackedBacklog>();
    for (const client of this.#clients.values()) {
      try {
        const backlog = client.packBacklog();
        if (backlog !== undefined) packed.set(client.fd, backlog);
      } catch (error) {
        this.#options.onFault(lost(client.pending, error));
      }
    }
    return packed;
  }

  /**
   * Ends the service after the last output: removes the socket, so that nobody comes any more, and
   * closes the clients. Those that have got everything are closed before this returns; the others get
   * what is left, but not beyond `graceMilliseconds`. Input is discarded from now on.
   */
  finish(graceMilliseconds: number): Promise<void> {
    this.#finished ??= this.#finish(graceMilliseconds);
    return this.#finished;
  }

  /** Removes the link to the bundle, where there is one. */
  removeLink(): void {
    if (!this.#options.fullAttach) this.#remove(linkOf(this.#options));
  }

  /**
   * Closes all descriptors and leaves everything else to whoever has copies of them, as when this
   * process is replaced: connections, socket and link stay.
   */
  close(): void {
    this.#listener?.close();
    for (const client of this.#clients.values()) client.release();
    this.#clients.clear();
    this.#endGrace();
    this.#faults.close();
  }

  #welcome(fd: number): void {
    const limit = this.#options.maxClients ?? 64;
    if (this.#clients.size >= limit) {
      sys.close(fd);
      this.#faults.add(
        "attach client turned away",
        new Error(`Turned an attach client away: there are ${limit} already, which is the limit`),
      );
    } else if (this.#add(fd)) {
      this.#options.onClientsChanged?.(fd, undefined);
    }
  }

  /** Begins to serve a client; false if that is not possible and the descriptor is closed. */
  #add(fd: number): boolean {
    let client: AttachClient | undefined;
    try {
      client = new AttachClient(fd, this.#backlogSettings, (events) => this.#onReady(fd, events));
      client.watch(this.#input !== "paused");
    } catch (cause) {
      if (client === undefined) sys.close(fd);
      else client.release();
      const message = `Failed to serve an attach client: ${(cause as Error).message}`;
      this.#faults.add("attach client not served", new Error(message, { cause }));
      return false;
    }
    this.#clients.set(fd, client);
    return true;
  }

  #adopt({ fd, backlog }: AdoptedClient): void {
    const added = this.#add(fd);
    const client = this.#clients.get(fd);
    if (backlog === undefined) return;
    if (!added || client === undefined) {
      dropPacked(backlog);
      return;
    }
    try {
      client.resume(Backlog.unpack(this.#backlogSettings, backlog));
      client.watch(this.#input !== "paused");
    } catch (error) {
      this.#options.onFault(lost(undefined, error));
    }
  }

  #onReady(fd: number, events: number): void {
    const client = this.#clients.get(fd);
    if (client === undefined) return;
    if (client.onEvents(events)) client.receive((data) => this.#onInput(data));
    this.#lookAfter(client);
  }

  #onInput(data: Uint8Array): boolean {
    if (this.#input === "wanted" && !this.#options.onInput(data)) this.#setInput("paused");
    return this.#input !== "paused";
  }

  #setInput(input: "wanted" | "paused" | "discarded"): void {
    this.#input = input;
    for (const client of this.#clients.values()) client.watch(input !== "paused");
  }

  /** Draws the conclusions from what has happened to a client. */
  #lookAfter(client: AttachClient): void {
    // It may be gone since: what is called back here may have closed it.
    if (this.#clients.get(client.fd) !== client) return;
    if (client.takeInputEnd() && this.#input !== "discarded") this.#options.onInputEnd();
    if (this.#clients.get(client.fd) !== client) return;
    const served = this.#finished !== undefined && client.pending === 0;
    if (client.isOver || served) this.#drop(client);
    else client.watch(this.#input !== "paused");
  }

  #drop(client: AttachClient): void {
    if (client.fault !== undefined) this.#reportDropped(client, client.fault);
    this.#clients.delete(client.fd);
    this.#options.onClientsChanged?.(undefined, client.fd);
    client.close();
    this.#listener?.retry();
    if (this.#clients.size === 0 && this.#finished !== undefined) this.#endGrace();
  }

  #reportDropped(client: AttachClient, fault: Error): void {
    const message = `Dropped an attach client${processOf(client.fd)}: ${fault.message}`;
    this.#faults.add("attach client dropped", new Error(message, { cause: fault }));
  }

  #finish(graceMilliseconds: number): Promise<void> {
    this.#remove(attachSocketPath(this.#options.bundle));
    this.#listener?.turnAway();
    return this.#finishClients(graceMilliseconds);
  }

  #finishClients(graceMilliseconds: number): Promise<void> {
    this.#setInput("discarded");
    const allGone = new Promise<void>((resolve) => {
      this.#onAllGone = resolve;
    });
    for (const client of [...this.#clients.values()]) if (client.pending === 0) this.#drop(client);
    if (this.#clients.size === 0) this.#endGrace();
    else this.#grace = setTimeout(() => this.#onGraceOver(graceMilliseconds), graceMilliseconds);
    return allGone;
  }

  #onGraceOver(milliseconds: number): void {
    for (const client of [...this.#clients.values()]) {
      const late = `it had ${client.pending} bytes yet to read ${milliseconds} ms after the end`;
      this.#reportDropped(client, new Error(late));
      this.#drop(client);
    }
  }

  #endGrace(): void {
    clearTimeout(this.#grace);
    this.#faults.close();
    this.#onAllGone?.();
  }

  #remove(path: string): void {
    try {
      removeName(path);
    } catch (error) {
      this.#options.onFault(error as Error);
    }
  }
}

/** @param bytes of packets, if it is known how many */
function lost(bytes: number | undefined, cause: unknown): Error {
  const what = bytes === undefined ? "what was kept for it" : `the ${bytes} bytes kept for it`;
  return new Error(`An attach client loses ${what}: ${(cause as Error).message}`, { cause });
}

function linkOf({ socketDirectory, linkName }: AttachServerOptions): string {
  return attachLinkPath(socketDirectory, linkName);
}

/** The process that connected, for people. */
function processOf(fd: number): string {
  try {
    return ` (process ${sys.peerCredentials(fd).pid})`;
  } catch {
    // Without a connection nobody knows; the fault itself tells more.
    return "";
  }
}
