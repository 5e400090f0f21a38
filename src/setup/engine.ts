/** What Podman and CRI-O have in common when they are told which conmon to use. */
import { statSync } from "node:fs";
import { isAbsolute, join, resolve } from "node:path";
import { ContainerError } from "../containers/errors.ts";
import { isExecutableFile } from "../programs/find-program.ts";
import type { Installation } from "../programs/installation.ts";
import type { DropIn } from "./drop-in.ts";

/** What the user can choose. */
export interface SetupChoices {
  /** The monitor. Default: the one of this installation. */
  readonly conmon?: string;
  /** Whose conmond: `auto`, `private`, or the socket of a shared one. Default: as without this setting. */
  readonly conmond?: string;
  /** Put before the paths of files, for a system that is mounted somewhere. */
  readonly rootPrefix?: string;
}

/** What was found out about the configuration that is in force. */
export interface EngineCheck {
  /**
   * - `ok`: our conmon is used
   * - `other`: another one is used
   * - `failed`: the engine does not work
   * - `unknown`: it could not be asked
   */
  readonly status: "ok" | "other" | "failed" | "unknown";
  /** In words, without a full stop. */
  readonly found: string;
  /** What can be done about it. */
  readonly advice?: string | undefined;
}

/** One of the programs that start conmon. */
export interface Engine {
  /** As it is written in sentences. */
  readonly title: string;
  readonly dropIn: DropIn;
  /** Said when a change has been made. */
  readonly afterwards?: string;
  /** Asks the engine which conmon it uses. */
  check(): Promise<EngineCheck>;
  /** Starts a container by it, in a storage of its own; undefined where that is not possible. */
  readonly trial?: () => Promise<EngineCheck>;
}

/** What both get as `PATH` where nothing else is said; to add a variable means to say it again. */
const DEFAULT_PATH = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/**
 * The environment of conmon for a choice of conmond; undefined where nothing is chosen.
 *
 * @throws ContainerError for what is none
 */
export function conmonEnvironment(choice: string | undefined): string[] | undefined {
  if (choice === undefined) return undefined;
  if (choice === "auto") return [DEFAULT_PATH, "CONMOND=auto"];
  if (choice === "private") return [DEFAULT_PATH, "CONMOND_SOCKET="];
  if (isAbsolute(choice)) return [DEFAULT_PATH, `CONMOND_SOCKET=${checkText(choice, "--conmond")}`];
  throw new ContainerError(
    "invalid",
    `--conmond is ${choice}, which is neither auto, private nor an absolute path`,
  );
}

/**
 * The monitor to be used.
 *
 * @throws ContainerError when it cannot be executed
 */
export function chosenConmon({ conmon }: SetupChoices, installation: Installation): string {
  const path = conmon ?? installation.conmon;
  if (!isAbsolute(path))
    throw new ContainerError("invalid", `--conmon is ${path}, which is no absolute path`);
  checkText(path, "--conmon");
  if (isExecutableFile(path)) return path;
  throw new ContainerError("failed", `there is no program ${path}`, {
    hint: conmon === undefined ? "build it with `npm run build`" : "name the path of bin/conmon",
  });
}

/**
 * A path of the system, in the system that is mounted at the prefix.
 *
 * @throws ContainerError when there is no such directory: a variable that is not set must not mean this system, nor
 *   a slip of the pen a new one
 */
export function withPrefix({ rootPrefix }: SetupChoices, path: string): string {
  if (rootPrefix === undefined) return path;
  if (rootPrefix === "") throw new ContainerError("invalid", "--root-prefix is empty");
  const prefix = resolve(rootPrefix);
  if (statSync(prefix, { throwIfNoEntry: false })?.isDirectory()) return join(prefix, path);
  throw new ContainerError("failed", `there is no directory ${prefix}`, {
    hint: "--root-prefix is where the system is mounted",
  });
}

/** A character that a person cannot see in a configuration file is an accident or worse. */
function checkText(text: string, option: string): string {
  if (/[\p{Cc}\ufffd]/u.test(text)) {
    throw new ContainerError(
      "invalid",
      `${option} is ${JSON.stringify(text)}: there are control characters in it`,
    );
  }
  return text;
}
