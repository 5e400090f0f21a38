/**
 * The command line of conmon, as data: the parser, `--help` and the shim's own table follow this one.
 * The options are those of conmon 2.2.1, and `--log-opt`, which is ours.
 */

/**
 * What an option takes.
 * - `flag`: nothing
 * - `string`: a text; the last one given counts
 * - `list`: a text; may be given several times, all count, in order
 * - `int`, `int64`: a signed number of 32 or 64 bits
 * - `optional-int`: a flag that means 1, unless a number follows
 */
export type OptionKind = "flag" | "string" | "list" | "int" | "int64" | "optional-int";

interface OptionShape {
  /** The property of `Options` that holds the value; several options may share one. */
  readonly key: string;
  /** Without the dashes. */
  readonly long: string;
  /** One letter, without the dash. */
  readonly short?: string;
  readonly kind: OptionKind;
  /** What `--help` calls the value. */
  readonly metavar?: string;
  readonly description: string;
  /** Understood, but not shown by `--help`. */
  readonly hidden?: true;
}

const table = [
  {
    key: "cid",
    long: "cid",
    short: "c",
    kind: "string",
    metavar: "ID",
    description: "The container's ID. Required.",
  },
  {
    key: "cuuid",
    long: "cuuid",
    short: "u",
    kind: "string",
    metavar: "ID",
    description: "A unique ID of the session. Required, but not for --exec with API version 0.",
  },
  {
    key: "name",
    long: "name",
    short: "n",
    kind: "string",
    metavar: "NAME",
    description: "The container's name, for the logs.",
  },
  {
    key: "runtime",
    long: "runtime",
    short: "r",
    kind: "string",
    metavar: "PATH",
    description: "The OCI runtime's executable. Required.",
  },
  {
    key: "runtimeArgs",
    long: "runtime-arg",
    kind: "list",
    metavar: "ARG",
    description: "Hand ARG to the runtime, before its subcommand.",
  },
  {
    key: "runtimeOpts",
    long: "runtime-opt",
    kind: "list",
    metavar: "ARG",
    description: "Hand ARG to the runtime, after its subcommand.",
  },
  {
    key: "runtimeOpts",
    long: "restore-arg",
    kind: "list",
    metavar: "ARG",
    description: "The old name of --runtime-opt.",
    hidden: true,
  },
  {
    key: "bundle",
    long: "bundle",
    short: "b",
    kind: "string",
    metavar: "DIR",
    description:
      "The OCI bundle; for --exec, the directory of the session's socket and fifos. " +
      "Default: the working directory; for --exec: none.",
  },
  {
    key: "containerPidfile",
    long: "container-pidfile",
    short: "p",
    kind: "string",
    metavar: "FILE",
    description:
      "Where the runtime writes the pid of the container process. " +
      "Default: pidfile-<cid> in the working directory.",
  },
  {
    key: "containerPidfile",
    long: "pidfile",
    kind: "string",
    metavar: "FILE",
    description: "The old name of --container-pidfile.",
    hidden: true,
  },
  {
    key: "conmonPidfile",
    long: "conmon-pidfile",
    short: "P",
    kind: "string",
    metavar: "FILE",
    description: "Where the monitor's own pid is written.",
  },
  {
    key: "persistDir",
    long: "persist-dir",
    short: "0",
    kind: "string",
    metavar: "DIR",
    description: "Write the files exit and oom into DIR.",
  },
  {
    key: "exitDir",
    long: "exit-dir",
    kind: "string",
    metavar: "DIR",
    description: "Write the exit status into a file in DIR that is named after the container's ID.",
  },
  {
    key: "exitCommand",
    long: "exit-command",
    kind: "string",
    metavar: "PATH",
    description: "Run this program after the container's end.",
  },
  {
    key: "exitCommandArgs",
    long: "exit-command-arg",
    kind: "list",
    metavar: "ARG",
    description: "Hand ARG to the exit command.",
  },
  {
    key: "exitDelay",
    long: "exit-delay",
    kind: "int",
    metavar: "SECONDS",
    description: "Wait before the exit command is run. Default: 0.",
  },
  {
    key: "logPaths",
    long: "log-path",
    short: "l",
    kind: "list",
    metavar: "DRIVER",
    description: "Where the container's output is logged, see below. Required.",
  },
  {
    key: "logSizeMax",
    long: "log-size-max",
    kind: "int64",
    metavar: "BYTES",
    description:
      "Begin a fresh log file before the old one grows larger. Default: no limit, as for 0 and less.",
  },
  {
    key: "logGlobalSizeMax",
    long: "log-global-size-max",
    kind: "int64",
    metavar: "BYTES",
    description:
      "Drop the container's output once so much has been logged. " +
      "Default: no limit, as for 0 and less.",
  },
  {
    key: "logRotate",
    long: "log-rotate",
    kind: "flag",
    description: "Keep full log files as FILE.1, FILE.2, ..., instead of dropping them.",
  },
  {
    key: "logMaxFiles",
    long: "log-max-files",
    kind: "int",
    metavar: "N",
    description: "With --log-rotate: how many full log files are kept. Default: 1.",
  },
  {
    key: "logOptions",
    long: "log-opt",
    kind: "list",
    metavar: "NAME=VALUE",
    description:
      "A setting that conmon does not have: record-size, max-age, max-files, compress, " +
      "max-total-size, on-error, max-bytes-per-second, max-lines-per-second or on-limit. " +
      "Also in $CONMON_LOG_OPTS, separated by commas.",
  },
  {
    key: "logAllowlistDirs",
    long: "log-allowlist-dir",
    kind: "list",
    metavar: "DIR",
    description: "Allow log files below DIR only.",
  },
  {
    key: "logTag",
    long: "log-tag",
    kind: "string",
    metavar: "TAG",
    description: "Mark the records with TAG (journald).",
  },
  {
    key: "logLabels",
    long: "log-label",
    kind: "list",
    metavar: "LABEL=VALUE",
    description: "Add a field to the records (journald).",
  },
  {
    key: "noContainerPartialMessage",
    long: "no-container-partial-message",
    kind: "flag",
    description: "Do not mark the pieces of a line with CONTAINER_PARTIAL_MESSAGE (journald).",
  },
  {
    key: "noSyncLog",
    long: "no-sync-log",
    kind: "flag",
    description: "Do not wait at the end until the log is on stable storage.",
  },
  {
    key: "logLevel",
    long: "log-level",
    kind: "string",
    metavar: "LEVEL",
    description:
      "Which of the monitor's own messages are shown: error (also fatal, panic), " +
      "warn (also warning), info, debug or trace. Default: warn.",
  },
  {
    key: "syslog",
    long: "syslog",
    kind: "flag",
    description: "Send the monitor's own messages to the system log, too.",
  },
  {
    key: "terminal",
    long: "terminal",
    short: "t",
    kind: "flag",
    description: "The container has a terminal.",
  },
  {
    key: "stdin",
    long: "stdin",
    short: "i",
    kind: "flag",
    description: "Keep the container's standard input open for attached clients.",
  },
  {
    key: "leaveStdinOpen",
    long: "leave-stdin-open",
    kind: "flag",
    description: "Do not close the container's standard input when a client has closed its side.",
  },
  {
    key: "exec",
    long: "exec",
    short: "e",
    kind: "flag",
    description: "Run a further process in a container that is already there.",
  },
  {
    key: "execProcessSpec",
    long: "exec-process-spec",
    kind: "string",
    metavar: "FILE",
    description: "With --exec: the OCI process, as JSON. Required there.",
  },
  {
    key: "execAttach",
    long: "exec-attach",
    kind: "flag",
    description: "With --exec and API version 1: wait for a client before the process is started.",
  },
  {
    key: "apiVersion",
    long: "api-version",
    kind: "optional-int",
    metavar: "N",
    description: "The form of the messages on the sync pipe. Without N: 1. Default: 0.",
  },
  {
    key: "restore",
    long: "restore",
    kind: "string",
    metavar: "DIR",
    description: "Restore the container from the checkpoint in DIR.",
  },
  {
    key: "systemdCgroup",
    long: "systemd-cgroup",
    short: "s",
    kind: "flag",
    description: "Tell the runtime to let systemd manage the cgroup.",
  },
  {
    key: "noPivot",
    long: "no-pivot",
    kind: "flag",
    description: "Tell the runtime not to use pivot_root.",
  },
  {
    key: "noNewKeyring",
    long: "no-new-keyring",
    kind: "flag",
    description: "Tell the runtime not to make a new session keyring.",
  },
  {
    key: "socketDir",
    long: "socket-dir-path",
    kind: "string",
    metavar: "DIR",
    description: "Where the link to the attach socket is made. Default: /var/run/crio.",
  },
  {
    key: "fullAttach",
    long: "full-attach",
    kind: "flag",
    description: "Make the attach socket in the bundle itself and no link to it.",
  },
  {
    key: "replaceListenPid",
    long: "replace-listen-pid",
    kind: "flag",
    description: "Set LISTEN_PID, if there is one, to the runtime's pid, whatever it was.",
  },
  {
    key: "sdnotifySocket",
    long: "sdnotify-socket",
    kind: "string",
    metavar: "PATH",
    description: "Pass the container's sd-notify messages on to this socket of the host.",
  },
  {
    key: "sync",
    long: "sync",
    kind: "flag",
    description: "Stay in the foreground and leave with the container's exit status.",
  },
  {
    key: "timeout",
    long: "timeout",
    short: "T",
    kind: "int",
    metavar: "SECONDS",
    description: "Kill the container process after so long. Default: no limit, as for 0 and less.",
  },
  {
    key: "version",
    long: "version",
    kind: "flag",
    description: "Print the version and leave.",
  },
  {
    key: "help",
    long: "help",
    short: "h",
    kind: "flag",
    description: "Print this help and leave.",
  },
  {
    key: "help",
    long: "help-all",
    short: "?",
    kind: "flag",
    description: "The same as --help.",
    hidden: true,
  },
] as const satisfies readonly OptionShape[];

