/** All that the doctor has to say of this machine. */
import { build } from "../conmond/build.ts";
import { ownInstallation } from "../programs/installation.ts";
import type { Check, CheckResult, CheckStatus } from "./check.ts";
import { examine } from "./examine.ts";

/** What was found, and how bad it is. */
export interface Diagnosis {
  /** That of the worst finding. */
  readonly status: CheckStatus;
  readonly checks: readonly CheckResult[];
}

/** The later, the worse. */
const SEVERITY: readonly CheckStatus[] = ["skip", "ok", "warn", "fail"];

/** Makes the checks, in the environment and with the installation of this process. Takes a minute at most. */
export async function diagnose(checks: readonly Check[]): Promise<Diagnosis> {
  const results = await examine(checks, {
    installation: ownInstallation(),
    version: build.version,
    environment: process.env,
  });
  const most = Math.max(0, ...results.map(({ status }) => SEVERITY.indexOf(status)));
  return { status: SEVERITY[most] ?? "skip", checks: results };
}
