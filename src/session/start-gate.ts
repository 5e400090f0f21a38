/** The caller's second word on `_OCI_STARTPIPE`. */
import * as sys from "../sys/mod.ts";

/**
 * Waits until the caller has written to the start pipe or closed it, and owns our end of it. Nothing
 * is read: so the word is still there for another conmond, should this one die before it has acted.
 */
export class StartGate {
  #fd: number | undefined;
  #readiness: sys.Readiness | undefined;
  #immediate: NodeJS.Immediate | undefined;

  /** Calls back once, never before this returns. Without a pipe there is nothing to wait for. */
  constructor(fd: number | undefined, onOpen: () => void) {
    this.#fd = fd;
    const open = (): void => {
      this.close();
      onOpen();
    };
    try {
      if (fd !== undefined) {
        this.#readiness = new sys.Readiness(fd, open);
        this.#readiness.watch(sys.READABLE);
        return;
      }
    } catch (error) {
      // A regular file or /dev/null cannot be waited for: reading it would not block.
      if (!sys.isSystemError(error, "EPERM")) throw error;
    }
    this.#immediate = setImmediate(open);
  }

  /** Stops waiting. Again does nothing. */
  close(): void {
    clearImmediate(this.#immediate);
    this.#immediate = undefined;
    this.#readiness?.close();
    this.#readiness = undefined;
    if (this.#fd !== undefined) sys.close(this.#fd);
    this.#fd = undefined;
  }
}