type Row = (typeof table)[number];

/** The properties of `Options` that options of kind `K` set. */
export type KeyOfKind<K extends OptionKind> = Extract<Row, { kind: K }>["key"];

/** One row of the table; `kind` tells the possible `key`s apart. */
export type OptionEntry = {
  [K in OptionKind]: OptionShape & { readonly kind: K; readonly key: KeyOfKind<K> };
}[OptionKind];

/** Every option that conmon understands, in the order of `--help`. */
export const OPTION_TABLE: readonly OptionEntry[] = table;

const byLongName = new Map(OPTION_TABLE.map((entry) => [entry.long, entry]));
const byShortName = new Map(
  OPTION_TABLE.flatMap((entry) => (entry.short === undefined ? [] : [[entry.short, entry]])),
);

/** The option of a name such as `log-path`, if there is one. Names cannot be shortened. */
export function findLongOption(name: string): OptionEntry | undefined {
  return byLongName.get(name);
}

/** The option of a letter such as `l`, if there is one. */
export function findShortOption(letter: string): OptionEntry | undefined {
  return byShortName.get(letter);
}

/** The options after which the next argument is an argument of its own. */
export interface FlagSpellings {
  /** Names without dashes, in the order of the table. */
  readonly long: readonly string[];
  /** Letters without dashes, in the order of the table. */
  readonly short: readonly string[];
}

/**
 * The spellings of all options that take no value, or need none. The shim has the same list in C: it
 * has to find `--sync` without knowing anything else about options.
 */
export function flagSpellings(): FlagSpellings {
  const flags = OPTION_TABLE.filter(({ kind }) => kind === "flag" || kind === "optional-int");
  return {
    long: flags.map(({ long }) => long),
    short: flags.flatMap(({ short }) => (short === undefined ? [] : [short])),
  };
}
