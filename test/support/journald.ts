/** A real journald of a test's own, with a file system of its own where it listens and writes. */
import { type ChildProcess, execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { chmodSync, existsSync, rmSync, writeFileSync } from "node:fs";
import { promisify } from "node:util";
import { type JournalFields, parseEntries } from "./journal.ts";
import { type Monitor, monitorPath, needProgram, programPath } from "./programs.ts";
import type { Scratch } from "./scratch.ts";
import { appears, inTime } from "./waiting.ts";

const execute = promisify(execFile);

const DAEMON = "/lib/systemd/systemd-journald";

/**
 * For a test's `skip` option: the reason why there can be no journald here.
 *
 * @param others What `unlessRootWith` says, which comes first.
 */
export function unlessJournald(others: string | false): string | false {
  return others || (!existsSync(DAEMON) && `needs ${DAEMON}`);
}

/** Every entry is taken, and nothing but what is sent. */
const CONFIGURATION = `[Journal]
Storage=volatile
RateLimitIntervalSec=0
RuntimeMaxUse=512M
ReadKMsg=no
Audit=no
ForwardToSyslog=no
ForwardToConsole=no
ForwardToWall=no
`;

/** The holder of the mount namespace: it ends with its stdin, which the test holds open. */
const HOLDER = `
mount -t tmpfs tmpfs /run
mkdir -p /run/systemd/journal /run/systemd/journald.conf.d /run/log
mount --bind "$1" /run/systemd/journal
cp "$2" /run/systemd/journald.conf.d/test.conf
echo ready
exec cat
`;

/** A place for a journald. It is not running before {@link Journald.start}. */
export class Journald {
  /** A command that runs another one where this journald is to be found. */
  readonly enter: readonly string[];
  readonly #scratch: Scratch;
  /** What is /run/systemd/journal there. */
  readonly #directory: string;
  #daemon: ChildProcess | undefined;

  private constructor(scratch: Scratch, directory: string, holder: number) {
    this.#scratch = scratch;
    this.#directory = directory;
    this.enter = [needProgram("nsenter"), `--mount=/proc/${holder}/ns/mnt`, "--"];
  }

  static async prepare(scratch: Scratch): Promise<Journald> {
    const directory = scratch.folder("run-systemd-journal");
    const configuration = scratch.path("journald.conf");
    writeFileSync(configuration, CONFIGURATION);
    const holder = spawn(
      needProgram("unshare"),
      ["--mount", "sh", "-e", "-c", HOLDER, "sh", directory, configuration],
      { stdio: ["pipe", "pipe", "inherit"], env: environment(scratch) },
    );
    const ended = once(holder, "exit");
    const journald = new Journald(scratch, directory, holder.pid ?? 0);
    scratch.atEnd(async () => {
      await journald.stop("SIGKILL");
      holder.stdin.end();
      await inTime(ended, "the end of the mount namespace's holder");
      // journald leaves its sockets behind.
      rmSync(directory, { recursive: true });
    });
    await inTime(once(holder.stdout, "data"), "a mount namespace for journald");
    return journald;
  }

  /** Starts it; resolves when it listens. */
  async start(): Promise<void> {
    const sockets = ["socket", "stdout", "dev-log", "io.systemd.journal"];
    for (const name of sockets) rmSync(`${this.#directory}/${name}`, { force: true });
    const [program = "", ...args] = [...this.enter, DAEMON];
    this.#daemon = spawn(program, args, { stdio: "ignore", env: environment(this.#scratch) });
    // journalctl talks to the last one, which may come a good while after the first.
    for (const name of sockets) {
      if (name !== "dev-log") await appears(`${this.#directory}/${name}`);
    }
  }

  /** Sends a signal and waits for the end. */
  async stop(signal: NodeJS.Signals = "SIGTERM"): Promise<void> {
    const daemon = this.#daemon;
    this.#daemon = undefined;
    if (daemon === undefined) return;
    const ended = once(daemon, "exit");
    daemon.kill(signal);
    await inTime(ended, `journald's end on ${signal}`);
  }

  /** Sends a signal that does not end it. */
  signal(signal: "SIGSTOP" | "SIGCONT"): void {
    this.#daemon?.kill(signal);
  }

  /** A program that is a monitor where this journald is to be found. */
  monitor(monitor: Monitor = "ours"): string {
    const path = this.#scratch.path(`${this.#scratch.uniqueName()}.sh`);
    const command = [...this.enter, monitorPath(monitor)].join(" ");
    writeFileSync(path, `#!/bin/sh\nexec ${command} "$@"\n`);
    chmodSync(path, 0o755);
    return path;
  }

  /** Resolves when it has taken what has been sent to it: from then on everybody can read that. */
  async sync(): Promise<void> {
    await this.#journalctl("--sync");
  }

  /** All entries with this field, `NAME=value`, once it has taken what has been sent to it. */
  async entries(match: string): Promise<JournalFields[]> {
    await this.sync();
    return parseEntries(await this.#journalctl("--output=export", "--all", match));
  }

  async #journalctl(...args: string[]): Promise<Buffer> {
    const [program = "", ...before] = [...this.enter, needProgram("journalctl")];
    const { stdout } = await execute(program, [...before, ...args], {
      encoding: "buffer",
      maxBuffer: 1024 ** 3,
      env: environment(this.#scratch),
    });
    return stdout;
  }
}

function environment(scratch: Scratch): Record<string, string> {
  return { PATH: programPath, CONMON_TS_TEST: scratch.id };
}
