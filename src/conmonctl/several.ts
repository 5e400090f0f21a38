/** Commands that do the same to several containers. */
import { EXIT, report } from "./failure.ts";
import { printJson, withProgress } from "./output.ts";

/** What was done to one. */
interface Result {
  readonly id: string;
  readonly name: string;
  readonly exitStatus?: number | null;
}

/**
 * Does it to all at a time, says what went wrong with each, and prints the names of those where it was done.
 * The exit status is that of the first failure.
 *
 * @param doing for the progress on a terminal, such as "stopping"
 */
export async function forEach(
  names: readonly string[],
  flags: { readonly json?: true },
  doing: string,
  work: (name: string) => Promise<Result>,
): Promise<void> {
  const done = Promise.allSettled(names.map(work));
  const outcomes = await withProgress(`${doing} ${names.join(", ")}`, done);
  const results = outcomes.flatMap((outcome) =>
    outcome.status === "fulfilled" ? [outcome.value] : [],
  );
  if (flags.json) printJson(results);
  else for (const { name } of results) process.stdout.write(`${name}\n`);
  let status: number = EXIT.ok;
  for (const outcome of outcomes) {
    if (outcome.status === "fulfilled") continue;
    const failed = report(outcome.reason);
    if (status === EXIT.ok) status = failed;
  }
  process.exitCode = status;
}
