/** What is remembered of containers: a directory for each, in a directory that only its user can enter. */
import {
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { makeDirectory } from "../files/make-directory.ts";
import type { ProcessId } from "../processes/stat.ts";
import type { Hooks, UserNamespace } from "./config.ts";
import { Failure, messageOf } from "./failure.ts";
import type { ProcessSpec } from "./process-spec.ts";
import { isAlive, statOf } from "./processes.ts";

export type Status = "created" | "running" | "stopped";

/** The version of the OCI runtime specification that we follow, as far as we do. */
export const OCI_VERSION = "1.0.2";

const MODE = 0o700;
const ID_LENGTH_MAX = 255;

/** What is written down when a container is made; it never changes. */
export interface Container extends ProcessId {
  readonly id: string;
  readonly bundle: string;
  readonly rootfs: string;
  /** RFC 3339. */
  readonly created: string;
  readonly annotations: Readonly<Record<string, string>>;
  readonly hooks: Hooks;
  /** What `exec` without a process file starts from. */
  readonly process: ProcessSpec;
  readonly userNamespace: UserNamespace | null;
}

/** The state of the OCI runtime specification, with what runc adds to it. */
export interface OciState {
  readonly ociVersion: string;
  readonly id: string;
  readonly pid: number;
  readonly status: Status | "creating";
  readonly bundle: string;
  readonly rootfs: string;
  readonly created: string;
  readonly annotations?: Readonly<Record<string, string>>;
  readonly owner: string;
}

/** Where state is kept if `--root` names no place. */
export function defaultRoot(
  uid: number,
  uidMap: string,
  runtimeDirectory: string | undefined,
): string {
  // Root of a user namespace, as with Podman for an ordinary user, has no rights in /run.
  const isHostRoot = uid === 0 && /^\s*0\s+0\s/.test(uidMap);
  if (isHostRoot || (uid === 0 && !runtimeDirectory)) return "/run/conmon-ts/host-runtime";
  if (!runtimeDirectory) {
    throw new Failure("XDG_RUNTIME_DIR is not set: --root has to say where to keep state");
  }
  return join(runtimeDirectory, "conmon-ts/host-runtime");
}

/** @throws Failure for what could not be a directory's name, or has other characters than runc allows */
export function checkId(id: string): void {
  const valid = /^[\w+.-]+$/.test(id) && id !== "." && id !== ".." && id.length <= ID_LENGTH_MAX;
  if (!valid) throw new Failure("invalid container ID format");
}

/** The containers of one `--root`. */
export class Store {
  readonly root: string;

  constructor(root: string) {
    this.root = root;
  }

  /**
   * Takes an ID. Of several at the same time only one gets it.
   *
   * @throws Failure for one that is taken or is none
   */
  reserve(id: string): Place {
    checkId(id);
    const place = new Place(join(this.root, id));
    try {
      makeDirectory(this.root, MODE);
      checkOwner(this.root);
      mkdirSync(place.directory, { mode: MODE });
    } catch (cause) {
      if ((cause as NodeJS.ErrnoException).code !== "EEXIST") throw cause;
      throw new Failure("container with given ID already exists", { cause });
    }
    return place;
  }

  /** The place of a container, which may be half made; undefined if there is none. */
  find(id: string): Place | undefined {
    checkId(id);
    const place = new Place(join(this.root, id));
    return existsSync(place.directory) ? place : undefined;
  }

  /** @throws Failure when there is no such container */
  load(id: string): { container: Container; place: Place } {
    const place = this.find(id);
    const container = place?.read();
    if (place === undefined || container === undefined) {
      throw new Failure("container does not exist");
    }
    return { container, place };
  }

  /** All containers that have been made, by ID. */
  list(): { container: Container; place: Place }[] {
    if (!existsSync(this.root)) return [];
    return readdirSync(this.root)
      .sort()
      .flatMap((name) => {
        const place = new Place(join(this.root, name));
        const container = place.read();
        return container === undefined ? [] : [{ container, place }];
      });
  }
}

/** Who can write there says which processes we signal and which programs we run as hooks. */
function checkOwner(directory: string): void {
  const { uid, mode } = statSync(directory);
  if (uid === process.geteuid?.() && (mode & 0o002) === 0) return;
  throw new Failure(`others can write to ${directory}: --root has to name another place`);
}

/** A container's directory. */
export class Place {
  readonly directory: string;

  constructor(directory: string) {
    this.directory = directory;
  }

  /** The socket on which a container that was created waits for its start. */
  get gate(): string {
    return join(this.directory, GATE);
  }

  /**
   * Undefined for a container that is being made, or whose making was cut short.
   *
   * @throws Failure when it is damaged
   */
  read(): Container | undefined {
    const path = join(this.directory, "state.json");
    const text = readIfThere(path);
    if (text === undefined) return undefined;
    try {
      return JSON.parse(text) as Container;
    } catch (cause) {
      throw new Failure(`${path} is damaged: ${messageOf(cause)}`, { cause });
    }
  }

  write(container: Container): void {
    this.#replace("state.json", JSON.stringify(container));
  }

  /** Writes down a process that was executed in the container, and forgets those that have ended. */
  addExec({ pid, startTime }: ProcessId): void {
    const directory = join(this.directory, EXECS);
    mkdirSync(directory, { recursive: true, mode: MODE });
    for (const one of this.execs()) {
      if (!leadsOrLeft(one)) rmSync(join(directory, String(one.pid)), { force: true });
    }
    this.#replace(join(EXECS, String(pid)), startTime);
  }

  /** The processes that were executed in the container; some may have ended. */
  execs(): ProcessId[] {
    const directory = join(this.directory, EXECS);
    if (!existsSync(directory)) return [];
    return readdirSync(directory)
      .filter((name) => /^\d+$/.test(name))
      .flatMap((name) => {
        const startTime = readIfThere(join(directory, name));
        return startTime === undefined ? [] : [{ pid: Number(name), startTime }];
      });
  }

  status(container: Container): Status {
    if (!isAlive(container)) return "stopped";
    return existsSync(this.gate) ? "created" : "running";
  }

  remove(): void {
    rmSync(this.directory, { recursive: true, force: true });
  }

  #replace(name: string, text: string): void {
    const path = join(this.directory, name);
    writeFileSync(`${path}.new`, text, { mode: 0o600 });
    renameSync(`${path}.new`, path);
  }
}

/** The gate's name in a container's directory. */
export const GATE = "start.sock";
const EXECS = "execs";

/** Whether a process that led a session runs, or has left others in its process group. */
function leadsOrLeft(id: ProcessId): boolean {
  const stat = statOf(id.pid);
  if (stat !== undefined) return stat.startTime === id.startTime;
  try {
    process.kill(-id.pid, 0);
    return true;
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === "EPERM";
  }
}

function readIfThere(path: string): string | undefined {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
}

/** The state as `state` prints it and hooks get it. */
export function ociState(container: Container, status: OciState["status"]): OciState {
  const { id, bundle, rootfs, created, annotations } = container;
  return {
    ociVersion: OCI_VERSION,
    id,
    pid: status === "stopped" ? 0 : container.pid,
    status,
    bundle,
    rootfs,
    created,
    ...(Object.keys(annotations).length > 0 ? { annotations } : {}),
    owner: "",
  };
}
