import { readFileSync, rmSync } from "node:fs";
import { join } from "node:path";
import { type Conmond, startConmond } from "./conmond.ts";
import { openFilesOf } from "./processes.ts";
import { projectRoot } from "./programs.ts";
import type { Scratch } from "./scratch.ts";
import { appears } from "./waiting.ts";

/** What a conmond holds at one moment, garbage not counted. */
export interface Holdings {
  /** What is open, as `/proc` names it. */
  readonly openFiles: readonly string[];
  /** What keeps the event loop going that Node.js knows of: timers, requests, handles. */
  readonly resources: readonly string[];
  /** Bytes of references from native code to objects; each open Readiness has one. */
  readonly globalHandles: number;
  /** How many objects there are of each kind; what V8 makes of code for itself is left out. */
  readonly objects: ReadonlyMap<string, number>;
}

/** A shared conmond that can be asked what it holds. */
export class ProbedConmond {
  readonly conmond: Conmond;
  readonly #scratch: Scratch;
  #probes = 0;

  private constructor(scratch: Scratch, conmond: Conmond) {
    this.#scratch = scratch;
    this.conmond = conmond;
  }

  static async start(scratch: Scratch): Promise<ProbedConmond> {
    const probe = join(projectRoot, "test/support/heap-probe.cjs");
    return new ProbedConmond(scratch, await startConmond(scratch, { node: ["--require", probe] }));
  }

  /** Takes some tenths of a second, in which conmond does nothing else. */
  async holdings(): Promise<Holdings> {
    const path = join(this.#scratch.temporary, String(this.#probes++));
    process.kill(this.conmond.pid, "SIGUSR2");
    await appears(`${path}.json`);
    const figures = JSON.parse(readFileSync(`${path}.json`, "utf8"));
    const snapshot = JSON.parse(readFileSync(`${path}.heapsnapshot`, "utf8"));
    rmSync(`${path}.heapsnapshot`);
    const openFiles = openFilesOf(this.conmond.pid).sort();
    return { ...figures, openFiles, objects: countObjects(snapshot) };
  }
}

/** As much as is used here of what v8.writeHeapSnapshot() writes. */
interface HeapSnapshot {
  readonly snapshot: {
    readonly meta: {
      readonly node_fields: string[];
      readonly node_types: [string[], ...unknown[]];
    };
  };
  /** The fields of all nodes, one after the other. */
  readonly nodes: number[];
  readonly strings: string[];
}

/** By type, and by class where there is one. Code and its descriptions come and go as V8 likes. */
function countObjects({ snapshot: { meta }, nodes, strings }: HeapSnapshot): Map<string, number> {
  const [typeAt, nameAt] = [meta.node_fields.indexOf("type"), meta.node_fields.indexOf("name")];
  const [types] = meta.node_types;
  const counts = new Map<string, number>();
  for (let node = 0; node < nodes.length; node += meta.node_fields.length) {
    const type = types[nodes[node + typeAt] ?? 0] ?? "";
    const name = strings[nodes[node + nameAt] ?? 0] ?? "";
    if (type === "code" || name === "system / WeakArrayList") continue;
    const kind = type.includes("string") ? "string" : `${type} ${name}`;
    counts.set(kind, (counts.get(kind) ?? 0) + 1);
  }
  return counts;
}
