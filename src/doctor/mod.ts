/**
 * What `conmonctl doctor` looks at.
 *
 * @module
 */
import { cgroups } from "./cgroups.ts";
import type { Check } from "./check.ts";
import { clock } from "./clock.ts";
import { conmond } from "./conmond.ts";
import { directories } from "./directories.ts";
import { crio, podman } from "./engines.ts";
import { journald } from "./journald.ts";
import { limits } from "./limits.ts";
import { node } from "./node.ts";
import { parts } from "./parts.ts";
import { runtimes } from "./runtimes.ts";
import { shim } from "./shim.ts";
import { space } from "./space.ts";

export type { Check, CheckResult, CheckStatus } from "./check.ts";
export { type Diagnosis, diagnose } from "./diagnose.ts";

/** All, in the order in which they are told. */
export const CHECKS: readonly Check[] = [
  node,
  shim,
  parts,
  runtimes,
  cgroups,
  directories,
  conmond,
  podman,
  crio,
  journald,
  limits,
  clock,
  space,
];
