/** What of a container's sd-notify messages (sd_notify(3)) concerns the host. */

/** Lines that are passed on if they are just this. */
const WHOLE = ["READY=1", "RELOADING=1", "STOPPING=1", "WATCHDOG=1", "WATCHDOG=trigger"];

/** Lines that are passed on if they begin with this, whatever follows. */
const BEGINNINGS = ["STATUS=", "ERRNO=", "BUSERROR=", "MONOTONIC_USEC="];

/**
 * Picks the lines that a container may say to the host, in their order: how it is, but not which
 * process is the main one, which descriptors to keep or how long to wait. Bytes are kept as they are.
 *
 * @param datagram lines separated by newlines; what follows a NUL does not count, as for systemd
 * @returns lines separated by newlines, without one at the end; undefined if there are none
 */
export function linesForHost(datagram: Uint8Array): Buffer | undefined {
  // One character for each byte.
  const [text = ""] = Buffer.from(datagram).toString("latin1").split("\0", 1);
  const lines = text.split("\n").filter(isForHost);
  return lines.length === 0 ? undefined : Buffer.from(lines.join("\n"), "latin1");
}

function isForHost(line: string): boolean {
  return WHOLE.includes(line) || BEGINNINGS.some((beginning) => line.startsWith(beginning));
}
