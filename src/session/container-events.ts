/** What a session does about memory running out and about sd-notify messages. */
import { writeSync } from "node:fs";
import { NotifyProxy, type OomRecord, OomWatch, writeOomFiles } from "../events/mod.ts";
import { readMemoryFile } from "../files/memory-file.ts";
import type { ShimConnection } from "../shim/connection.ts";
import * as sys from "../sys/mod.ts";
import type { CheckedOptions } from "./checks.ts";
import { DEPOSIT, takeDeposit } from "./deposit.ts";
import type { OwnMessages } from "./own-messages.ts";

/** Owns the OOM watch and the sd-notify proxy of one container or exec session. */
export class ContainerEvents {
  readonly #options: CheckedOptions;
  readonly #connection: ShimConnection;
  readonly #messages: OwnMessages;
  #oom: OomWatch | undefined;
  #oomDeposited = false;
  #notify: NotifyProxy | undefined;

  constructor(options: CheckedOptions, connection: ShimConnection, messages: OwnMessages) {
    this.#options = options;
    this.#connection = connection;
    this.#messages = messages;
  }

  /**
   * Makes the sd-notify socket, or goes on with what the conmond before has deposited.
   *
   * @throws Error that names the socket and the reason
   */
  open(inherited: Map<number, number>): void {
    this.#resumeOom(takeDeposit(inherited, DEPOSIT.oom));
    this.#openNotify(takeDeposit(inherited, DEPOSIT.notify));
  }

  /** The process is known, and in its cgroup. To be called before the container can be started. */
  watchOom(pid: number): void {
    if (this.#oom !== undefined) return;
    this.#oom = this.#startOom(pid);
    const { record } = this.#oom;
    if (record === undefined) return;
    const fd = sys.memoryFile("conmon-oom");
    try {
      writeSync(fd, JSON.stringify(record));
      this.#connection.keep(DEPOSIT.oom, fd);
      this.#oomDeposited = true;
    } finally {
      sys.close(fd);
    }
  }

  /** The process has ended: the last look, which has to be before the exit files. */
  finishOom(): void {
    this.#oom?.check();
    this.#oom?.close();
    // Once the exit has been reported nobody must come back to this.
    if (this.#oomDeposited) this.#connection.drop(DEPOSIT.oom);
    this.#oomDeposited = false;
  }

  /** The container has ended: what it has sent is passed on, the socket removed. */
  finishNotify(): void {
    this.#notify?.finish();
  }

  /** Closes all descriptors; another conmond may go on. */
  close(): void {
    this.#oom?.close();
    this.#notify?.close();
  }

  #resumeOom(fd: number | undefined): void {
    if (fd === undefined) return;
    this.#oomDeposited = true;
    try {
      this.#oom = this.#startOom(readRecord(fd));
    } catch (error) {
      this.#messages.debug(`Cannot go on watching for OOM: ${(error as Error).message}`);
    } finally {
      sys.close(fd);
    }
  }

  #startOom(of: number | OomRecord): OomWatch {
    const { persistDir, launch } = this.#options;
    return OomWatch.start({
      of,
      onOom: () => {
        this.#messages.info("Out of memory: the kernel killed a process of the container");
        for (const error of writeOomFiles([persistDir, launch.bundle])) {
          this.#messages.error(error.message);
        }
      },
      onProblem: (error) => this.#messages.debug(error.message),
    });
  }

  #openNotify(inherited: number | undefined): void {
    const { sdnotifySocket: host, launch } = this.#options;
    // Without a bundle there is no place for the socket.
    if (host === undefined || launch.bundle === undefined) {
      if (inherited !== undefined) sys.close(inherited);
      return;
    }
    const options = {
      bundle: launch.bundle,
      host,
      onFault: (error: Error) => this.#messages.warn(error.message),
    };
    if (inherited !== undefined) {
      this.#notify = NotifyProxy.adopt(inherited, options);
      return;
    }
    this.#notify = NotifyProxy.open(options);
    this.#connection.keep(DEPOSIT.notify, this.#notify.fd);
  }
}

/** More than a path and some numbers, in bytes. */
const RECORD_MAX = 64 * 1024;

/** @throws Error when it is no record: the conmond before may have been of another version */
function readRecord(fd: number): OomRecord {
  const text = readMemoryFile(fd, "a record", RECORD_MAX).toString("utf8");
  const { version, directory, baseline } = JSON.parse(text) as Record<string, unknown>;
  const known = version === 1 || version === 2;
  if (!known || typeof directory !== "string" || typeof baseline !== "number") {
    throw new Error(`the deposit is of an unknown kind: ${text}`);
  }
  return { version, directory, baseline };
}
