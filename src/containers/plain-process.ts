/** The built-in runtime `host` isolates nothing, which has to be said once: by us, or else by itself. */
import { basename } from "node:path";
import { isObject, type OciConfig } from "./oci.ts";
import type { RunOptions } from "./options.ts";

/** With this it says nothing itself: in the bundle as an annotation, in the environment as a variable. */
const QUIET = { annotation: "conmon-ts.host-runtime", variable: "CONMON_TS_HOST_RUNTIME" };

/** What can be asked for, and is not done. */
const IGNORED = {
  rootfs: "rootfs",
  memory: "memory",
  cpus: "cpus",
  mounts: "mount",
  hostname: "hostname",
  network: "network",
} as const;

/** Whether a runtime, as a path, is the one that isolates nothing. */
export function isHostRuntime(runtime: string): boolean {
  return basename(runtime) === "conmon-host-runtime";
}

/** The runtime would write its warning into the container's log. */
export function silenceRuntime(config: OciConfig): void {
  const annotations = isObject(config.annotations) ? config.annotations : {};
  config.annotations = { ...annotations, [QUIET.annotation]: "quiet" };
}

/** What the user is to be told of a container of that runtime; undefined if it was forbidden. */
export function plainProcessWarning(name: string, options: RunOptions): string | undefined {
  if (process.env[QUIET.variable] === "quiet") return undefined;
  const asked = Object.entries(IGNORED).filter(([key]) => options[key as keyof RunOptions] != null);
  const ignored = [
    ...(options.bundle === undefined ? [] : ["the bundle's root, mounts and limits"]),
    ...asked.map(([, word]) => word),
  ];
  const list = ignored.length === 0 ? "" : `; ignored: ${ignored.join(", ")}`;
  return `the host runtime isolates nothing: ${name} is a plain process of this machine${list}`;
}
