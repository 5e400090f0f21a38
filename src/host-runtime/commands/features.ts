/** `features`: what there is of the OCI runtime specification, in the form that it defines. */
import { writeFileSync } from "node:fs";
import { build } from "../../conmond/build.ts";
import type { Call } from "../command.ts";
import { HOOK_KINDS } from "../config.ts";
import { OCI_VERSION } from "../store.ts";

export function features(_call: Call): number {
  const text = JSON.stringify(
    {
      ociVersionMin: "1.0.0",
      ociVersionMax: OCI_VERSION,
      hooks: HOOK_KINDS,
      mountOptions: [],
      linux: {
        namespaces: [],
        capabilities: [],
        cgroup: { v1: false, v2: false, systemd: false, systemdUser: false },
        seccomp: { enabled: false },
        apparmor: { enabled: false },
        selinux: { enabled: false },
      },
      annotations: {
        "conmon-ts.host-runtime.version": build.version,
        "conmon-ts.host-runtime.isolation": "none",
      },
    },
    null,
    4,
  );
  writeFileSync(1, `${text}\n`);
  return 0;
}
