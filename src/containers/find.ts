/** Finding containers: all of them, or the one that somebody means. */
import { type Container, foreignContainer, ownContainer } from "./container.ts";
import { ContainerError } from "./errors.ts";
import { ownerOf } from "./names.ts";
import { readPidFile } from "./process-state.ts";
import { type ContainerRecord, readRecord } from "./record.ts";
import { findShims, readShim, type Shim, stateOf } from "./shims.ts";
import { State } from "./state.ts";

/** What is told of a container whose record cannot be read. */
export type OnFault = (fault: ContainerError, id: string) => void;

/**
 * All containers: those with a record, and those of others under monitors of ours; the newest first.
 *
 * @param onFault is told of records that cannot be read, which are left out then. Default: the first one is thrown
 */
export function listContainers(
  state: State = new State(),
  onFault: OnFault = throwFault,
): Container[] {
  const shims = newestShims();
  const own = state.ids().flatMap((id) => {
    const record = readRecordUnless(state, id, onFault);
    // Without one it is being made just now, or being removed.
    return record === undefined ? [] : [ownContainer(state, record, monitorOf(state, id, shims))];
  });
  const known = new Set(own.map(({ id }) => id));
  const foreign = [...shims.values()]
    // A monitor of ours without a record has just seen it removed.
    .filter((shim) => !known.has(shim.id) && stateOf(shim) !== state.directory)
    .map(foreignContainer);
  return [...own, ...foreign].sort((a, b) => compare(b.created ?? "", a.created ?? ""));
}

function throwFault(fault: ContainerError): never {
  throw fault;
}

function readRecordUnless(state: State, id: string, onFault: OnFault): ContainerRecord | undefined {
  try {
    return readRecord(state, id);
  } catch (error) {
    if (!(error instanceof ContainerError)) throw error;
    onFault(error, id);
    return undefined;
  }
}

/** The container with this whole ID, if it has a record. */
export function ownContainerById(state: State, id: string): Container | undefined {
  const record = readRecord(state, id);
  if (record === undefined) return undefined;
  return ownContainer(state, record, monitorOf(state, id, newestShims()));
}

/**
 * The monitor of a container. What is in /proc is not read at one moment: where one monitor takes the place of
 * another one meanwhile, neither may be among those that were found. The new one has written its pid by then.
 *
 * @param found by container
 */
export function monitorOf(
  state: State,
  id: string,
  found: ReadonlyMap<string, Shim>,
): Shim | undefined {
  const known = found.get(id);
  if (known !== undefined) return known;
  const pid = readPidFile(state.container(id).monitorPid);
  const shim = pid === undefined ? undefined : readShim("/proc", String(pid));
  return shim?.id === id && !shim.options.exec ? shim : undefined;
}

/**
 * The container that is meant by a name, an ID, or the beginning of an ID.
 *
 * @throws ContainerError if the text is empty, if there is none, with the nearest as a hint, or more than one, or if
 *   its record cannot be read; those of others do not matter
 */
export function findContainer(state: State, text: string): Container {
  if (text === "") {
    throw new ContainerError("invalid", "the name of a container is empty", {
      hint: "was it a variable that is not set?",
    });
  }
  const named = ownerOf(state, text);
  const direct = named === undefined ? undefined : ownContainerById(state, named);
  if (direct !== undefined) return direct;
  const faults = new Map<string, ContainerError>();
  const all = listContainers(state, (fault, id) => faults.set(id, fault));
  const exact = all.filter(({ id, name }) => id === text || name === text);
  const found = exact.length > 0 ? exact : all.filter(({ id }) => id.startsWith(text));
  const [only, other] = found;
  if (only !== undefined && other === undefined) return only;
  if (only === undefined) {
    const [, fault] = [...faults].find(([id]) => id.startsWith(text)) ?? [];
    throw fault ?? notFound(text, all);
  }
  const names = found.map(({ id, name }) => `${name} (${id.slice(0, 12)})`);
  throw new ContainerError("not-found", `${text} is more than one container: ${names.join(", ")}`, {
    hint: "give more of the ID",
  });
}

/** A monitor of an exec session is none of the container. */
function newestShims(): Map<string, Shim> {
  const shims = findShims().filter(({ options }) => !options.exec);
  return new Map(shims.map((shim) => [shim.id, shim]));
}

function notFound(text: string, all: readonly Container[]): ContainerError {
  const near = nearest(text, all);
  const hint =
    near !== undefined
      ? `did you mean ${near}?`
      : all.length > 0
        ? "conmonctl ps -a shows all there are"
        : "there are no containers at all";
  return new ContainerError("not-found", `there is no container ${text}`, { hint });
}

/** The name, or beginning of an ID of that length, which is so like the text that it may have been meant. */
function nearest(text: string, all: readonly Container[]): string | undefined {
  const candidates = all.flatMap(({ id, name }) => [name, id.slice(0, Math.max(text.length, 4))]);
  const most = Math.max(1, Math.floor(text.length / 3));
  let best: { candidate: string; distance: number } | undefined;
  for (const candidate of candidates) {
    const distance = editDistance(text, candidate);
    if (distance <= most && distance < (best?.distance ?? Number.POSITIVE_INFINITY)) {
      best = { candidate, distance };
    }
  }
  return best?.candidate;
}

/** How many letters have to be added, taken away, changed or swapped with the next to make one of the other. */
export function editDistance(one: string, other: string): number {
  const rows: number[][] = [Array.from({ length: other.length + 1 }, (_, column) => column)];
  for (let row = 1; row <= one.length; row++) {
    const line = [row];
    for (let column = 1; column <= other.length; column++) {
      const same = one[row - 1] === other[column - 1];
      const swapped = one[row - 1] === other[column - 2] && one[row - 2] === other[column - 1];
      line[column] = Math.min(
        at(rows, row - 1, column) + 1,
        (line[column - 1] ?? 0) + 1,
        at(rows, row - 1, column - 1) + (same ? 0 : 1),
        swapped ? at(rows, row - 2, column - 2) + 1 : Number.POSITIVE_INFINITY,
      );
    }
    rows.push(line);
  }
  return at(rows, one.length, other.length);
}

function at(rows: readonly number[][], row: number, column: number): number {
  return rows[row]?.[column] ?? Number.POSITIVE_INFINITY;
}

function compare(a: string, b: string): number {
  return a < b ? -1 : a > b ? 1 : 0;
}
