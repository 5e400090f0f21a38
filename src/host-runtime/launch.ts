/**
 * Starting a process: native/host-init is started in its place, sets it up and waits for our word.
 *
 * All of this is synchronous, and the event loop must not turn afterwards: libuv would reap the process if
 * it has ended by then, and its exit status would be lost to the monitor, who is to adopt it.
 */
import { type ChildProcess, spawn } from "node:child_process";
import { existsSync, fstatSync, readSync } from "node:fs";
import { endianness } from "node:os";
import { fileURLToPath } from "node:url";
import type { ProcessId } from "../processes/stat.ts";
import * as sys from "../sys/mod.ts";
import { Failure } from "./failure.ts";
import { type Answer, decodeAnswer, describeFailure, encodeOrder, type Order } from "./order.ts";
import { statOf } from "./processes.ts";

const PACKET_MAX = 8192;
const WORD = Uint8Array.of(1);
const PLACES = ["./host-init", "../../dist/host-init"];

/** The descriptors that a process gets. */
export interface Descriptors {
  /** Stdin, stdout, stderr. */
  readonly stdio: readonly [number, number, number];
  /** How many of ours from 3 up it gets as well. */
  readonly preserved: number;
  /** A listening socket, on which a gated process waits for its start. */
  readonly gate: number | undefined;
}

/** A process on its way from host-init to its program. */
export class Launch {
  readonly #child: ChildProcess;
  readonly #connection: number;

  private constructor(child: ChildProcess, connection: number) {
    this.#child = child;
    this.#connection = connection;
  }

  /**
   * Starts host-init.
   *
   * @param ownSession false: it stays in our session, with our terminal
   * @throws Failure when that cannot be done; there is no process then
   */
  static begin(order: Order, descriptors: Descriptors, ownSession: boolean): Launch {
    const [ours, theirs] = sys.unixSocketPair("seqpacket");
    const file = sys.memoryFile("host-init order");
    try {
      for (const fd of [ours, theirs]) sys.setNonBlocking(fd, false);
      writeAll(file, encodeOrder(order, endianness() === "LE"));
      const gate = descriptors.gate === undefined ? [] : [descriptors.gate];
      return new Launch(start(descriptors, [file, theirs, ...gate], ownSession), ours);
    } finally {
      sys.close(file);
      // With our copy open, its death would not be the end of what comes from it.
      sys.close(theirs);
    }
  }

  /**
   * Waits until the process is set up; it goes no further without {@link release}.
   *
   * @throws Failure that says what could not be set up
   */
  setUp(): ProcessId {
    const answer = receive(this.#connection);
    if (answer !== undefined && answer.step !== "ready") throw cannotStart(answer);
    const stat = statOf(this.#child.pid ?? 0);
    if (answer === undefined || stat === undefined) throw new Failure("host-init was killed");
    return { pid: stat.pid, startTime: stat.startTime };
  }

  /**
   * Lets it go on: to the gate, or to execute its program.
   *
   * @throws Failure when the program cannot be executed
   */
  release(): void {
    giveTheWord(this.#connection);
  }

  /** Ends a process that has not been released, or has failed, and reaps it. */
  async abandon(): Promise<void> {
    const ended = this.ended();
    sys.close(this.#connection);
    await ended;
  }

  /** Resolves when it has ended, which we then have reaped; nobody else will get its status. */
  ended(): Promise<{ status: number | null; signal: NodeJS.Signals | null }> {
    return new Promise((resolve) => {
      this.#child.on("exit", (status, signal) => resolve({ status, signal }));
    });
  }

  /** Sends a signal while it has not been reaped. */
  signal(signal: NodeJS.Signals): void {
    this.#child.kill(signal);
  }
}

function writeAll(fd: number, bytes: Uint8Array): void {
  for (let at = 0; at < bytes.length; ) at += sys.write(fd, bytes, at, bytes.length - at);
}

function start(
  { stdio, preserved }: Descriptors,
  own: readonly number[],
  ownSession: boolean,
): ChildProcess {
  const inherited = Array.from({ length: preserved }, (_, i) => 3 + i);
  inherited.forEach(checkPreserved);
  const child = spawn(hostInit(), [String(3 + preserved)], {
    detached: ownSession,
    env: {},
    stdio: [...stdio, ...inherited, ...own],
  });
  // Told later, as an event, for which nobody will be there.
  child.on("error", () => {});
  if (child.pid === undefined) throw new Failure(`${hostInit()} cannot be started`);
  return child;
}

function checkPreserved(fd: number): void {
  try {
    fstatSync(fd);
  } catch (cause) {
    throw new Failure(`descriptor ${fd} is to be preserved, but is not open`, { cause });
  }
}

function hostInit(): string {
  const paths = PLACES.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new Failure(
      `host-init is missing: run \`npm run build\` (looked for ${paths.join(", ")})`,
    );
  }
  return path;
}

/**
 * Says the word to a host-init that is ready, and waits until it has gone on.
 *
 * @throws Failure when the program cannot be executed
 */
export function giveTheWord(connection: number): void {
  try {
    sys.send(connection, WORD);
  } catch (cause) {
    if (!sys.isSystemError(cause, "EPIPE")) throw cause;
    throw new Failure("the process was killed before it began", { cause });
  }
  const answer = receive(connection);
  if (answer !== undefined) throw cannotStart(answer);
}

/** The next answer of a host-init; undefined: it has become the program, or has ended. */
export function receive(connection: number): Answer | undefined {
  const packet = new Uint8Array(PACKET_MAX);
  try {
    const length = readSync(connection, packet);
    return length === 0 ? undefined : decodeAnswer(packet.subarray(0, length));
  } catch (error) {
    if (sys.isSystemError(error, "ECONNRESET")) return undefined;
    throw error;
  }
}

function cannotStart(answer: Answer): Failure {
  return new Failure(`unable to start container process: ${describeFailure(answer)}`);
}
