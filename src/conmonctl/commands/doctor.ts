/** `conmonctl doctor`: what works here, and what does not. */
import { Argument, type Command } from "commander";
import { CHECKS, type CheckResult, type CheckStatus, diagnose } from "../../doctor/mod.ts";
import { EXIT } from "../failure.ts";
import { printJson } from "../output.ts";
import { type Paint, paintFor } from "../paint.ts";

const EXAMPLES = `
Exit status: 1 if something fails, 0 else; a warning is no failure. Nothing is changed; a container is started
for a moment with each OCI runtime, if it is root who asks, and a directory is made and removed where files have to
be written.

Examples:
  conmonctl doctor
  conmonctl doctor cgroups limits
  conmonctl doctor --json | jq '.checks[] | select(.status == "fail")'`;

/** After so long a process that has only something hanging left to do is ended, in milliseconds. */
const LEAVE_MS = 100;

export function registerDoctor(program: Command): void {
  program
    .command("doctor")
    .summary("look for what is missing or wrong on this machine")
    .description("Looks at all that containers need here, and says what to do.")
    .addArgument(new Argument("[CHECK...]", "only these").choices(CHECKS.map(({ name }) => name)))
    .option("--json", "print JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (names: string[], options: { json?: true }) => {
      const checks = CHECKS.filter(({ name }) => names.length === 0 || names.includes(name));
      const { status, checks: results } = await diagnose(checks);
      if (options.json) printJson({ status, checks: results });
      else process.stdout.write(describe(results, paintFor(process.stdout)));
      process.exitCode = status === "fail" ? EXIT.failed : EXIT.ok;
      // What a check has given up on must not keep us.
      setTimeout(() => process.exit(), LEAVE_MS).unref();
    });
}

function describe(results: readonly CheckResult[], paint: Paint): string {
  const marks = {
    ok: paint.green("ok  "),
    warn: paint.yellow("warn"),
    fail: paint.red("FAIL"),
    skip: paint.dim("-   "),
  };
  const width = Math.max(...results.map(({ check }) => check.length));
  let previous = "";
  const lines = results.flatMap(({ check, status, found, advice }) => {
    const name = (check === previous ? "" : check).padEnd(width);
    previous = check;
    const line = `${marks[status]}  ${paint.bold(name)}  ${found}`;
    return advice === undefined ? [line] : [line, `${" ".repeat(width + 8)}-> ${advice}`];
  });
  return `${lines.join("\n")}\n\n${summary(results)}\n`;
}

function summary(results: readonly CheckResult[]): string {
  const count = (wanted: CheckStatus) => results.filter(({ status }) => status === wanted).length;
  const parts = [`${count("ok")} ok`, `${count("warn")} to be improved`, `${count("fail")} failed`];
  return parts.filter((part) => !part.startsWith("0 ")).join(", ") || "nothing was checked";
}
