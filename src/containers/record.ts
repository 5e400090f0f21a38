/** container.json: how a container was started. Never changed. */
import { ContainerError } from "./errors.ts";
import { readIfThere, writeWhole } from "./files.ts";
import { isObject } from "./oci.ts";
import type { RestartPolicy } from "./options.ts";
import type { ContainerPaths, State } from "./state.ts";

/** The version of the format; others are not read. */
const FORMAT = 1;

export interface ContainerRecord {
  readonly format: typeof FORMAT;
  readonly id: string;
  readonly name: string;
  /** RFC 3339, UTC. */
  readonly created: string;
  readonly command: readonly string[];
  /** The bundle that was asked for; `null`: none. */
  readonly sourceBundle: string | null;
  /** Absolute path. */
  readonly runtime: string;
  /** The runtime's global options. */
  readonly runtimeArguments: readonly string[];
  readonly terminal: boolean;
  readonly stdin: boolean;
  /** Values of conmon's `--log-path`. */
  readonly logs: readonly string[];
  /** Further options of conmon. */
  readonly monitorArguments: readonly string[];
  readonly remove: boolean;
  readonly restart: RestartPolicy;
}

export function newRecord(fields: Omit<ContainerRecord, "format">): ContainerRecord {
  return { format: FORMAT, ...fields };
}

export function writeRecord(paths: ContainerPaths, record: ContainerRecord): void {
  writeWhole(paths.record, `${JSON.stringify(record, null, 2)}\n`);
}

/**
 * The record of a container; undefined where there is none.
 *
 * @throws ContainerError for one that this version does not know
 */
export function readRecord(state: State, id: string): ContainerRecord | undefined {
  const { record: path, directory } = state.container(id);
  const text = readIfThere(path);
  if (text === undefined) return undefined;
  const value = parseJson(text);
  if (!isObject(value) || value.format !== FORMAT || value.id !== id) {
    throw new ContainerError("damaged", `${path} is no record that this version knows`, {
      hint: `a newer version may have written it; if none has, remove ${directory}`,
    });
  }
  // Written by this file only, and of this format.
  return value as unknown as ContainerRecord;
}

/** Undefined for what is no JSON. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
