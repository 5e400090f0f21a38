import { type ChildProcessWithoutNullStreams, execFileSync, spawn } from "node:child_process";
import { writeFileSync } from "node:fs";
import { makeBusyboxRoot } from "./bundle.ts";
import { type Monitor, monitorPath, needProgram, programPath } from "./programs.ts";
import type { Scratch } from "./scratch.ts";
import { inTime } from "./waiting.ts";

/** How long one podman command may take, in milliseconds. */
const PATIENCE = 60_000;

/** A private podman and what is the same for all of its commands. */
export interface PodmanOptions {
  /** The socket of a shared conmond. Default: none, each monitor has one of its own. */
  readonly conmond?: string;
  /** Path or name of the OCI runtime. Default: "runc". */
  readonly runtime?: string;
  /** A command that runs podman, as `nsenter` does. Default: none. */
  readonly wrapper?: readonly string[];
}

/** What may differ from command to command. */
export interface PodmanCommandOptions {
  /** Default: "ours". */
  readonly conmon?: Monitor;
  /** What podman reads on stdin. Default: nothing. */
  readonly input?: string | Uint8Array;
}

/** How a podman command went. */
export interface PodmanResult {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
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
  readonly #command: readonly string[];
  readonly #globalArguments: readonly string[];

  constructor(scratch: Scratch, options: PodmanOptions) {
    this.#scratch = scratch;
    this.#command = [...(options.wrapper ?? []), needProgram("podman")];
    writeConfiguration(scratch, options);
    this.#globalArguments = [
      ...["--root", scratch.folder("storage"), "--runroot", scratch.folder("runroot")],
      ...["--tmpdir", scratch.folder("libpod"), "--storage-driver", "vfs"],
    ];
  }

  /** Runs a podman command to its end, whatever that is. */
  async run(args: readonly string[], options: PodmanCommandOptions = {}): Promise<PodmanResult> {
    const child = this.spawn(args, options);
    let [stdout, stderr] = ["", ""];
    child.stdout.setEncoding("utf8").on("data", (text) => {
      stdout += text;
    });
    child.stderr.setEncoding("utf8").on("data", (text) => {
      stderr += text;
    });
    // A podman that reads nothing may be gone before all of the input is.
    child.stdin.on("error", () => {});
    child.stdin.end(options.input);
    const ended = new Promise<number | null>((resolve, reject) => {
      child.on("error", reject);
      child.on("close", resolve);
    });
    const what = () => `\`podman ${args.join(" ")}\`; stdout: ${stdout}; stderr: ${stderr}`;
    return { status: await inTime(ended, what, PATIENCE), stdout, stderr };
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

  /** Starts a podman command and leaves it to the test, as `logs -f` or `attach` need it. */
  spawn(
    args: readonly string[],
    options: Pick<PodmanCommandOptions, "conmon"> = {},
  ): ChildProcessWithoutNullStreams {
    const monitor = monitorPath(options.conmon ?? "ours");
    const [program = "", ...first] = this.#command;
    const all = [...first, ...this.#globalArguments, "--conmon", monitor, ...args];
    const scratch = this.#scratch;
    return spawn(program, all, {
      cwd: scratch.directory,
      stdio: "pipe",
      env: {
        PATH: programPath,
        HOME: scratch.directory,
        TMPDIR: scratch.temporary,
        CONMON_TS_TEST: scratch.id,
        CONTAINERS_CONF: scratch.path("containers.conf"),
        CONTAINERS_STORAGE_CONF: scratch.path("storage.conf"),
      },
    });
  }

  /** Removes all containers, running ones too. */
  async removeAll(): Promise<void> {
    await this.ok(["rm", "--all", "--force", "--time", "0"], { conmon: "debian" });
  }
}

function writeConfiguration(scratch: Scratch, { conmond, runtime }: PodmanOptions): void {
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
    `conmon_env_vars = ${text(environment)}`,
    'events_logger = "file"',
    'cgroup_manager = "cgroupfs"',
    // The default are locks in shared memory, which all podmans of the machine share.
    'lock_type = "file"',
    "[network]",
    `network_config_dir = ${text(scratch.folder("networks"))}`,
  ];
  writeFileSync(scratch.path("containers.conf"), `${lines.join("\n")}\n`);
  const storage = [
    "[storage]",
    'driver = "vfs"',
    `runroot = ${text(scratch.folder("runroot"))}`,
    `graphroot = ${text(scratch.folder("storage"))}`,
  ];
  writeFileSync(scratch.path("storage.conf"), `${storage.join("\n")}\n`);
}

function makeImageArchive(scratch: Scratch): string {
  const root = scratch.folder("image", "rootfs");
  makeBusyboxRoot(root);
  const archive = scratch.path("image.tar");
  execFileSync("tar", ["-C", root, "-cf", archive, "."]);
  return archive;
}
