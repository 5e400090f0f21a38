/** What the doctor's checks have in common. */
import type { Installation } from "../programs/installation.ts";

/**
 * - `ok`: as it should be
 * - `warn`: works, or will, but not as well as it could
 * - `fail`: containers cannot be supervised so
 * - `skip`: there is nothing to be checked here
 */
export type CheckStatus = "ok" | "warn" | "fail" | "skip";

/** What a check has found. */
export interface Finding {
  readonly status: CheckStatus;
  /** In words, without a full stop. */
  readonly found: string;
  /** What to do about it, without a full stop. */
  readonly advice?: string;
}

/** A finding, and what it is about. */
export interface CheckResult extends Finding {
  readonly check: string;
}

/** What checks look at. */
export interface Patient {
  readonly installation: Installation;
  /** The version that this program has, which all parts should have. */
  readonly version: string;
  readonly environment: NodeJS.ProcessEnv;
}

/** Looks at one thing, and has several findings where there are several such things. */
export interface Check {
  /** A word. */
  readonly name: string;
  /** It measures times, and nothing else is done meanwhile. */
  readonly alone?: true;
  readonly look: (patient: Patient) => Promise<Finding | readonly Finding[]>;
}

export const ok = (found: string): Finding => ({ status: "ok", found });
export const skip = (found: string): Finding => ({ status: "skip", found });
export const warn = (found: string, advice?: string): Finding => withAdvice("warn", found, advice);
export const fail = (found: string, advice?: string): Finding => withAdvice("fail", found, advice);

function withAdvice(status: CheckStatus, found: string, advice: string | undefined): Finding {
  return advice === undefined ? { status, found } : { status, found, advice };
}

/** What went wrong, of whatever was thrown. */
export function messageOf(error: unknown): string {
  return error instanceof Error ? error.message : String(error);
}
