/** All commands and options: for parsing and for the help. */
import type { Command } from "./command.ts";
import type { OptionSpec } from "./command-line.ts";

const BUNDLE: OptionSpec = {
  name: "bundle",
  short: "b",
  value: "DIR",
  about: "the bundle, with its config.json (default: the working directory)",
};
const CONSOLE_SOCKET: OptionSpec = {
  name: "console-socket",
  value: "PATH",
  about: "unix socket that gets the terminal's master",
};
const PID_FILE: OptionSpec = { name: "pid-file", value: "FILE", about: "gets the process's pid" };
const PRESERVE_FDS: OptionSpec = {
  name: "preserve-fds",
  value: "N",
  about: "hand on N descriptors from 3 up",
};
const FORMAT: OptionSpec = { name: "format", short: "f", value: "FORMAT", about: "table or json" };

const ignored = (name: string, reason: string, value?: string): OptionSpec => ({
  name,
  ...(value === undefined ? {} : { value }),
  about: `ignored: ${reason}`,
});

/** Options before the command. */
export const globalOptions: readonly OptionSpec[] = [
  { name: "root", value: "DIR", about: "where state is kept (default: see docs/host-runtime.md)" },
  { name: "log", value: "FILE", about: "where own messages go (default: stderr)" },
  { name: "log-format", value: "FORMAT", about: "text or json" },
  { name: "debug", about: "tell more" },
  { name: "help", short: "h", about: "show this" },
  { name: "version", short: "v", about: "show the version" },
  ignored("systemd-cgroup", "no cgroup is made"),
  ignored("cgroup-manager", "no cgroup is made", "MANAGER"),
  ignored("rootless", "what this user may do is found out by itself", "VALUE"),
  ignored("criu", "there are no checkpoints", "PATH"),
];

const ONE_ID = { least: 1, most: 1 };

/** In the order of the help. */
export const commands: readonly Command[] = [
  {
    name: "create",
    usage: "ID",
    about: "make a process that waits for start",
    options: [
      BUNDLE,
      CONSOLE_SOCKET,
      PID_FILE,
      PRESERVE_FDS,
      ignored("no-pivot", "the root file system is the host's"),
      ignored("no-new-keyring", "the session keyring stays the caller's in any case"),
    ],
    arguments: ONE_ID,
    failurePrefix: "create failed: ",
    load: async () => (await import("./commands/create.ts")).create,
  },
  {
    name: "start",
    usage: "ID",
    about: "let it execute its program",
    options: [],
    arguments: ONE_ID,
    load: async () => (await import("./commands/start.ts")).start,
  },
  {
    name: "state",
    usage: "ID",
    about: "show its state as JSON",
    options: [],
    arguments: ONE_ID,
    load: async () => (await import("./commands/state.ts")).state,
  },
  {
    name: "kill",
    usage: "ID [SIGNAL]",
    about: "send a signal, TERM if no other is given",
    options: [
      { name: "all", short: "a", about: "to all processes that can be told to belong to it" },
    ],
    arguments: { least: 1, most: 2 },
    load: async () => (await import("./commands/kill.ts")).kill,
  },
  {
    name: "delete",
    usage: "ID",
    about: "forget it, and kill what it has left",
    options: [{ name: "force", short: "f", about: "kill it if it runs" }],
    arguments: ONE_ID,
    load: async () => (await import("./commands/delete.ts")).remove,
  },
  {
    name: "exec",
    usage: "ID [COMMAND [ARGUMENT...]]",
    about: "run another process beside it",
    options: [
      { name: "process", short: "p", value: "FILE", about: "the process as JSON" },
      { name: "detach", short: "d", about: "do not wait for its end" },
      { name: "tty", short: "t", about: "with a terminal" },
      { name: "cwd", value: "DIR", about: "its directory" },
      { name: "env", short: "e", value: "NAME=VALUE", about: "a variable; can be repeated" },
      { name: "user", short: "u", value: "UID[:GID]", about: "who it is to be" },
      { name: "additional-gids", short: "g", value: "GID", about: "can be repeated" },
      { name: "no-new-privs", about: "set-user-ID programs give it no rights" },
      CONSOLE_SOCKET,
      PID_FILE,
      PRESERVE_FDS,
      { ...ignored("cap", "capabilities are not touched", "CAPABILITY"), short: "c" },
      ignored("apparmor", "there is no confinement", "PROFILE"),
      ignored("process-label", "there is no confinement", "LABEL"),
      ignored("cgroup", "there is no cgroup", "PATH"),
      ignored("ignore-paused", "nothing can be paused"),
    ],
    arguments: { least: 1, most: Number.POSITIVE_INFINITY },
    // As runc has it, so that it is told from a status of the command's own.
    failureStatus: 255,
    failurePrefix: "exec failed: ",
    load: async () => (await import("./commands/exec.ts")).exec,
  },
  {
    name: "list",
    usage: "",
    about: "show all",
    options: [FORMAT, { name: "quiet", short: "q", about: "IDs only" }],
    arguments: { least: 0, most: 0 },
    load: async () => (await import("./commands/list.ts")).list,
  },
  {
    name: "ps",
    usage: "ID",
    about: "show the processes that can be told to belong to it",
    options: [FORMAT],
    arguments: ONE_ID,
    load: async () => (await import("./commands/ps.ts")).ps,
  },
  {
    name: "features",
    usage: "",
    about: "show as JSON what there is of the OCI runtime specification",
    options: [],
    arguments: { least: 0, most: 0 },
    load: async () => (await import("./commands/features.ts")).features,
  },
];

/** Commands of runc that make no sense here, with the reason. */
export const refusedCommands: Readonly<Record<string, string>> = {
  checkpoint: "a process without a container cannot be saved",
  restore: "a process without a container cannot be saved",
  pause: "that takes a cgroup",
  resume: "that takes a cgroup",
  update: "that takes a cgroup",
  events: "that takes a cgroup",
  run: "use create and start, or conmonctl run --runtime host",
  spec: "write one by hand, or use conmonctl run --runtime host",
};
