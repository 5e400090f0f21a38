import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import {
  type Dirent,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  rmSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { processesWith, waitUntilGone } from "./processes.ts";
import { PATIENCE } from "./waiting.ts";

/** What a test, or `node:test` itself for a suite, has: a place for what is to be done at its end. */
export interface Ending {
  after(step: () => Promise<void>): void;
}

/**
 * A test's own directory, deleted at the test's end. All that the test starts carries its name,
 * so the end can also check that nothing is left: no process, no socket, no fifo, no link, no
 * mount, no sanitizer's report. What is left fails the test.
 */
export class Scratch {
  /** Unique, with which everything that belongs to the test is marked. */
  readonly id: string = `ct${randomBytes(5).toString("hex")}`;
  /** Short enough for socket paths. */
  readonly directory: string = join(realpathSync(tmpdir()), this.id);
  /** For the TMPDIR of programs under test. */
  readonly temporary: string = join(this.directory, "tmp");
  readonly #steps: (() => Promise<void> | void)[] = [];
  #names = 0;

  constructor() {
    mkdirSync(this.temporary, { recursive: true });
  }

  /** A path in the directory. */
  path(...parts: string[]): string {
    return join(this.directory, ...parts);
  }

  /** A subdirectory, made if it is not there yet. */
  folder(...parts: string[]): string {
    const path = this.path(...parts);
    mkdirSync(path, { recursive: true });
    return path;
  }

  /** A name that nothing else has, on the whole machine, for a container or a file. */
  uniqueName(): string {
    return `${this.id}-${this.#names++}`;
  }

  /** Has something done at the end of the test, before the check; what is added last is first. */
  atEnd(step: () => Promise<void> | void): void {
    this.#steps.unshift(step);
  }

  /** Names what is left of the test, after so many milliseconds in which processes may end. */
  async leftBehind(milliseconds: number = PATIENCE): Promise<string[]> {
    const processes = await waitUntilGone(() => processesWith(this.id), milliseconds);
    return [
      ...processes.map(({ pid, command }) => `process ${pid}: ${command}`),
      ...mountsBelow(this.directory).map((path) => `mount: ${path}`),
      ...specialFiles(this.directory),
      ...this.#sanitizerReports(),
    ];
  }

  /** What programs built with sanitizers need in their environment, so that reports are found. */
  get sanitizerEnvironment(): Record<string, string> {
    const options = `log_path=${this.path("sanitizer")}`;
    return { ASAN_OPTIONS: options, UBSAN_OPTIONS: `${options}:print_stacktrace=1` };
  }

  #sanitizerReports(): string[] {
    const names = readdirSync(this.directory).filter((name) => name.startsWith("sanitizer."));
    return names.map((name) => `${name}: ${readFileSync(this.path(name), "utf8")}`);
  }

  /**
   * Ends what the test left running and deletes the directory.
   *
   * @throws AggregateError or Error that names all that was left or could not be done
   */
  async close(milliseconds: number = PATIENCE): Promise<void> {
    const faults: unknown[] = [];
    for (const step of this.#steps) await attempt(step, faults);
    const left = await this.leftBehind(milliseconds);
    if (left.length > 0) faults.push(new Error(`the test left behind:\n${left.join("\n")}`));
    for (const { pid } of processesWith(this.id)) endProcess(pid);
    await waitUntilGone(() => processesWith(this.id), PATIENCE);
    for (const path of mountsBelow(this.directory).reverse()) spawnSync("umount", ["-l", path]);
    rmSync(this.directory, { recursive: true, force: true });
    if (faults.length === 1) throw faults[0];
    if (faults.length > 1) throw new AggregateError(faults, faults.map(String).join("\n"));
  }
}

/** Makes a directory for a test, or for a suite with `makeScratch({ after })` of `node:test`. */
export function makeScratch(test: Ending): Scratch {
  const scratch = new Scratch();
  test.after(() => scratch.close());
  return scratch;
}

async function attempt(step: () => Promise<void> | void, faults: unknown[]): Promise<void> {
  try {
    await step();
  } catch (error) {
    faults.push(error);
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function mountsBelow(directory: string): string[] {
  const lines = readFileSync("/proc/self/mountinfo", "utf8").split("\n");
  const points = lines.map((line) => line.split(" ")[4] ?? "");
  return points.filter((path) => path.startsWith(`${directory}/`));
}

/** Sockets, fifos and links. What is inside of root file systems is not looked at. */
function specialFiles(directory: string): string[] {
  if (!existsSync(directory)) return [];
  return readdirSync(directory, { withFileTypes: true }).flatMap((entry) => {
    const path = join(directory, entry.name);
    if (entry.isDirectory()) return ROOTS.has(entry.name) ? [] : specialFiles(path);
    const kind = kindOf(entry);
    return kind === undefined ? [] : [`${kind}: ${path}`];
  });
}

/** Directories with root file systems: of bundles, and in podman's storage. */
const ROOTS = new Set(["rootfs", "storage"]);

function kindOf(entry: Dirent): string | undefined {
  if (entry.isSocket()) return "socket";
  if (entry.isFIFO()) return "fifo";
  return entry.isSymbolicLink() ? "link" : undefined;
}
