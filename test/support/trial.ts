import { mkdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Podman } from "./podman.ts";
import { processesWith, waitUntilGone } from "./processes.ts";
import type { Scratch } from "./scratch.ts";
import { appears } from "./waiting.ts";

/** As in podman's own JSON; times are RFC 3339, year 1 where there is none. */
export interface Inspected {
  readonly Id: string;
  readonly State: {
    readonly Status: string;
    readonly Running: boolean;
    readonly Paused: boolean;
    readonly ExitCode: number;
    readonly OOMKilled: boolean;
    readonly Error: string;
    readonly Pid: number;
    readonly ConmonPid?: number;
    readonly StartedAt: string;
    readonly FinishedAt: string;
    readonly Health?: { readonly Status: string };
  };
  readonly RestartCount: number;
}

/** A type, not an interface, so that it can be an observation. */
export type ContainerState = {
  readonly status: string;
  readonly running: boolean;
  readonly exitCode: number;
  readonly oomKilled: boolean;
  readonly error: string;
  readonly hasPid: boolean;
  readonly restarts: number;
};

/**
 * One run of a scenario with one monitor: what it may use. All of it can be taken out of the object,
 * as scenarios do.
 */
export class Trial {
  readonly scratch: Scratch;
  readonly podman: Podman;
  /** What the names of its containers and volumes begin with. */
  readonly prefix: string;
  /** Of its own, deleted at its end. */
  readonly directory: string;

  constructor(scratch: Scratch, podman: Podman) {
    this.scratch = scratch;
    this.podman = podman;
    this.prefix = `${scratch.uniqueName()}.`;
    this.directory = scratch.folder("trials", this.prefix);
  }

  /** A name for a container that no other trial has; in observations only `what` is left of it. */
  readonly name = (what: string): string => `${this.prefix}${what}`;

  /** A path in the directory. */
  readonly path = (...parts: string[]): string => join(this.directory, ...parts);

  /** A subdirectory, made if it is not there yet. */
  readonly folder = (...parts: string[]): string => {
    const path = this.path(...parts);
    mkdirSync(path, { recursive: true });
    return path;
  };

  /**
   * The directory as a volume at /trial, so that a container can leave signs for the test, and the
   * other way round: see {@link sign} and `appears`.
   */
  get volume(): string {
    return `--volume=${this.directory}:/trial`;
  }

  /** Makes an empty file that a container may wait for. */
  readonly sign = (name: string): void => writeFileSync(this.path(name), "");

  /** Resolves when a container has made the file. */
  readonly signed = (name: string): Promise<void> => appears(this.path(name));

  /**
   * What `podman inspect` says of a container, of all that has to do with its monitor. Of one that
   * has ended only after the exit command: what podman knows before that is a matter of luck.
   */
  readonly state = async (container: string): Promise<ContainerState> => {
    const facts = await this.inspect(container);
    if (facts.State.Running || facts.State.Paused) return stateOf(facts);
    await this.cleanedUp(facts.Id);
    return stateOf(await this.inspect(container));
  };

  /** The same of a container that is about to end, however long that takes. */
  readonly endState = async (container: string): Promise<ContainerState> => {
    await this.podman.ok(["wait", container]);
    return await this.state(container);
  };

  /** Resolves when the monitor and the exit command of a container that has ended are gone. */
  readonly cleanedUp = async (id: string): Promise<void> => {
    const left = await waitUntilGone(() => processesWith(id));
    if (left.length > 0) throw new Error(`there is still ${JSON.stringify(left)}`);
  };

  /** Of what `podman inspect` prints, all that tests look at. */
  readonly inspect = async (container: string): Promise<Inspected> => {
    const [facts] = JSON.parse(await this.podman.ok(["container", "inspect", container]));
    return facts;
  };

  /** Removes the containers, running ones too, and the directory. */
  async close(): Promise<void> {
    await this.podman.removeAll();
    rmSync(this.directory, { recursive: true, force: true });
  }
}

function stateOf(facts: Inspected): ContainerState {
  const { Status, Running, ExitCode, OOMKilled, Error: error, Pid } = facts.State;
  return {
    status: Status,
    running: Running,
    exitCode: ExitCode,
    oomKilled: OOMKilled,
    error,
    hasPid: Pid > 0,
    restarts: facts.RestartCount,
  };
}
