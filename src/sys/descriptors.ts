import { addon } from "./addon.ts";

/**
 * Descriptors of any kind. All throw a {@link SystemError}, and a TypeError or RangeError for
 * arguments that make no sense. New descriptors are close-on-exec.
 */
export interface DescriptorCalls {
  /**
   * Reads at most `length` bytes (at least 1) to `offset` in `into`. Waits if the descriptor is in
   * blocking mode.
   *
   * @returns the bytes read; -1 when it would block; 0 at the end.
   * @throws EIO from a terminal's master when the last slave is closed.
   */
  read(fd: number, into: Uint8Array, offset: number, length: number): number;

  /**
   * Writes `length` bytes from `offset` in `from`, or as many as there is room for.
   *
   * @returns the bytes written; -1 when it would block.
   * @throws EPIPE when nobody can read it any more.
   */
  write(fd: number, from: Uint8Array, offset: number, length: number): number;

  /**
   * Writes parts of `memory`, one behind the other, by one call (writev), or as much as there is room for.
   *
   * @param parts offset and length of one part after the other, in bytes
   * @param count how many parts, 1 to 1024
   * @returns the bytes written; -1 when it would block.
   */
  writeGathered(fd: number, memory: Uint8Array, parts: Uint32Array, count: number): number;

  /** Makes a pipe in blocking mode: the end to read from, the end to write to. */
  pipe(): [number, number];

  /** Sets or clears O_NONBLOCK, which all copies of the descriptor share, in other processes too. */
  setNonBlocking(fd: number, on: boolean): void;

  /** Sets or clears FD_CLOEXEC of this one descriptor. */
  setCloseOnExec(fd: number, on: boolean): void;

  /** Makes a copy with a number from 3 up. */
  duplicate(fd: number): number;

  /**
   * Makes `target` a copy of `fd`; what it was before is closed. Targets 0 to 2 are for children
   * and stay open in them, all others are close-on-exec.
   *
   * @throws EINVAL when both are the same.
   */
  duplicateOnto(fd: number, target: number): void;

  /** Closes a descriptor. An open {@link Readiness} of it has to be closed first. */
  close(fd: number): void;

  /** The capacity of a pipe in bytes. */
  getPipeSize(fd: number): number;

  /**
   * Sets the capacity of a pipe.
   *
   * @returns the capacity in bytes that the kernel chose, at least what was asked for.
   * @throws EPERM above /proc/sys/fs/pipe-max-size; EBUSY when there is more in the pipe.
   */
  setPipeSize(fd: number, bytes: number): number;

  /**
   * Moves at most `length` bytes from one descriptor to another without a detour through our memory; one
   * of them is a pipe. A signal that kills us leaves them here or there, never lost.
   *
   * @returns the bytes moved; -1 when it would block, on either side; 0 at the end.
   * @throws EINVAL for descriptors that cannot do that.
   */
  splice(from: number, to: number, length: number): number;

  /**
   * Copies at most `length` bytes from one pipe to another, and leaves them in the first. It always
   * begins at what would be read next.
   *
   * @returns the bytes copied; -1 when it would block, on either side; 0 at the end.
   */
  tee(from: number, to: number, length: number): number;

  /** How many bytes can be read without waiting (FIONREAD); of a packet socket: in the next packet. */
  bytesReadable(fd: number): number;

  /**
   * Goes to the end of a file. Of one that is appended to that is its size; unlike fstat this does not make the kernel
   * note the exact time of the next write, which takes it some microseconds.
   *
   * @returns where that is, in bytes.
   * @throws ESPIPE for what is no file.
   */
  seekEnd(fd: number): number;

  /**
   * Makes an event counter (eventfd), non-blocking. It is written and read 8 bytes at a time, an
   * unsigned integer in the machine's byte order: writing adds, reading takes all.
   */
  eventFd(initial: number): number;

  /** Makes a file that exists only in memory; the name is for people who look into /proc. */
  memoryFile(name: string): number;

  /**
   * Seals a memory file for good: nobody who has it can change its content or size any more.
   *
   * @throws EPERM when it is sealed already; EINVAL for what is no memory file.
   */
  sealMemoryFile(fd: number): void;

  /** Makes a fifo; the process's umask is taken off the mode. */
  makeFifo(path: string, mode: number): void;

  /**
   * Locks an open file, if nobody else has (flock). The lock is that of all copies of the descriptor, in
   * other processes too, and ends with the last of them.
   *
   * @returns whether the lock is ours; false when somebody else has it.
   */
  lockFile(fd: number): boolean;
}

export const {
  read,
  write,
  writeGathered,
  pipe,
  setNonBlocking,
  setCloseOnExec,
  duplicate,
  duplicateOnto,
  close,
  getPipeSize,
  setPipeSize,
  splice,
  tee,
  bytesReadable,
  seekEnd,
  eventFd,
  memoryFile,
  sealMemoryFile,
  makeFifo,
  lockFile,
}: DescriptorCalls = addon;
