/** Is there a conmond at a socket, and does it answer? */
import * as sys from "../sys/mod.ts";

/** How long an answer may take, in milliseconds. A conmond that has much to do takes some. */
export const ANSWER_MS = 3000;

/** Who is at a socket. */
export type Presence =
  /** Nobody listens. */
  | { readonly kind: "nobody" }
  /** Somebody listens, and does not answer. */
  | { readonly kind: "silent"; readonly pid: number; readonly uid: number }
  | {
      readonly kind: "answers";
      readonly pid: number;
      readonly uid: number;
      readonly milliseconds: number;
    };

/**
 * Connects and leaves without a word. A conmond closes its end then, which shows that it is not stuck; the
 * protocol of the shims, which may change, is not needed for that.
 *
 * @throws a system error when the socket is not to be connected to, such as EACCES
 */
export async function askConmond(path: string, milliseconds = ANSWER_MS): Promise<Presence> {
  const fd = sys.unixSocket("seqpacket");
  try {
    try {
      sys.connectUnix(fd, path);
    } catch (error) {
      if (sys.isSystemError(error, "ENOENT") || sys.isSystemError(error, "ECONNREFUSED")) {
        return { kind: "nobody" };
      }
      // So many wait to be accepted that there is no place for us: it listens, and does nothing.
      if (sys.isSystemError(error, "EAGAIN")) return { kind: "silent", pid: 0, uid: -1 };
      throw error;
    }
    const { pid, uid } = sys.peerCredentials(fd);
    const began = performance.now();
    sys.shutdownWrite(fd);
    if (!(await closesWithin(fd, milliseconds))) return { kind: "silent", pid, uid };
    return { kind: "answers", pid, uid, milliseconds: performance.now() - began };
  } finally {
    sys.close(fd);
  }
}

/** Whether the other end closes a connection in time; what it says before is of no interest. */
function closesWithin(fd: number, milliseconds: number): Promise<boolean> {
  const buffer = Buffer.alloc(64 * 1024);
  return new Promise((resolve) => {
    const finish = (closed: boolean): void => {
      clearTimeout(timer);
      readiness.close();
      resolve(closed);
    };
    const timer = setTimeout(() => finish(false), milliseconds);
    const readiness = new sys.Readiness(fd, () => {
      try {
        for (;;) {
          const count = sys.receive(fd, buffer);
          if (count < 0) return;
          if (count === 0) return finish(true);
        }
      } catch {
        finish(true); // ECONNRESET: it has closed, with our farewell unread.
      }
    });
    readiness.watch(sys.READABLE);
  });
}
