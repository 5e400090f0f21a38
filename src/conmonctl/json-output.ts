/**
 * What `--json` prints, field by field: part of each command's help, and so of its manual page. The types see to it
 * that no field is forgotten.
 */
import type {
  Container,
  ContainerDetails,
  ContainerEvent,
  ContainerStats,
  Usage,
} from "../containers/mod.ts";
import type { RestartOutcome, StartOutcome, StopOutcome } from "../daemon/shared.ts";
import type { DaemonStatus } from "../daemon/status.ts";
import type { CheckResult, Diagnosis } from "../doctor/mod.ts";
import type { SessionCounters } from "../session/journal-counters.ts";
import type { SetupOutcome } from "../setup/apply.ts";

/** What each field of a T means. */
type Fields<T> = Readonly<Record<keyof T, string>>;

/** What a command prints. */
export interface JsonOutput {
  /** How often, such as "an object for each line". */
  readonly form: string;
  /** Fields of fields have dots in their names. */
  readonly fields: Readonly<Record<string, string>>;
}

const AFFECTED: Fields<Pick<Container, "id" | "name">> = {
  id: "64 hexadecimal digits",
  name: "the container's name",
};

const ENDED: Fields<Pick<Container, "id" | "name" | "exitStatus">> = {
  ...AFFECTED,
  exitStatus: "null if nobody knows it, -1 if its time was up",
};

const CONTAINER: Fields<Container> = {
  ...ENDED,
  exitStatus: "null as long as it runs; -1 if its time was up",
  owner: "who started it: conmonctl, podman, crio or other",
  own: "whether it is remembered here; others are known as long as they run",
  state: "created, running, restarting, exited, or lost if nobody knows how it ended",
  pid: "of its first process, or null",
  monitorPid: "of its monitor, or null",
  outOfMemory: "whether it ran out of memory",
  created: "when it was made; times are RFC 3339, in UTC, or null",
  started: "when it was started last",
  ended: "when it ended",
  next: "when it is started again",
  restarts: "how many times it was started again",
  command: "the words of its command; null if only its configuration knows",
  bundle: "the directory of its bundle",
  runtime: "the path of its OCI runtime",
  runtimeArguments: "the runtime's global options",
  terminal: "whether it has a terminal",
  stdin: "whether it can be given input",
  logs: "the log drivers, as conmon's --log-path",
  exitFiles: "where its monitor writes the exit status",
  journal: "the monitor's memory file, or null",
};

const DETAILS: Fields<ContainerDetails> = {
  ...CONTAINER,
  attachSocket: "the path of its attach socket",
  configuration: "the config.json of its bundle, or null",
};

const EVENT: Fields<ContainerEvent> = {
  time: "RFC 3339, in UTC",
  type: "create, start, exit, oom, restart, stop, kill, exec, attach, detach or remove",
  ...AFFECTED,
  status: "exit: the exit status",
  pid: "start: of its first process",
  signal: "kill: the signal's name",
  command: "exec: the words of the command",
  delay: "restart: in how many milliseconds",
};

const USAGE: Fields<Usage> = {
  source: "cgroup, or processes if it has no cgroup of its own",
  cpu: "processor time since the start, in nanoseconds",
  memory: "in bytes, without files that are not in use",
  memoryLimit: "in bytes, or null",
  processes: "how many there are",
};

const COUNTERS: Fields<SessionCounters> = {
  bytes: "what it has written since the start",
  records: "how many records are in the first of its logs",
  droppedBytes: "what is missing in its logs",
  writeErrors: "failed attempts to write to a log",
  clients: "who is attached now",
};

const STATS: Fields<ContainerStats> = {
  time: "RFC 3339, in UTC",
  ...AFFECTED,
  cpuPercent: "of one processor, or null",
  usage: "null if it does not run",
  ...below("usage", USAGE),
  output: "null if it cannot be read",
  ...below("output", COUNTERS),
  bytesPerSecond: "what it has written in the interval, or null",
  recordsPerSecond: "what was logged of it, or null",
};

const DAEMON: Fields<DaemonStatus> = {
  socket: "its path",
  state: "running, hangs or stopped",
  pid: "of the process",
  uid: "its user",
  answerMilliseconds: "how long it took to answer",
  version: "its version",
  outdated: "whether its files have been replaced since it was started",
  startedAt: "RFC 3339, in UTC",
  uptimeSeconds: "for how long it has been running",
  sessions: "how many containers and execs it looks after",
  residentBytes: "its memory",
  privateBytes: "what of that would be free if it ended",
  commandLine: "its words",
  unit: "the systemd unit, if it is one",
  isUserUnit: "whether systemd is the user's",
};

