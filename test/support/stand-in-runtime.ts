import { chmodSync, existsSync, readdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { needProgram } from "./programs.ts";
import type { Scratch } from "./scratch.ts";

/**
 * What a stand-in does when it is to make a container, as lines of bash. The arguments have been
 * read by then: `$pid_file`, `$bundle`, `$console_socket`, `$process_spec`, `$id`.
 */
export type Behaviour = string;

const GARBAGE = Buffer.from(Array.from({ length: 256 * 255 }, (_, i) => 255 - (i % 255)));

/** Behaviours of runtimes, mostly bad ones. */
export const behaviours = {
  /**
   * Does its job: the commands, as bash reads them, are the container's process from then on. They
   * begin when the runtime has ended: of a child that ends earlier bash itself would get the status.
   */
  runs: (commands: string): Behaviour => `
gate=$calls/.gate-$$
mkfifo "$gate"
{
  read -r _ <"$gate"
  ${commands}
} &
printf '%s' "$!" >"$pid_file"
exec 9>"$gate"
rm "$gate"
exit 0`,

  /** The container's process has ended when the runtime does; its parent was the runtime. */
  runsAndWaits: (command: string): Behaviour => `
${command} &
printf '%s' "$!" >"$pid_file"
wait "$!"
exit 0`,

  /** Says something on stderr and ends with a status. */
  fails: (text: string, status = 1): Behaviour => `
printf '%s' ${quote(text)} >&2
exit ${status}`,

  /** Ends with 0 as if all were well, but no pid file is there. */
  writesNoPidFile: (text = ""): Behaviour => `
printf '%s' ${quote(text)} >&2
exit 0`,

  /** Writes a pid file that holds something else. */
  writesPidFile: (content: string): Behaviour => `
printf '%s' ${quote(content)} >"$pid_file"
exit 0`,

  /** Never ends by itself, and ignores no signal. */
  hangs: (): Behaviour => `
exec sleep 1000`,

  /** Is killed by a signal. */
  isKilled: (signal: NodeJS.Signals = "SIGKILL"): Behaviour => `
kill -${signal.slice(3)} "$$"`,

  /** Writes so much garbage to stderr, with all bytes but NUL in it, and then a last line. */
  babbles: (bytes: number, lastLine: string, status = 1): Behaviour => `
for ((i = 0; i < ${Math.ceil(bytes / GARBAGE.length)}; i++)); do
  cat "$0.garbage"
done | head -c ${bytes} >&2
printf '\\n%s' ${quote(lastLine)} >&2
exit ${status}`,
} as const;

/** A script that monitors take for an OCI runtime. */
export interface StandInRuntime {
  /** For `--runtime`. */
  readonly path: string;
  /** The directory that has a file for each call, which a test can watch. */
  readonly callsDirectory: string;
  /** What it was called with so far, in order. */
  calls(): RuntimeCall[];
}

/** One call of a stand-in. */
export interface RuntimeCall {
  readonly pid: number;
  /** Without the program's name. */
  readonly arguments: string[];
  /** `NAME=VALUE`, in order. */
  readonly environment: string[];
  /** What its descriptors from 0 up were open on, as `/proc/<pid>/fd` tells. */
  readonly descriptors: ReadonlyMap<number, string>;
}

/** Makes a runtime that does as it is told for `create`, `exec` and `restore`, and little else. */
export function makeStandInRuntime(scratch: Scratch, behaviour: Behaviour): StandInRuntime {
  const name = scratch.uniqueName();
  const path = scratch.path(`runtime-${name}`);
  const callsDirectory = scratch.folder(`runtime-${name}.calls`);
  writeFileSync(`${path}.garbage`, GARBAGE);
  writeFileSync(path, script(callsDirectory, behaviour));
  chmodSync(path, 0o755);
  return { path, callsDirectory, calls: () => readCalls(callsDirectory) };
}

function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/**
 * Job control, `set -m`, gives the container's process what a runtime does: a process group of
 * its own, the runtime's stdin, no signals ignored.
 */
function script(callsDirectory: string, behaviour: Behaviour): string {
  return `#!${needProgram("bash")}
set -m
calls=${quote(callsDirectory)}
call=$calls/.$EPOCHREALTIME-$$
ls -l /proc/$$/fd >"$call.descriptors"
cat /proc/$$/environ >"$call.environment"
printf '%s\\0' "$@" >"$call.arguments"
mv "$call.arguments" "\${call/\\/.//}.arguments"

command= pid_file= bundle= console_socket= process_spec= id=
while (($# > 0)); do
  case $1 in
    --pid-file) pid_file=$2; shift ;;
    --bundle) bundle=$2; shift ;;
    --console-socket) console_socket=$2; shift ;;
    --process) process_spec=$2; shift ;;
    --image-path | --work-path | --root) shift ;;
    -*) ;;
    *) if [[ -z $command ]]; then command=$1; else id=$1; fi ;;
  esac
  shift
done

case $command in
  create | exec | restore) ;;
  *) exit 0 ;;
esac
${behaviour}
`;
}

function readCalls(directory: string): RuntimeCall[] {
  const names = readdirSync(directory).filter((name) => /^\d.*\.arguments$/.test(name));
  const scriptPath = directory.slice(0, -".calls".length);
  return names.sort().map((name) => {
    const stem = join(directory, `.${name.slice(0, -".arguments".length)}`);
    return {
      pid: Number(name.match(/-(\d+)\./)?.[1]),
      arguments: readStrings(join(directory, name)),
      environment: readStrings(`${stem}.environment`),
      descriptors: readDescriptors(`${stem}.descriptors`, scriptPath),
    };
  });
}

function readStrings(path: string): string[] {
  return existsSync(path) ? readFileSync(path, "utf8").split("\0").slice(0, -1) : [];
}

/** Leaves out the descriptor that bash reads the script from. */
function readDescriptors(path: string, scriptPath: string): Map<number, string> {
  const entries = [...readFileSync(path, "utf8").matchAll(/ (\d+) -> (.*)$/gm)];
  const own = entries.filter(([, , target]) => target !== scriptPath);
  return new Map(own.map(([, number, target = ""]) => [Number(number), target]));
}
