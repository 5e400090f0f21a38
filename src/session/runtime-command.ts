/** The command line of the OCI runtime. */
import type { CheckedOptions } from "./checks.ts";

/**
 * The argument vector that starts the container or the process in it, the runtime's path first.
 *
 * @param consoleSocket where the runtime is to send the terminal; with a terminal only
 */
export function runtimeCommand(options: CheckedOptions, consoleSocket?: string): string[] {
  return [
    options.runtime,
    ...(options.systemdCgroup && options.launch.kind !== "exec" ? ["--systemd-cgroup"] : []),
    ...options.runtimeArgs,
    ...subcommand(options),
    ...options.runtimeOpts,
    ...(consoleSocket === undefined ? [] : ["--console-socket", consoleSocket]),
    options.cid,
  ];
}

function subcommand(options: CheckedOptions): string[] {
  const { launch, containerPidfile } = options;
  switch (launch.kind) {
    case "create":
      return ["create", ...bundleArguments(options, launch.bundle)];
    case "restore":
      return [
        "restore",
        ...bundleArguments(options, launch.bundle),
        // A restored container runs at once: without --detach the runtime would wait for its end.
        "--detach",
        ...["--image-path", launch.checkpoint],
        ...["--work-path", launch.bundle],
      ];
    case "exec":
      return ["exec", "--pid-file", containerPidfile, "--process", launch.processSpec, "--detach"];
  }
}

function bundleArguments(options: CheckedOptions, bundle: string): string[] {
  return [
    ...["--bundle", bundle],
    ...["--pid-file", options.containerPidfile],
    ...(options.noPivot ? ["--no-pivot"] : []),
    ...(options.noNewKeyring ? ["--no-new-keyring"] : []),
  ];
}
