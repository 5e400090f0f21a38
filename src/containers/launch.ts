/** From a record to a container, at its first start and at each restart. */
import { mkdirSync, rmSync } from "node:fs";
import { Monitor } from "./monitor.ts";
import { commandLineProgram } from "./programs.ts";
import type { ContainerRecord } from "./record.ts";
import type { State } from "./state.ts";

/**
 * What a shell does to run the exit command once more if it was killed: it takes as long as the back-off of a restart
 * does, and nobody else would do what it has not done. It is told the monitor, whose child the shell is, to know again
 * what it has begun. One that crashes each time is given up.
 */
const UNLESS_KILLED =
  'left=5; while "$@" "$PPID"; status=$?; [ $status -gt 128 ] && [ $left -gt 0 ]; do left=$((left - 1)); done; exit $status';

/** Starts the monitor, which has the runtime make the container. */
export function launchMonitor(state: State, record: ContainerRecord): Monitor {
  const paths = state.container(record.id);
  for (const directory of [paths.exits, paths.persist]) {
    mkdirSync(directory, { recursive: true, mode: 0o700 });
  }
  mkdirSync(state.runtimeRoot(record.runtime), { recursive: true, mode: 0o700 });
  // What the run before left.
  const left = [paths.exit, paths.oom, paths.containerPid, paths.beginning];
  for (const file of left) rmSync(file, { force: true });
  return new Monitor(`cannot make container ${record.name}`, monitorArguments(state, record));
}

function monitorArguments(state: State, record: ContainerRecord): string[] {
  const paths = state.container(record.id);
  const exited = [commandLineProgram(), "internal", "exited", state.directory, record.id];
  const afterwards = ["-c", UNLESS_KILLED, "conmonctl", process.execPath, ...exited];
  return [
    ...["--api-version", "1", "--cid", record.id, "--cuuid", record.id, "--name", record.name],
    ...["--runtime", record.runtime],
    ...record.runtimeArguments.map((argument) => `--runtime-arg=${argument}`),
    ...["--bundle", paths.bundle, "--full-attach"],
    ...["--container-pidfile", paths.containerPid, "--conmon-pidfile", paths.monitorPid],
    ...["--exit-dir", paths.exits, "--persist-dir", paths.persist],
    ...(record.terminal ? ["--terminal"] : []),
    ...(record.stdin ? ["--stdin"] : []),
    ...record.logs.flatMap((log) => ["--log-path", log]),
    ...record.monitorArguments,
    ...["--exit-command", "/bin/sh"],
    ...afterwards.map((argument) => `--exit-command-arg=${argument}`),
  ];
}
