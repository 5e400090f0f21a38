/** Where everything is that has to be remembered: see docs/conmonctl.md. */
import { readdirSync } from "node:fs";
import { join, resolve } from "node:path";
import { makeDirectory } from "../files/make-directory.ts";
import { ContainerError, isCode, reasonOf } from "./errors.ts";

/** Names a directory instead of the usual one. */
export const STATE_VARIABLE = "CONMON_TS_STATE";

/** The state directory: paths only, nothing is read before it is asked for. */
export class State {
  /** Absolute. */
  readonly directory: string;

  /**
   * @param directory Default: `$CONMON_TS_STATE`, else the user's or root's own.
   * @throws ContainerError if there is neither
   */
  constructor(directory: string | undefined = stateDirectory(process.env)) {
    if (directory === undefined) throw noPlace();
    this.directory = resolve(directory);
  }

  get containers(): string {
    return join(this.directory, "containers");
  }

  get names(): string {
    return join(this.directory, "names");
  }

  get events(): string {
    return join(this.directory, "events.jsonl");
  }

  /** Where exec sessions of containers are that have no directory here. */
  get sessions(): string {
    return join(this.directory, "sessions");
  }

  /** The `--root` of runtimes: each has a format of its own, so each has a directory of its own. */
  runtimeRoot(runtime: string): string {
    return join(this.directory, "runtimes", runtime.slice(runtime.lastIndexOf("/") + 1));
  }

  container(id: string): ContainerPaths {
    return new ContainerPaths(join(this.containers, id), id);
  }

  /** Makes the directories. What others can read is none of their business: mode 0700. */
  make(): void {
    try {
      for (const path of [this.directory, this.containers, this.names, this.sessions]) {
        makeDirectory(path, 0o700);
      }
    } catch (error) {
      throw new ContainerError(
        "failed",
        `cannot make the state directory ${this.directory}: ${reasonOf(error)}`,
        { hint: `$${STATE_VARIABLE} can name another one`, cause: error },
      );
    }
  }

  /** The IDs of all containers that have a directory. */
  ids(): string[] {
    try {
      return readdirSync(this.containers).filter((name) => !name.startsWith("."));
    } catch (error) {
      if (isCode(error, "ENOENT")) return [];
      throw new ContainerError(
        "failed",
        `cannot read the state directory ${this.directory}: ${reasonOf(error)}`,
        { hint: `$${STATE_VARIABLE} names another user's or none`, cause: error },
      );
    }
  }
}

/** The files of one container. */
export class ContainerPaths {
  readonly directory: string;
  readonly #id: string;

  constructor(directory: string, id: string) {
    this.directory = directory;
    this.#id = id;
  }

  get record(): string {
    return join(this.directory, "container.json");
  }

  get bundle(): string {
    return join(this.directory, "bundle");
  }

  get containerPid(): string {
    return join(this.directory, "container.pid");
  }

  get monitorPid(): string {
    return join(this.directory, "conmon.pid");
  }

  get exits(): string {
    return join(this.directory, "exits");
  }

  get exit(): string {
    return join(this.exits, this.#id);
  }

  get persist(): string {
    return join(this.directory, "persist");
  }

  get oom(): string {
    return join(this.persist, "oom");
  }

  get runs(): string {
    return join(this.directory, "runs.json");
  }

  /** Whoever is about to have it begin, see beginning.ts. */
  get beginning(): string {
    return join(this.directory, "beginning");
  }

  /** Is there when its end is wanted, and so no restart. */
  get stop(): string {
    return join(this.directory, "stop");
  }

  /** Locked by whoever starts it. */
  get lock(): string {
    return join(this.directory, "lock");
  }

  /** Who shows all of its runs, see followers.ts. */
  get followers(): string {
    return join(this.directory, "followers");
  }

  get log(): string {
    return join(this.directory, "container.log");
  }
}

/** Where the state is if nobody says where; undefined for an ordinary user without `XDG_RUNTIME_DIR`. */
export function stateDirectory(environment: NodeJS.ProcessEnv): string | undefined {
  const { [STATE_VARIABLE]: chosen, XDG_RUNTIME_DIR: runtimeDirectory } = environment;
  // An empty variable is none.
  if (chosen) return resolve(chosen);
  if (process.geteuid?.() === 0) return "/run/conmon-ts";
  return runtimeDirectory ? join(runtimeDirectory, "conmon-ts") : undefined;
}

function noPlace(): ContainerError {
  const message = "there is no place for the state: $XDG_RUNTIME_DIR is not set";
  const hint = `set it, or name a directory in $${STATE_VARIABLE}`;
  return new ContainerError("failed", message, { hint });
}
