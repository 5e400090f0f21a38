/** The names and IDs that can be completed. */
import type { Container } from "../containers/mod.ts";

/** A word that a container goes by, and what it is. */
export interface KnownContainer {
  readonly word: string;
  readonly description: string;
}

/** How much of an ID is shown. */
const SHORT = 12;

/** Names first, then IDs, each in the order of the alphabet. A container whose name is its ID is there once. */
export function knownContainers(
  containers: readonly Pick<Container, "id" | "name">[],
): KnownContainer[] {
  const names = containers.map(({ id, name }) => ({ word: name, description: id.slice(0, SHORT) }));
  const ids = containers.map(({ id, name }) => ({ word: id.slice(0, SHORT), description: name }));
  const named = names.filter(({ word, description }) => word !== description);
  return [...named.sort(byWord), ...ids.sort(byWord)];
}

function byWord(one: KnownContainer, other: KnownContainer): number {
  return one.word < other.word ? -1 : 1;
}
