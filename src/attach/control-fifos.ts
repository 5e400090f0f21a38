import * as fs from "node:fs";
import { join } from "node:path";
import { failure } from "../faults/failure.ts";
import { FaultLimit } from "../faults/fault-limit.ts";
import { removeName } from "../sockets/socket-path.ts";
import * as sys from "../sys/mod.ts";
import { removeOld } from "./attach-socket.ts";
import {
  type ControlRequest,
  LineAssembler,
  MAX_CONTROL_LINE,
  parseControlLine,
  parseWindowSizeLine,
} from "./control-line.ts";

const FIFO_MODE = 0o660;

/** What {@link ControlFifos} are for, and whom they tell about what. */
export interface ControlFifosOptions {
  /** The bundle, in which the fifos `ctl` and `winsz` are. */
  bundle: string;
  /** Called when a fifo is about to be made, by `open()`: what it throws prevents that. */
  onNaming?(): void;
  /** The terminal is to have this size, in characters (0 to 1000). */
  onResize(rows: number, columns: number): void;
  /** The logs are to be opened anew. */
  onReopen(): void;
  /** Something is worth a warning: a line that makes no sense, a fifo that fails. */
  onFault(error: Error): void;
}

/** The fifos' descriptors, each open for reading and writing. */
export interface ControlDescriptors {
  ctl: number;
  winsz: number;
}

/**
 * The fifos through which callers resize the terminal and have the logs reopened. See
 * control-line.ts for what is written into them.
 */
export class ControlFifos {
  readonly #options: ControlFifosOptions;
  readonly #faults: FaultLimit;
  readonly #ctl: LineReader;
  readonly #winsz: LineReader;

  private constructor({ ctl, winsz }: ControlDescriptors, options: ControlFifosOptions) {
    this.#options = options;
    this.#faults = new FaultLimit((error) => options.onFault(error));
    this.#ctl = this.#read("ctl", ctl, parseControlLine);
    try {
      this.#winsz = this.#read("winsz", winsz, parseWindowSizeLine);
    } catch (error) {
      this.#ctl.stop();
      throw error;
    }
  }

  /**
   * Makes both fifos, in place of old ones. Their mode is 0660 less the umask.
   *
   * @throws Error that names the fifo and the reason. Then neither of them is left behind, if `onNaming` allows to
   *   remove them.
   */
  static open(options: ControlFifosOptions): ControlFifos {
    const opened = new Map<string, number>();
    try {
      const [ctl, winsz] = ["ctl", "winsz"].map((name) => {
        const path = join(options.bundle, name);
        options.onNaming?.();
        const fd = openFifo(path);
        opened.set(path, fd);
        return fd;
      }) as [number, number];
      return new ControlFifos({ ctl, winsz }, options);
    } catch (error) {
      // Nothing that was made here is left behind. Where no name may be given, none may be taken away either.
      const names = mayName(options) ? [...opened.keys()] : [];
      for (const fd of opened.values()) sys.close(fd);
      for (const path of names) fs.rmSync(path, { force: true });
      throw error;
    }
  }

  /**
   * Goes on with fifos that another process opened. Half a line that it had read is lost.
   *
   * @throws a system error when a descriptor cannot be polled; they then remain the caller's.
   */
  static adopt(descriptors: ControlDescriptors, options: ControlFifosOptions): ControlFifos {
    return new ControlFifos(descriptors, options);
  }

  /** The fifos' descriptors; they stay this object's own. */
  get descriptors(): ControlDescriptors {
    return { ctl: this.#ctl.fd, winsz: this.#winsz.fd };
  }

  /** Stops reading and closes the descriptors; the fifos stay. Again does nothing. */
  close(): void {
    this.#ctl.close();
    this.#winsz.close();
    this.#faults.close();
  }

  /** Removes the fifos from the bundle. Those that are not there are no fault. */
  remove(): void {
    for (const name of ["ctl", "winsz"]) {
      try {
        removeName(join(this.#options.bundle, name));
      } catch (error) {
        this.#options.onFault(error as Error);
      }
    }
  }

  #read(name: string, fd: number, parse: (line: Uint8Array) => ControlRequest): LineReader {
    const fault = (text: string) => this.#faults.add(`fifo ${name}`, new Error(text));
    return new LineReader(fd, {
      onLine: (line) => this.#act(parse(line), (why) => fault(`Ignored a line in ${name}: ${why}`)),
      onTooLong: () => fault(`Ignored a line in ${name} of more than ${MAX_CONTROL_LINE} bytes`),
      onError: (error) =>
        fault(`Failed to read the fifo ${name}, which is now idle: ${error.message}`),
    });
  }

  #act(request: ControlRequest, onInvalid: (reason: string) => void): void {
    if (request.kind === "resize") this.#options.onResize(request.rows, request.columns);
    else if (request.kind === "reopen") this.#options.onReopen();
    else onInvalid(request.reason);
  }
}

interface LineEvents {
  onLine(line: Uint8Array): void;
  onTooLong(): void;
  onError(error: Error): void;
}

/** One read at a time is under way, in all of the process. */
const piece = new Uint8Array(4096);

/** Reads lines from one fifo, whose descriptor it owns. */
class LineReader {
  readonly fd: number;
  readonly #events: LineEvents;
  readonly #readiness: sys.Readiness;
  readonly #lines = new LineAssembler();
  #closed = false;

  constructor(fd: number, events: LineEvents) {
    this.fd = fd;
    this.#events = events;
    this.#readiness = new sys.Readiness(fd, () => this.#readSome());
    this.#readiness.watch(sys.READABLE);
  }

  /** Stops reading; the descriptor stays open. */
  stop(): void {
    this.#closed = true;
    this.#readiness.close();
  }

  close(): void {
    if (this.#closed) return;
    this.stop();
    sys.close(this.fd);
  }

  #readSome(): void {
    const length = this.#read();
    if (length <= 0) return;
    this.#lines.push(
      piece.subarray(0, length),
      (line) => {
        if (!this.#closed) this.#events.onLine(line);
      },
      () => this.#events.onTooLong(),
    );
  }

  /** The bytes that have been read; 0 or less: none. */
  #read(): number {
    try {
      return sys.read(this.fd, piece, 0, piece.length);
    } catch (error) {
      this.#readiness.watch(0);
      this.#events.onError(error as Error);
      return 0;
    }
  }
}

/**
 * Makes a fifo and opens it for both reading and writing: a fifo that we ourselves could write to
 * never comes to its end, however writers come and go.
 */
function openFifo(path: string): number {
  const { O_RDWR, O_NONBLOCK, O_NOFOLLOW } = fs.constants;
  try {
    makeFifo(path);
    try {
      return fs.openSync(path, O_RDWR | O_NONBLOCK | O_NOFOLLOW);
    } catch (error) {
      fs.rmSync(path, { force: true });
      throw error;
    }
  } catch (cause) {
    throw failure(`Failed to make the fifo ${path}`, cause);
  }
}

function mayName(options: ControlFifosOptions): boolean {
  try {
    options.onNaming?.();
    return true;
  } catch {
    return false; // The reason is that of the failure, which has been thrown already.
  }
}

/** An old one is as good as none, but is hardly ever there. */
function makeFifo(path: string): void {
  try {
    sys.makeFifo(path, FIFO_MODE);
  } catch (error) {
    if (!sys.isSystemError(error, "EEXIST")) throw error;
    removeOld(path);
    sys.makeFifo(path, FIFO_MODE);
  }
}
