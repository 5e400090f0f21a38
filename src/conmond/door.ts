/** Where shims come in: the listening socket, its name and its lock. */
import { lstatSync, renameSync, rmSync } from "node:fs";
import { basename, dirname, join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import * as sys from "../sys/mod.ts";
import { prepareSocketDirectory } from "./socket-directory.ts";
import { lockHolder, lockPath, lockSocket, signLock } from "./socket-lock.ts";

/**
 * Shims that may wait to be accepted; those beyond find a private conmond. When one conmond takes the place of another
 * all of its sessions come at once: so it is as many as the kernel allows by default (`net.core.somaxconn`).
 */
const BACKLOG = 4096;

/** How long one that is leaving may keep the lock, in milliseconds. */
const LOCK_PATIENCE_MS = 3000;

/** How long one that is being ended may keep its socket, in milliseconds. */
const ENDING_MS = 1000;
const INTERVAL_MS = 100;

/** Whose the socket is. */
export type DoorOwner =
  /** Made here, or handed over by the conmond before: the last one removes it. */
  | "conmond"
  /** systemd's, which goes on listening when we have ended. */
  | "service-manager";

/** Owns the descriptors of the socket and the lock. */
export class Door {
  readonly path: string;
  readonly owner: DoorOwner;
  readonly listener: number;
  readonly lock: number | undefined;
  /** Of the socket's name; undefined when it was not there. */
  readonly #inode: number | undefined;
  #closed = false;

  private constructor(path: string, owner: DoorOwner, listener: number, lock: number | undefined) {
    this.path = path;
    this.owner = owner;
    this.listener = listener;
    this.lock = lock;
    this.#inode = inodeOf(path);
  }

  /**
   * Listens at a path where nobody else does.
   *
   * @throws Error `Cannot listen on PATH: REASON`
   */
  static async open(path: string): Promise<Door> {
    try {
      prepareSocketDirectory(path);
      const lock = await claim(path);
      try {
        // Whoever has the lock may remove what a conmond that died has left.
        if (await staysServed(path)) {
          throw new Error("a process that does not hold its lock listens there");
        }
        rmSync(path, { force: true });
        const listener = bindAndListen(path);
        signLock(lock);
        return new Door(path, "conmond", listener, lock);
      } catch (error) {
        sys.close(lock);
        throw error;
      }
    } catch (cause) {
      throw new Error(`Cannot listen on ${path}: ${(cause as Error).message}`, { cause });
    }
  }

  /**
   * Goes on with the socket of another conmond, which has handed it over together with its lock. Who connects
   * from now on sees us as its peer.
   */
  static adopt(path: string, listener: number, lock: number): Door {
    sys.listen(listener, BACKLOG);
    signLock(lock);
    return new Door(path, "conmond", listener, lock);
  }

  /**
   * Takes a place by force: puts a socket of its own over the one that is there. Nobody is accepted before
   * the lock has been given up by the one who was there before; shims that connect meanwhile wait.
   *
   * @param vacate makes the other one give up its lock
   * @throws Error `Cannot listen on PATH: REASON`
   */
  static async usurp(path: string, vacate: () => Promise<void>): Promise<Door> {
    const temporary = join(dirname(path), `.${process.pid}`);
    let listener: number | undefined;
    try {
      prepareSocketDirectory(path);
      rmSync(temporary, { force: true });
      listener = bindAndListen(temporary);
      renameSync(temporary, path);
      await vacate();
      const lock = await lockSocket(path, LOCK_PATIENCE_MS);
      if (lock === undefined) throw new Error(`${lockHolder(path)} keeps ${lockPath(path)} locked`);
      if (inodeOf(path) === undefined)
        throw new Error("the one before took the name away: try again");
      signLock(lock);
      return new Door(path, "conmond", listener, lock);
    } catch (cause) {
      if (listener !== undefined) sys.close(listener);
      rmSync(temporary, { force: true });
      throw new Error(`Cannot listen on ${path}: ${(cause as Error).message}`, { cause });
    }
  }

  /** Accepts on a socket that systemd has made. */
  static ofServiceManager(listener: number, path: string): Door {
    // Shims look at who called this last to find out whose the server is.
    sys.listen(listener, BACKLOG);
    return new Door(path, "service-manager", listener, undefined);
  }

  /** Whether the name still leads to this socket. */
  get hasName(): boolean {
    return this.#inode !== undefined && inodeOf(this.path) === this.#inode;
  }

  /**
   * Takes the name away while `look` looks whether somebody has come just before that, who gets it back.
   *
   * @returns what `look` has said; when false, the name is gone for good
   */
  hideWhile(look: () => boolean): boolean {
    if (this.owner === "service-manager") return look();
    if (!this.hasName) return look();
    const hidden = join(dirname(this.path), `.${basename(this.path)}.idle`);
    renameSync(this.path, hidden);
    if (look()) {
      renameSync(hidden, this.path);
      return true;
    }
    rmSync(hidden, { force: true });
    return false;
  }

  /** Removes the name, if it is ours: nobody comes here any more. */
  removeName(): void {
    if (this.owner === "conmond" && this.hasName) rmSync(this.path, { force: true });
  }

  /** Gives up the lock; the listening socket is its user's to close. */
  releaseLock(): void {
    if (this.#closed) return;
    this.#closed = true;
    if (this.lock !== undefined) sys.close(this.lock);
  }
}

/** Whether somebody listens at a path. To find out is to connect, and to leave without a word. */
export function isServed(path: string): boolean {
  const probe = sys.unixSocket("seqpacket");
  try {
    sys.connectUnix(probe, path);
    return true;
  } catch (error) {
    // One whose backlog is full listens all the same.
    if (sys.isSystemError(error, "EAGAIN")) return true;
    if (sys.isSystemError(error, "ENOENT") || sys.isSystemError(error, "ECONNREFUSED")) {
      return false;
    }
    throw error;
  } finally {
    sys.close(probe);
  }
}

/** A process that is ending may give up its lock a moment before its socket. */
async function staysServed(path: string): Promise<boolean> {
  for (let waited = 0; isServed(path); waited += INTERVAL_MS) {
    if (waited >= ENDING_MS) return true;
    await delay(INTERVAL_MS);
  }
  return false;
}

/** Another conmond has the place, or is about to have it. */
export class PlaceTakenError extends Error {
  override name = "PlaceTakenError";
}

/** Someone who is leaving keeps the lock for a moment; someone who listens keeps it for good. */
async function claim(path: string): Promise<number> {
  const lock = await lockSocket(path, LOCK_PATIENCE_MS, () => isServed(path));
  if (lock !== undefined) return lock;
  throw new PlaceTakenError(
    isServed(path)
      ? `another conmond listens there (${lockHolder(path)}); conmond --replace takes its place`
      : `${lockHolder(path)} has locked ${lockPath(path)} and does not listen: end it and try again`,
  );
}

function bindAndListen(path: string): number {
  const fd = sys.unixSocket("seqpacket");
  try {
    // Nobody but this user may connect; the credentials are checked all the same.
    const before = process.umask(0o077);
    try {
      sys.bindUnix(fd, path);
    } finally {
      process.umask(before);
    }
    sys.listen(fd, BACKLOG);
    return fd;
  } catch (error) {
    sys.close(fd);
    throw error;
  }
}

/** Undefined where there is nothing. */
export function inodeOf(path: string): number | undefined {
  return lstatSync(path, { throwIfNoEntry: false })?.ino;
}
