/** A process as the OCI runtime specification describes it: `process` in config.json, or a file of its own for exec. */
import { Failure } from "./failure.ts";
import type { JsonField } from "./json-field.ts";

const MOST_ID = 0xffff_fffe;
const MOST_SIDE = 0xffff;

/** A resource limit, in the units of setrlimit(2). */
export interface Limit {
  /** Such as `RLIMIT_NOFILE`. */
  readonly type: string;
  readonly soft: number;
  readonly hard: number;
}

/** Who a process is to be: as the container sees it, see {@link file://./identity.ts}. */
export interface User {
  readonly uid: number;
  readonly gid: number;
  readonly additionalGids: readonly number[];
  readonly umask: number;
}

export interface ProcessSpec {
  readonly args: readonly string[];
  readonly env: readonly string[];
  readonly cwd: string;
  readonly terminal: boolean;
  readonly consoleSize: { readonly rows: number; readonly columns: number } | undefined;
  readonly user: User;
  readonly limits: readonly Limit[];
  readonly oomScoreAdj: number | undefined;
  readonly noNewPrivileges: boolean;
}

/**
 * Reads and checks a process.
 *
 * @throws Failure that names the member that is missing or wrong
 */
export function readProcess(field: JsonField): ProcessSpec {
  const cwd = field.get("cwd").isThere ? field.get("cwd").text() : "";
  const spec = {
    args: field.get("args").texts(),
    env: field.get("env").texts(),
    cwd,
    terminal: field.get("terminal").flag(),
    consoleSize: readSize(field.get("consoleSize")),
    user: readUser(field.get("user")),
    limits: field.get("rlimits").list().map(readLimit),
    oomScoreAdj: optional(field.get("oomScoreAdj"), (score) => score.integer(-1000, 1000)),
    noNewPrivileges: field.get("noNewPrivileges").flag(),
  };
  checkProcess(spec, field.place);
  return spec;
}

/** @throws Failure for a process without a program or a directory */
export function checkProcess({ args, cwd }: ProcessSpec, place: string): void {
  if (args.length === 0) throw new Failure(`${place}.args must not be empty`);
  if (!cwd.startsWith("/")) throw new Failure(`${place}.cwd must be an absolute path`);
}

/** A variable of an environment; the last one counts. */
export function variable(env: readonly string[], name: string): string | undefined {
  const entry = env.findLast((one) => one.startsWith(`${name}=`));
  return entry?.slice(name.length + 1);
}

function optional<T>(field: JsonField, read: (field: JsonField) => T): T | undefined {
  return field.isThere ? read(field) : undefined;
}

function readUser(field: JsonField): User {
  const id = (one: JsonField) => optional(one, (there) => there.integer(0, MOST_ID)) ?? 0;
  return {
    uid: id(field.get("uid")),
    gid: id(field.get("gid")),
    additionalGids: field.get("additionalGids").list().map(id),
    // What runc gives its containers, whatever its caller's is.
    umask: optional(field.get("umask"), (mask) => mask.integer(0, 0o777)) ?? 0o022,
  };
}

function readSize(field: JsonField): ProcessSpec["consoleSize"] {
  if (!field.isThere) return undefined;
  return {
    rows: field.get("height").integer(0, MOST_SIDE),
    columns: field.get("width").integer(0, MOST_SIDE),
  };
}

function readLimit(field: JsonField): Limit {
  // Above 2^53 the number is not exact, but those are meant as "no limit".
  const number = (one: JsonField) => one.integer(0, Number.MAX_VALUE);
  return {
    type: field.get("type").text(),
    soft: number(field.get("soft")),
    hard: number(field.get("hard")),
  };
}
