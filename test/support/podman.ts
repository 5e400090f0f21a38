import { execFileSync, spawn } from "node:child_process";
import { existsSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { spawn as spawnInTerminal } from "node-pty";
import { makeBusyboxRoot } from "./bundle.ts";
import { PodmanCommand, type PodmanResult } from "./podman-command.ts";
import { PodmanTerminal } from "./podman-terminal.ts";
import { type Monitor, monitorPath, needProgram, programPath } from "./programs.ts";
import type { Scratch } from "./scratch.ts";

/** A private podman and what is the same for all of its commands. */
export interface PodmanOptions {
  /** Default: "ours". */
  readonly conmon?: Monitor;
  /** The socket of a shared conmond. Default: none, each monitor has one of its own. */
  readonly conmond?: string;
  /** Path or name of the OCI runtime. Default: "runc". */
  readonly runtime?: string;
  /** A command that runs podman, as `nsenter` does. Default: none. */
  readonly wrapper?: readonly string[];
}

/** What may differ from command to command. */
export interface PodmanCommandOptions {
  /** Default: that of the podman. What podman does on its own later (a restart) has the default. */
  readonly conmon?: Monitor;
  /** What podman reads on stdin. Default: nothing. */
  readonly input?: string | Uint8Array;
  /** Descriptors that podman inherits, from 3 up. */
  readonly descriptors?: readonly number[];
  /** For podman itself, besides what it always has. */
  readonly environment?: Readonly<Record<string, string>>;
}

/**
 * Makes a podman that shares nothing with the machine's own: neither containers nor images,
 * settings nor locks. It has one image, {@link Podman.image}. What it has left running is
 * removed at the end of the test.
 */
export async function makePodman(scratch: Scratch, options: PodmanOptions = {}): Promise<Podman> {
  const podman = new Podman(scratch, options);
  const { status, stderr } = await podman.run(
    ["import", "--quiet", makeImageArchive(scratch), podman.image],
    { conmon: "debian" },
  );
  if (status !== 0) throw new Error(`podman import ended with ${status}: ${stderr}`);
  scratch.atEnd(() => podman.removeAll());
  return podman;
}

/** See {@link makePodman}. */
export class Podman {
  /** The name of an image with busybox. */
  readonly image = "localhost/busybox:latest";
  readonly #scratch: Scratch;
  readonly #options: PodmanOptions;
  readonly #globalArguments: readonly string[];
  readonly #command: readonly string[];
  readonly #environment: Record<string, string>;

  constructor(scratch: Scratch, options: PodmanOptions) {
    this.#scratch = scratch;
    this.#options = options;
    this.#command = [...(options.wrapper ?? []), needProgram("podman")];
    this.#environment = makeEnvironment(scratch, options);
    this.#globalArguments = [
      ...["--root", scratch.folder("storage"), "--runroot", scratch.folder("runroot")],
      ...["--tmpdir", scratch.folder("libpod"), "--storage-driver", "vfs"],
    ];
  }

  /** The same containers and images under other settings; what is not given stays as it is. */
  with(options: PodmanOptions): Podman {
    return new Podman(this.#scratch, { ...this.#options, ...options });
  }

  /** Runs a podman command to its end, whatever that is. */
  async run(args: readonly string[], options: PodmanCommandOptions = {}): Promise<PodmanResult> {
    const command = this.start(args, options);
    command.stdin.end(options.input);
    return await command.end();
  }

  /**
   * Runs a podman command that has to succeed.
   *
   * @returns its stdout without the newline at the end
   * @throws Error with its stderr when the status is not 0
   */
  async ok(args: readonly string[], options: PodmanCommandOptions = {}): Promise<string> {
    const { status, stdout, stderr } = await this.run(args, options);
    if (status === 0) return stdout.replace(/\n$/, "");
    throw new Error(`\`podman ${args.join(" ")}\` ended with ${status}: ${stderr}`);
  }

  /** Starts a podman command that the test takes part in, as `logs -f` or `attach`. */
  start(args: readonly string[], options: Omit<PodmanCommandOptions, "input"> = {}): PodmanCommand {
    const [program, ...all] = this.#commandLine(args, options);
    const child = spawn(program, all, {
      cwd: this.#scratch.directory,
      stdio: ["pipe", "pipe", "pipe", ...(options.descriptors ?? [])],
      env: { ...this.#environment, ...options.environment },
    });
    const { stdin, stdout, stderr } = child;
    if (stdin === null || stdout === null || stderr === null) throw new Error("pipes are missing");
    return new PodmanCommand(child, { stdin, stdout, stderr }, args);
  }

  /** Starts a podman command in a terminal of so many columns and rows. */
  startInTerminal(
    args: readonly string[],
    size: { readonly columns: number; readonly rows: number },
  ): PodmanTerminal {
    const [program, ...all] = this.#commandLine(args, {});
    const terminal = spawnInTerminal(program, all, {
      cwd: this.#scratch.directory,
      cols: size.columns,
      rows: size.rows,
      env: { ...this.#environment, TERM: "xterm" },
    });
    return new PodmanTerminal(terminal, args);
  }

  #commandLine(
    args: readonly string[],
    { conmon }: PodmanCommandOptions,
  ): [program: string, ...arguments: string[]] {
    const [program = "", ...first] = this.#command;
    const monitor = conmon === undefined ? [] : ["--conmon", monitorPath(conmon)];
    return [program, ...first, ...this.#globalArguments, ...monitor, ...args];
  }

  /** Files of containers, as a rule of removed ones: none. Locks and events are podman's own. */
  remains(): string[] {
    const places: [string, RegExp][] = [
      ["libpod", /^(alive(\.lck)?|events|locks|exits|persist|socket)$/],
      ...["exits", "persist", "socket"].map((name): [string, RegExp] => [`libpod/${name}`, /^$/]),
      ["runroot/vfs-containers", /^$/],
      ["storage/vfs-containers", /^containers\.(json|lock)$/],
      ["tmp", /^$/],
    ];
    return places.flatMap(([place, known]) => {
      const directory = this.#scratch.path(place);
      const names = existsSync(directory) ? readdirSync(directory) : [];
      return names.filter((name) => !known.test(name)).map((name) => join(directory, name));
    });
  }

  /** Removes all containers, running ones too. */
  async removeAll(): Promise<void> {
    await this.ok(["rm", "--all", "--force", "--time", "0"], { conmon: "debian" });
  }
}

function makeEnvironment(scratch: Scratch, options: PodmanOptions): Record<string, string> {
  return {
    PATH: programPath,
    HOME: scratch.directory,
    TMPDIR: scratch.temporary,
    CONMON_TS_TEST: scratch.id,
    CONTAINERS_CONF: writeConfiguration(scratch, options),
    CONTAINERS_STORAGE_CONF: writeStorageConfiguration(scratch),
  };
}

/** Returns the file's path. */
function writeConfiguration(scratch: Scratch, options: PodmanOptions): string {
  const { conmon = "ours", conmond, runtime } = options;
  const environment = [
    `PATH=${programPath}`,
    `TMPDIR=${scratch.temporary}`,
    `CONMON_TS_TEST=${scratch.id}`,
    `CONMOND_SOCKET=${conmond ?? ""}`,
    ...Object.entries(scratch.sanitizerEnvironment).map(([name, value]) => `${name}=${value}`),
  ];
  const text = (value: unknown) => JSON.stringify(value); // TOML writes these the same way.
  const lines = [
    "[containers]",
    // podman's own limits are higher than a container within a container may ask for.
    'default_ulimits = ["nofile=1024:1024", "nproc=4096:4096"]',
    'netns = "none"',
    "[engine]",
    `runtime = ${text(runtime ?? "runc")}`,
    `conmon_path = [${text(monitorPath(conmon))}]`,
    `conmon_env_vars = ${text(environment)}`,
    'events_logger = "file"',
    'cgroup_manager = "cgroupfs"',
    // The default are locks in shared memory, which all podmans of the machine share.
    'lock_type = "file"',
    "[network]",
    `network_config_dir = ${text(scratch.folder("networks"))}`,
  ];
  const path = scratch.path(`${scratch.uniqueName()}-containers.conf`);
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

/** Returns the file's path. */
function writeStorageConfiguration(scratch: Scratch): string {
  const lines = [
    "[storage]",
    'driver = "vfs"',
    `runroot = ${JSON.stringify(scratch.folder("runroot"))}`,
    `graphroot = ${JSON.stringify(scratch.folder("storage"))}`,
  ];
  const path = scratch.path("storage.conf");
  writeFileSync(path, `${lines.join("\n")}\n`);
  return path;
}

function makeImageArchive(scratch: Scratch): string {
  const root = scratch.folder("image", "rootfs");
  makeBusyboxRoot(root);
  const archive = scratch.path("image.tar");
  execFileSync("tar", ["-C", root, "-cf", archive, "."]);
  return archive;
}
