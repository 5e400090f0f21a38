import { addon } from "./addon.ts";

/** The types of unix sockets: a stream of bytes, packets on a connection, packets without one. */
export type SocketType = "stream" | "seqpacket" | "dgram";

/** Who is at the other end: as it was when it called connect, listen or socketpair. */
export interface PeerCredentials {
  readonly pid: number;
  readonly uid: number;
  readonly gid: number;
}

/** What a socket is, whoever made it. */
export interface SocketDescription {
  readonly type: SocketType | "other";
  /** `listen` has been called. */
  readonly listening: boolean;
  /** What it is bound to; "" for one without a path in the file system. */
  readonly path: string;
}

/** What `receiveWithDescriptors` took from a socket. 0 bytes and no descriptors: the end. */
export interface ReceivedMessage {
  /** Length of the message in bytes. If the message was cut, this is more than was there to fill. */
  readonly bytes: number;
  /** The descriptors that came with it, close-on-exec. They belong to the caller, who closes them. */
  readonly descriptors: number[];
  /** Data or descriptors did not fit and are lost. Descriptors that did fit are closed already. */
  readonly truncated: boolean;
}

/**
 * Unix sockets. All throw a {@link SystemError}, and a TypeError or RangeError for arguments that
 * make no sense. New descriptors are non-blocking and close-on-exec.
 */
export interface SocketCalls {
  /** Makes a socket. */
  unixSocket(type: SocketType): number;

  /** Makes two connected sockets. */
  unixSocketPair(type: SocketType): [number, number];

  /**
   * Binds a socket to a path, or to an abstract name if the path begins with "@".
   *
   * @throws ENAMETOOLONG for a path, or a name after the "@", of more than 107 bytes; EINVAL for an
   * empty one.
   */
  bindUnix(fd: number, path: string): void;

  /**
   * Connects a socket to a path or abstract name, see `bindUnix`.
   *
   * @throws EAGAIN when the listener's backlog is full.
   */
  connectUnix(fd: number, path: string): void;

  /** Lets clients connect; at most about `backlog` of them wait to be accepted. */
  listen(fd: number, backlog: number): void;

  /** Accepts a client; undefined when nobody is waiting. */
  accept(fd: number): number | undefined;

  /** Ends the sending direction: the other end reads what is on the way, then the end. */
  shutdownWrite(fd: number): void;

  /** Ends both directions, also for whoever has a copy of the descriptor. */
  shutdownBoth(fd: number): void;

  /** Tells who is at the other end of a stream or seqpacket connection (SO_PEERCRED). */
  peerCredentials(fd: number): PeerCredentials;

  /**
   * Tells what a socket is.
   *
   * @throws ENOTSOCK for any other descriptor.
   */
  describeSocket(fd: number): SocketDescription;

  /** Whether the other end of a connection sends no more, although there may be something to receive yet. */
  hasHungUp(fd: number): boolean;

  /**
   * Sends a part of `data` (default: all from `offset`, which is 0), with up to 253 descriptors;
   * they stay open here too. A stream may take less than was given, and takes descriptors only
   * with at least one byte.
   *
   * @returns the bytes sent; -1 when it would block.
   * @throws EPIPE when the other end has closed; EMSGSIZE for a packet that is too large.
   */
  send(
    fd: number,
    data: Uint8Array,
    offset?: number,
    length?: number,
    descriptors?: readonly number[],
  ): number;

  /**
   * Receives what a stream has, or one packet.
   *
   * @returns the bytes received; -1 when it would block; 0 at the end (or for an empty packet). More
   * than `into.length`: this packet was longer than the buffer and its rest is lost.
   * @throws RangeError when `into` is empty.
   */
  receive(fd: number, into: Uint8Array): number;

  /** As `receive`, but leaves what it returns where it is, the descriptors that came along included. */
  peek(fd: number, into: Uint8Array): number;

  /**
   * Receives one message with at most `maxDescriptors` (0 to 253) descriptors; undefined when it
   * would block. On a stream a message ends, at the latest, where one with descriptors begins.
   *
   * @throws RangeError when `into` is empty.
   */
  receiveWithDescriptors(
    fd: number,
    into: Uint8Array,
    maxDescriptors: number,
  ): ReceivedMessage | undefined;

  /**
   * Does the same and leaves the message where it is, to be received again: also by another process. The
   * descriptors are copies.
   */
  peekWithDescriptors(
    fd: number,
    into: Uint8Array,
    maxDescriptors: number,
  ): ReceivedMessage | undefined;
}

export const {
  unixSocket,
  unixSocketPair,
  bindUnix,
  connectUnix,
  listen,
  accept,
  shutdownWrite,
  shutdownBoth,
  peerCredentials,
  describeSocket,
  hasHungUp,
  send,
  receive,
  peek,
  receiveWithDescriptors,
  peekWithDescriptors,
}: SocketCalls = addon;
