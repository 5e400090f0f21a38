/** Resource limits for the processes. */
import { readFileSync } from "node:fs";
import { Failure } from "./failure.ts";
import type { Limit } from "./process-spec.ts";

/** The numbers of setrlimit(2) on Linux, apart from MIPS and SPARC, for which Node.js is not built any more. */
const NUMBERS: Readonly<Record<string, number>> = {
  RLIMIT_CPU: 0,
  RLIMIT_FSIZE: 1,
  RLIMIT_DATA: 2,
  RLIMIT_STACK: 3,
  RLIMIT_CORE: 4,
  RLIMIT_RSS: 5,
  RLIMIT_NPROC: 6,
  RLIMIT_NOFILE: 7,
  RLIMIT_MEMLOCK: 8,
  RLIMIT_AS: 9,
  RLIMIT_LOCKS: 10,
  RLIMIT_SIGPENDING: 11,
  RLIMIT_MSGQUEUE: 12,
  RLIMIT_NICE: 13,
  RLIMIT_RTPRIO: 14,
  RLIMIT_RTTIME: 15,
};

const INFINITY = 0xffff_ffff_ffff_ffffn;

/** A limit as setrlimit(2) takes it. */
export interface LimitNumbers {
  readonly resource: number;
  readonly soft: bigint;
  readonly hard: bigint;
}

/** @throws Failure for a type that there is not, and for a soft limit above the hard one */
export function numberLimit({ type, soft, hard }: Limit): LimitNumbers {
  const resource = NUMBERS[type];
  if (resource === undefined) throw new Failure(`there is no resource limit ${type}`);
  if (soft > hard) throw new Failure(`${type}: the soft limit ${soft} is above the hard ${hard}`);
  return { resource, soft: exact(soft), hard: exact(hard) };
}

function exact(value: number): bigint {
  return value >= 2 ** 63 ? INFINITY : BigInt(value);
}

/**
 * The limit of open files that our caller has. Node.js raises its own to the highest at its start, and a
 * child would inherit that: programs that close all possible descriptors would take minutes.
 *
 * @param limits the caller's /proc/PID/limits
 */
export function openFilesLimit(limits: string): LimitNumbers | undefined {
  const [, soft, hard] = /^Max open files\s+(\S+)\s+(\S+)/m.exec(limits) ?? [];
  if (soft === undefined || hard === undefined) return undefined;
  const number = (text: string) => (text === "unlimited" ? INFINITY : BigInt(text));
  return { resource: 7, soft: number(soft), hard: number(hard) };
}

/** What is set for a process: what it asks for, and our caller's number of open files if it does not ask. */
export function limitsFor(limits: readonly Limit[]): LimitNumbers[] {
  const asked = limits.map(numberLimit);
  if (asked.some(({ resource }) => resource === NUMBERS.RLIMIT_NOFILE)) return asked;
  const inherited = openFilesLimit(readOrNothing(`/proc/${process.ppid}/limits`));
  return inherited === undefined ? asked : [...asked, inherited];
}

function readOrNothing(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch {
    return ""; // The caller has gone, or is somebody whom we may not look at: then ours has to do.
  }
}
