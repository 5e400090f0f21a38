/** Names of containers: each is a symbolic link, so that two can't have the same. */
import { mkdirSync, renameSync, rmSync } from "node:fs";
import { basename, join } from "node:path";
import { randomName } from "../sys/mod.ts";
import { isNameAbandoned } from "./abandoned.ts";
import { ContainerError } from "./errors.ts";
import { claimLink, linkTarget } from "./files.ts";
import type { State } from "./state.ts";

const FIRST_WORDS =
  "amber brisk calm clear early fond gentle keen light mellow plain quiet ready steady swift warm";
const SECOND_WORDS =
  "alder birch brook cedar cliff cove delta field grove harbor heron linden maple otter reed willow";

/** 64 hexadecimal digits by chance. */
export function newId(): string {
  return randomName(32);
}

/**
 * Gives a container its name; its directory has to be there.
 *
 * @param wanted Default: two words by chance.
 * @returns the name
 * @throws ContainerError if it is taken or no name
 */
export function claimName(state: State, id: string, wanted: string | undefined): string {
  if (wanted !== undefined) {
    checkName(wanted);
    if (claim(state, id, wanted)) return wanted;
    const owner = ownerOf(state, wanted) ?? "another one";
    throw new ContainerError(
      "conflict",
      `the name ${wanted} is taken by container ${owner.slice(0, 12)}`,
      {
        hint: `choose another name, or remove it: conmonctl rm ${wanted}`,
      },
    );
  }
  for (;;) {
    const name = nameByChance();
    if (claim(state, id, name)) return name;
  }
}

/** The ID that a name stands for; undefined if it stands for none. */
export function ownerOf(state: State, name: string): string | undefined {
  if (!isName(name)) return undefined;
  const target = linkTarget(join(state.names, name));
  return target === undefined ? undefined : basename(target);
}

/** Gives a name back, if it is still this container's. */
export function releaseName(state: State, id: string, name: string): void {
  if (ownerOf(state, name) === id) rmSync(join(state.names, name), { force: true });
}

function claim(state: State, id: string, name: string): boolean {
  const path = join(state.names, name);
  const target = `../containers/${id}`;
  mkdirSync(state.names, { recursive: true, mode: 0o700 });
  if (claimLink(path, target)) return true;
  const old = linkTarget(path);
  if (old !== undefined && !isNameAbandoned(state.container(basename(old)))) return false;
  // Whoever removed that container, or made it, was killed before it was done.
  dropStale(state, path, old);
  return claimLink(path, target);
}

function dropStale(state: State, path: string, target: string | undefined): void {
  const aside = join(state.names, `.stale-${randomName(6)}`);
  renameSync(path, aside);
  const taken = linkTarget(aside);
  // Somebody was faster and has the name by now: it is theirs.
  if (taken !== undefined && taken !== target) claimLink(path, taken);
  rmSync(aside);
}

function checkName(name: string): void {
  if (isName(name)) return;
  throw new ContainerError("invalid", `${JSON.stringify(name)} is no name for a container`, {
    hint: "a name has 1 to 128 letters, digits, _, . and -, and begins with a letter or digit",
  });
}

function isName(text: string): boolean {
  return /^[A-Za-z0-9][A-Za-z0-9_.-]{0,127}$/.test(text);
}

function nameByChance(): string {
  const bytes = Buffer.from(randomName(4), "hex");
  const pick = (words: string, index: number): string => {
    const all = words.split(" ");
    return all[(bytes[index] ?? 0) % all.length] ?? "";
  };
  const number = bytes.readUInt16LE(2) % 1000;
  return `${pick(FIRST_WORDS, 0)}-${pick(SECOND_WORDS, 1)}-${number}`;
}
