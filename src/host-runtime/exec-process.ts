/** The process that `exec` is asked for: in a file, or by options on top of the container's own. */
import { readFileSync } from "node:fs";
import type { Options } from "./command-line.ts";
import { Failure, messageOf } from "./failure.ts";
import { JsonField } from "./json-field.ts";
import { checkProcess, type ProcessSpec, readProcess, type User } from "./process-spec.ts";

/**
 * @param container the container's own process
 * @param command what follows the ID
 * @throws Failure for what is missing or makes no sense
 */
export function execProcess(
  options: Options,
  container: ProcessSpec,
  command: readonly string[],
): ProcessSpec {
  const file = options.text("process");
  if (file !== undefined) return readProcessFile(file);
  if (command.length === 0) throw new Failure("process args cannot be empty");
  const spec: ProcessSpec = {
    ...container,
    args: command,
    env: [...container.env, ...options.all("env")],
    cwd: options.text("cwd") ?? container.cwd,
    terminal: options.flag("tty"),
    consoleSize: undefined,
    user: readUser(options, container.user),
    noNewPrivileges: container.noNewPrivileges || options.flag("no-new-privs"),
  };
  checkProcess(spec, "process");
  return spec;
}

function readProcessFile(file: string): ProcessSpec {
  try {
    return readProcess(JsonField.parse(readFileSync(file, "utf8"), file));
  } catch (cause) {
    if (cause instanceof Failure) throw cause;
    throw new Failure(`the process file cannot be read: ${messageOf(cause)}`, { cause });
  }
}

function readUser(options: Options, own: User): User {
  const text = options.text("user");
  const more = options.all("additional-gids").map((gid) => number(gid, "additional-gids"));
  const additionalGids = [...own.additionalGids, ...more];
  if (text === undefined) return { ...own, additionalGids };
  const [uid = "", gid] = text.split(":");
  return {
    ...own,
    uid: number(uid, "user"),
    gid: gid === undefined ? own.gid : number(gid, "user"),
    additionalGids,
  };
}

function number(text: string, option: string): number {
  if (/^\d{1,10}$/.test(text) && Number(text) < 0xffff_ffff) return Number(text);
  throw new Failure(`--${option} takes numbers, not ${JSON.stringify(text)}`);
}
