/** Makes all checks, in a bounded time. */
import type { Check, CheckResult, Finding, Patient } from "./check.ts";
import { fail, messageOf } from "./check.ts";

/** How long one check may take, in milliseconds; what it runs has limits of its own, which are shorter. */
const CHECK_MS = 45_000;

/** Those that measure one after the other, then all others at once. The results are in the order of the checks. */
export async function examine(
  checks: readonly Check[],
  patient: Patient,
  milliseconds: number = CHECK_MS,
): Promise<CheckResult[]> {
  const results = new Map<Check, CheckResult[]>();
  for (const check of checks.filter(({ alone }) => alone)) {
    results.set(check, await lookInTime(check, patient, milliseconds));
  }
  const others = checks.filter(({ alone }) => !alone);
  await Promise.all(
    others.map(async (check) => {
      results.set(check, await lookInTime(check, patient, milliseconds));
    }),
  );
  return checks.flatMap((check) => results.get(check) ?? []);
}

async function lookInTime(
  { name, look }: Check,
  patient: Patient,
  milliseconds: number,
): Promise<CheckResult[]> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<Finding>((resolve) => {
    timer = setTimeout(() => {
      resolve(fail(`it could not be found out within ${milliseconds / 1000} s`));
    }, milliseconds);
  });
  try {
    const found = await Promise.race([look(patient), late]);
    return (Array.isArray(found) ? found : [found]).map((finding) => ({ check: name, ...finding }));
  } catch (error) {
    return [{ check: name, ...fail(`it could not be found out: ${messageOf(error)}`) }];
  } finally {
    clearTimeout(timer);
  }
}
