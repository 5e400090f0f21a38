/**
 * The terminal of a process, whose master goes to the caller.
 *
 * By the addon and not by node-pty: that one reads the master and reaps the process itself, so that
 * output and exit status would be lost to the monitor, and its processes get no other descriptors.
 */
import { fchownSync } from "node:fs";
import * as sys from "../sys/mod.ts";
import { Failure, messageOf } from "./failure.ts";

/** What has to be sent along with a descriptor: at least a byte. runc sends the terminal's name. */
const NAME = Buffer.from("terminal");

export interface Console {
  /** For the process's stdin, stdout and stderr. */
  readonly slave: number;
  /** Sends the master to the console socket. */
  send(): void;
}

/** What a terminal is to be like. */
export interface ConsoleOptions {
  readonly size: { readonly rows: number; readonly columns: number } | undefined;
  /** Whose it is to be; undefined: ours. */
  readonly owner: { readonly uid: number } | undefined;
}

/**
 * Makes a terminal.
 *
 * @param socket path of the listening stream socket that gets the master
 * @throws Failure that says what could not be done
 */
export function openConsole(socket: string, { size, owner }: ConsoleOptions): Console {
  try {
    // At once, so that a wrong path is found out before there is a process.
    const connection = sys.unixSocket("stream");
    sys.connectUnix(connection, socket);
    const [master, slave] = sys.openTerminal();
    if (size !== undefined) sys.setWindowSize(master, size.rows, size.columns);
    // So that it can open /dev/tty's real name, or /dev/stdout. The group stays that of terminals.
    if (owner !== undefined) fchownSync(slave, owner.uid, -1);
    return { slave, send: () => sendMaster(connection, master) };
  } catch (cause) {
    throw new Failure(`cannot set up the terminal: ${messageOf(cause)}`, { cause });
  }
}

function sendMaster(connection: number, master: number): void {
  try {
    sys.send(connection, NAME, 0, NAME.length, [master]);
  } catch (cause) {
    throw new Failure(`cannot send the terminal to the console socket: ${messageOf(cause)}`, {
      cause,
    });
  }
}
