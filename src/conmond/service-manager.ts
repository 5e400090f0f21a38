/** What systemd and conmond have to say to each other: sd_listen_fds(3), sd_notify(3), sd_watchdog_enabled(3). */
import * as sys from "../sys/mod.ts";

/** The first descriptor that a service is given. */
const FIRST_FD = 3;

/**
 * The listening socket that systemd has made for us.
 *
 * @returns undefined when it has not made any
 * @throws Error that says what is wrong with what it has made
 */
export function activatedSocket(
  environment: NodeJS.ProcessEnv,
): { readonly fd: number; readonly path: string } | undefined {
  const { LISTEN_PID: pid, LISTEN_FDS: count } = environment;
  if (count === undefined || Number(pid) !== process.pid) return undefined;
  if (count !== "1") {
    throw new Error(`LISTEN_FDS is ${count}: conmond listens on one socket, make it one`);
  }
  let socket: sys.SocketDescription;
  try {
    sys.setCloseOnExec(FIRST_FD, true);
    socket = sys.describeSocket(FIRST_FD);
  } catch (cause) {
    throw new Error(`Descriptor 3 (LISTEN_FDS) is no socket: ${(cause as Error).message}`, {
      cause,
    });
  }
  if (socket.type !== "seqpacket" || !socket.listening || socket.path === "") {
    const what = `a ${socket.listening ? "listening" : "connected"} ${socket.type} socket`;
    throw new Error(
      `Descriptor 3 (LISTEN_FDS) is ${what} at "${socket.path}": conmond needs ListenSequentialPacket=PATH`,
    );
  }
  return { fd: FIRST_FD, path: socket.path };
}

/** Sends the messages that a service of `Type=notify` sends; to nobody when systemd has not started us. */
export class ServiceManager {
  readonly #socketPath: string | undefined;
  readonly #watchdog: NodeJS.Timeout | undefined;

  constructor(environment: NodeJS.ProcessEnv = process.env) {
    this.#socketPath = environment.NOTIFY_SOCKET || undefined;
    const { WATCHDOG_USEC: patience, WATCHDOG_PID: pid } = environment;
    const isWatched = patience !== undefined && (pid === undefined || Number(pid) === process.pid);
    // Twice as often as it has to be; the timer is what shows that the event loop turns.
    const interval = Number(patience) / 1000 / 2;
    if (isWatched && interval > 0) {
      this.#watchdog = setInterval(() => this.#send("WATCHDOG=1"), interval);
      this.#watchdog.unref();
    }
  }

  ready(status: string): void {
    this.#send(`READY=1\nSTATUS=${status}`);
  }

  stopping(status: string): void {
    this.#send(`STOPPING=1\nSTATUS=${status}`);
  }

  /** As for sd_notify(3) it is no error when nobody takes it: systemd has time limits of its own. */
  #send(message: string): void {
    if (this.#socketPath === undefined) return;
    const fd = sys.unixSocket("dgram");
    try {
      sys.connectUnix(fd, this.#socketPath);
      sys.send(fd, Buffer.from(message));
    } catch {
      // Whoever has started us does not listen any more.
    } finally {
      sys.close(fd);
    }
  }
}
