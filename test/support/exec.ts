import { readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Bundle, OciConfig } from "./bundle.ts";
import { type ConmonOptions, ConmonRun } from "./conmon.ts";
import type { Scratch } from "./scratch.ts";

/** What is executed in a container. Only `args` has no default. */
export interface ExecOptions extends Omit<ConmonOptions, "id" | "bundle" | "session"> {
  readonly args: readonly string[];
  /** Default: false. */
  readonly terminal?: boolean;
  /** With a directory of its own as `--bundle`, for attach socket and fifos. Default: false. */
  readonly withBundle?: boolean;
}

/** A monitor of a process that is executed in a container. */
export interface ExecRun {
  readonly run: ConmonRun;
  /** The session's directory, given as `--bundle` if that was wanted. */
  readonly directory: string;
}

/** Executes a command in a container that was made of this bundle and runs. */
export function startExec(scratch: Scratch, container: Bundle, options: ExecOptions): ExecRun {
  const session = scratch.uniqueName();
  const directory = scratch.folder("execs", session);
  const config = JSON.parse(
    readFileSync(join(container.directory, "config.json"), "utf8"),
  ) as OciConfig;
  const spec = join(directory, "process.json");
  const { args, terminal = false, withBundle = false } = options;
  writeFileSync(spec, JSON.stringify({ ...config.process, args, terminal }));
  const run = new ConmonRun(scratch, {
    ...options,
    id: container.id,
    session,
    arguments: [
      ...["--exec", `--exec-process-spec=${spec}`],
      ...(terminal ? ["--terminal"] : []),
      ...(withBundle ? ["--full-attach", `--bundle=${directory}`] : []),
      ...(options.arguments ?? []),
    ],
  });
  return { run, directory };
}
