/** The local syslog socket, for messages whose reader may be gone. */
import * as sys from "../sys/mod.ts";

const SOCKET_PATH = "/dev/log";
/** Facility "daemon" (3), see RFC 3164. */
const FACILITY = 3 << 3;
const SEVERITIES = { error: 3, warn: 4, info: 6, debug: 7, trace: 7 } as const;
const MONTHS = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ");

/**
 * Sends datagrams as syslog(3) does, and like it says nothing when no daemon takes them: there
 * is no one left to tell. Connects when first used, and again when syslog was restarted.
 */
export class Syslog {
  #fd: number | undefined;

  send(severity: keyof typeof SEVERITIES, text: string): void {
    const packet = formatSyslog(FACILITY | SEVERITIES[severity], new Date(), text);
    // One more try: the daemon may have been restarted since the last message.
    for (let attempt = 0; attempt < 2; attempt++) {
      try {
        this.#fd ??= connect();
        sys.send(this.#fd, packet);
        return;
      } catch {
        this.close();
      }
    }
  }

  close(): void {
    if (this.#fd !== undefined) sys.close(this.#fd);
    this.#fd = undefined;
  }
}

function connect(): number {
  const fd = sys.unixSocket("dgram");
  try {
    sys.connectUnix(fd, SOCKET_PATH);
    return fd;
  } catch (error) {
    sys.close(fd);
    throw error;
  }
}

/** `<PRI>Mmm dd hh:mm:ss conmon: TEXT`, RFC 3164 as local daemons expect it (no host name). */
function formatSyslog(priority: number, at: Date, text: string): Buffer {
  const two = (number: number): string => String(number).padStart(2, "0");
  const day = String(at.getDate()).padStart(2, " ");
  const time = `${two(at.getHours())}:${two(at.getMinutes())}:${two(at.getSeconds())}`;
  return Buffer.from(`<${priority}>${MONTHS[at.getMonth()]} ${day} ${time} conmon: ${text}`);
}
