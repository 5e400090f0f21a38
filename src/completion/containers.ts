/** The names and IDs that can be completed. */
import { readdirSync, readlinkSync } from "node:fs";
import { basename, join } from "node:path";
import { stateDirectory } from "../conmonctl/state-directory.ts";

/** A word that a container goes by, and the other one. */
export interface KnownContainer {
  readonly word: string;
  readonly description: string;
}

/** How much of an ID is shown. */
const SHORT = 12;

/** Names first, then IDs; none where there is no state. Never throws: who completes sees no errors. */
export function knownContainers(environment: NodeJS.ProcessEnv): KnownContainer[] {
  const state = stateDirectory(environment);
  if (state === undefined) return [];
  const nameOf = new Map<string, string>();
  for (const name of entries(join(state, "names"))) {
    const id = linkedId(join(state, "names", name));
    if (id !== undefined) nameOf.set(id, name);
  }
  const ids = entries(join(state, "containers")).filter((id) => !id.startsWith("."));
  const names = ids.flatMap((id) => {
    const name = nameOf.get(id);
    return name === undefined ? [] : [{ word: name, description: id.slice(0, SHORT) }];
  });
  const short = ids.map((id) => ({ word: id.slice(0, SHORT), description: nameOf.get(id) ?? "" }));
  return [...names, ...short];
}

function entries(directory: string): string[] {
  try {
    return readdirSync(directory).sort();
  } catch {
    return []; // There is none as long as there was no container.
  }
}

function linkedId(path: string): string | undefined {
  try {
    return basename(readlinkSync(path));
  } catch {
    return undefined; // It has been removed meanwhile.
  }
}
