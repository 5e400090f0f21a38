/** What belongs to the machine and not to a container: the shared conmond, Podman and CRI-O, what is missing. */

import { ContainerError } from "../containers/errors.ts";
import * as shared from "../daemon/shared.ts";
import type { DaemonStatus } from "../daemon/status.ts";
import { CHECKS, type Diagnosis, diagnose } from "../doctor/mod.ts";
import { ownInstallation } from "../programs/installation.ts";
import { type SetupOutcome, setUp } from "../setup/apply.ts";
import { type CrioChoices, crioEngine } from "../setup/crio.ts";
import { type PodmanChoices, podmanEngine } from "../setup/podman.ts";
import { attempt } from "./errors.ts";

/** Whether a drop-in file is only looked at, written, or removed. */
export interface SetupOptions {
  /** Default: `show`, which changes nothing and says what `write` would do. */
  readonly action?: "show" | "write" | "remove";
}

/**
 * Looks whether the shared conmond is there and answers.
 *
 * @throws ContainerError
 */
export async function daemonStatus(options: shared.SocketOption = {}): Promise<DaemonStatus> {
  return await attempt(() => shared.sharedStatus(options));
}

/**
 * Starts a shared conmond that outlives this program, unless one runs already.
 *
 * @throws ContainerError if it does not start within 20 s, or if one is there that hangs
 */
export async function startDaemon(options: shared.StartOptions = {}): Promise<shared.StartOutcome> {
  return await attempt(() => shared.startShared(options));
}

/**
 * Has another conmond take the place of the shared one, or starts one where there is none. No container is touched.
 *
 * @throws ContainerError if it does not start within 20 s
 */
export async function restartDaemon(
  options: shared.StartOptions = {},
): Promise<shared.RestartOutcome> {
  return await attempt(() => shared.restartShared(options));
}

/**
 * Ends the shared conmond. Its containers run on, each with a conmond of its own.
 *
 * @param options.milliseconds that it may take. Default: 10000
 * @throws ContainerError if it does not end
 */
export async function stopDaemon(
  options: shared.SocketOption & { readonly milliseconds?: number } = {},
): Promise<shared.StopOutcome> {
  return await attempt(() => shared.stopShared(options));
}

/**
 * Has Podman use this conmon, as `conmonctl setup podman` does.
 *
 * @param options.test run a container as well, in a storage of its own
 * @throws ContainerError if the file is somebody else's, or Podman does not use our conmon afterwards, in which
 *   case the change has been taken back
 */
export async function setupPodman(
  options: SetupOptions & PodmanChoices & { readonly test?: boolean } = {},
): Promise<SetupOutcome> {
  return await attempt(() =>
    setUp(podmanEngine(options, ownInstallation()), requestOf(options, options.test ?? false)),
  );
}

/**
 * Has CRI-O use this conmon, as `conmonctl setup crio` does. It takes effect when CRI-O is started anew.
 *
 * @throws ContainerError as {@link setupPodman}
 */
export async function setupCrio(options: SetupOptions & CrioChoices = {}): Promise<SetupOutcome> {
  return await attempt(() =>
    setUp(crioEngine(options, ownInstallation()), requestOf(options, false)),
  );
}

/**
 * Looks at all that containers need on this machine, as `conmonctl doctor` does. Takes a minute at most.
 *
 * @param options.checks names of checks. Default: all
 * @throws ContainerError if there is no such check
 */
export async function doctor(
  options: { readonly checks?: readonly string[] } = {},
): Promise<Diagnosis> {
  const { checks: wanted } = options;
  const names = CHECKS.map(({ name }) => name);
  const unknown = wanted?.find((name) => !names.includes(name));
  if (unknown !== undefined) {
    const hint = `there are ${names.join(", ")}`;
    throw new ContainerError("invalid", `there is no check ${unknown}`, { hint });
  }
  const chosen = CHECKS.filter(({ name }) => wanted?.includes(name) ?? true);
  return await attempt(() => diagnose(chosen));
}

function requestOf({ action = "show" }: SetupOptions, trial: boolean) {
  return {
    action: action === "remove" ? "remove" : "write",
    apply: action !== "show",
    trial,
  } as const;
}