const DAEMON_START: Fields<StartOutcome> = {
  ...DAEMON,
  started: "false if one was there already, whose fields are as those of status",
};

const DAEMON_STOP: Fields<StopOutcome> = {
  socket: "its path",
  stopped: "false if none was there",
  pid: "of the process",
  sessions: "how many containers and execs go on without it",
};

const DAEMON_RESTART: Fields<RestartOutcome> = {
  socket: "its path",
  pid: "of the new process",
  replaced: "false if none was there before",
  replacedPid: "of the process before",
  sessions: "how many containers and execs were handed over",
};

const FINDING: Fields<CheckResult> = {
  check: "which check",
  status: "ok, warn, fail, or skip if there is nothing to be checked",
  found: "in words",
  advice: "what to do about it",
};

const DIAGNOSIS: Fields<Diagnosis> = {
  status: "of the worst finding",
  checks: "the findings, in the order of the checks",
  ...below("checks[]", FINDING),
};

const CHECK = { status: "ok, other, failed or unknown", found: "in words", advice: "what to do" };

const SETUP: Fields<SetupOutcome> = {
  engine: "Podman or CRI-O",
  path: "of the file",
  state: "of the file before: absent, current, outdated, changed or foreign",
  action: "write, remove, or none if there is nothing to do",
  applied: "whether something was changed",
  content: "of the file",
  check: "what the engine uses now",
  ...below("check", CHECK),
  trial: "what became of the container, with --test; as check",
};

const EACH = "an array with an object for each container";

/** By the names of the commands. */
export const JSON_OUTPUT: Readonly<Record<string, JsonOutput>> = {
  create: { form: "an object", fields: { ...AFFECTED, pid: "of its process, which waits" } },
  run: { form: "an object", fields: { ...AFFECTED, pid: "of its first process" } },
  start: { form: EACH, fields: AFFECTED },
  ps: { form: EACH, fields: CONTAINER },
  inspect: { form: EACH, fields: DETAILS },
  logs: {
    form: "an object for each line, one a line",
    fields: {
      time: "when it was read from the container, as it is in the log: RFC 3339",
      stream: "its stream: stdout or stderr",
      text: "without its newline; bytes that are no UTF-8 are replaced",
      complete: "false for a piece of a line",
    },
  },
  exec: {
    form: "with --detach an object",
    fields: { pid: "of the process, as the host numbers it" },
  },
  stop: { form: EACH, fields: ENDED },
  kill: { form: EACH, fields: AFFECTED },
  wait: { form: EACH, fields: ENDED },
  rm: { form: EACH, fields: AFFECTED },
  prune: { form: EACH, fields: AFFECTED },
  "reopen-logs": { form: EACH, fields: AFFECTED },
  events: { form: "an object for each event, one a line", fields: EVENT },
  stats: {
    form: "an object for each container and interval, one a line; with --no-stream an array of them",
    fields: STATS,
  },
  "setup podman": { form: "an object", fields: SETUP },
  "setup crio": { form: "an object", fields: SETUP },
  "daemon status": { form: "an object; what is not known is left out", fields: DAEMON },
  "daemon start": { form: "an object; what is not known is left out", fields: DAEMON_START },
  "daemon stop": { form: "an object; what is not known is left out", fields: DAEMON_STOP },
  "daemon restart": { form: "an object; what is not known is left out", fields: DAEMON_RESTART },
  doctor: { form: "an object", fields: DIAGNOSIS },
};

/** A paragraph for the help: a line for each field. */
export function jsonHelp({ form, fields }: JsonOutput): string {
  const width = Math.max(...Object.keys(fields).map((name) => name.length));
  const rows = Object.entries(fields).map(([name, text]) => `  ${name.padEnd(width)}  ${text}`);
  return `\nJSON: ${form}\n${rows.join("\n")}`;
}

function below(name: string, fields: Readonly<Record<string, string>>): Record<string, string> {
  const entries = Object.entries(fields).map(
    ([field, text]) => [`${name}.${field}`, text] as const,
  );
  return Object.fromEntries(entries);
}
