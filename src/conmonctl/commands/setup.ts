/** `conmonctl setup`: Podman and CRI-O are told to use our conmon. */
import { type Command, Option } from "commander";
import { ownInstallation } from "../../programs/installation.ts";
import { type SetupOutcome, setUp } from "../../setup/apply.ts";
import { type CrioChoices, crioEngine } from "../../setup/crio.ts";
import type { Engine, EngineCheck } from "../../setup/engine.ts";
import { podmanEngine } from "../../setup/podman.ts";
import { EXIT, Failure } from "../failure.ts";
import { printJson } from "../output.ts";
import { type Paint, paintFor } from "../paint.ts";

/** What both have. */
interface Options extends CrioChoices {
  readonly apply?: true;
  readonly remove?: true;
  readonly dryRun?: true;
  readonly test?: true;
  readonly json?: true;
  readonly runtime?: string;
}

export function registerSetup(program: Command): void {
  const setup = program
    .command("setup")
    .summary("have Podman or CRI-O use this conmon")
    .description("Has Podman or CRI-O use this conmon, by a configuration file of its own.")
    .addHelpText(
      "after",
      examples([
        ["conmonctl setup podman", "shows what would be written, and what Podman uses now"],
        ["conmonctl setup crio --apply", "writes it"],
      ]),
    );

  common(setup.command("podman"))
    .summary("have Podman use this conmon")
    .description("Has Podman use this conmon: for all users as root, else for this user.")
    .option("--test", "run a container as well, in a storage of its own")
    .option("--runtime <NAME>", "with --test: the OCI runtime (default: Podman's)")
    .addHelpText(
      "after",
      "\nPodman that runs as root hides XDG_RUNTIME_DIR from its monitors: without --conmond they look for a shared conmond\nat /run/conmond/conmond.sock only.",
    )
    .addHelpText(
      "after",
      examples([
        ["conmonctl setup podman", "shows what would be written, and what Podman uses now"],
        ["conmonctl setup podman --apply --test", "writes it, and runs a container"],
        [
          "conmonctl setup podman --apply --conmond auto",
          "with one conmond for all, started on demand",
        ],
        ["conmonctl setup podman --remove", "takes it away again"],
      ]),
    )
    .action((options: Options) => {
      if (options.runtime !== undefined && !options.test) {
        throw new Failure("setup podman: --runtime is for --test", { status: EXIT.usage });
      }
      return carryOut(podmanEngine(options, ownInstallation()), options);
    });

  common(setup.command("crio"))
    .summary("have CRI-O use this conmon")
    .description("Has CRI-O use this conmon.")
    .option(
      "--handler <NAME>",
      "for this runtime handler only, whose table is replaced (default: all)",
    )
    .option(
      "--runtime-path <PATH>",
      "with --handler: its OCI runtime (default: the program of that name)",
    )
    .option(
      "--monitor-cgroup <NAME>",
      "where CRI-O puts monitors: pod, or a slice such as system.slice",
    )
    .addHelpText(
      "after",
      examples([
        ["conmonctl setup crio", "shows what would be written"],
        ["conmonctl setup crio --apply && systemctl restart crio", "for all runtime handlers"],
        ["conmonctl setup crio --apply --handler crun", "for one of them"],
        ["conmonctl setup crio --remove", "takes it away again"],
      ]),
    )
    .action((options: Options) => carryOut(crioEngine(options, ownInstallation()), options));
}

function common(command: Command): Command {
  return command
    .addOption(new Option("--apply", "write the file; without it, it is only shown"))
    .addOption(
      new Option("--dry-run", "only show what would be done: the default").conflicts("apply"),
    )
    .option("--remove", "remove what --apply has written (with --dry-run: only tell)")
    .option("--conmon <PATH>", "another conmon than that of this installation")
    .option(
      "--conmond <WHICH>",
      "auto: a shared one, started on demand; private: one for each container; PATH: the shared one at that socket (default: a shared one if it is there)",
    )
    .option("--root-prefix <DIR>", "change the system that is mounted there, instead of this one")
    .option("--json", "print JSON");
}

function examples(rows: readonly (readonly [string, string])[]): string {
  const lines = rows.map(([command, what]) => `  ${command}\n      ${what}`);
  return `\nA file that somebody else has written or changed is left as it is.\n\nExit status: 1 if the engine does not work, or did not use this conmon and everything was taken back.\n\nExamples:\n${lines.join("\n")}`;
}

async function carryOut(engine: Engine, options: Options): Promise<void> {
  const outcome = await setUp(engine, {
    action: options.remove ? "remove" : "write",
    apply: options.apply ?? (options.remove === true && !options.dryRun),
    trial: options.test ?? false,
  });
  if (options.json) printJson(outcome);
  else process.stdout.write(describe(outcome, engine, paintFor(process.stdout)));
  if (isBroken(outcome.check) || isBroken(outcome.trial)) process.exitCode = 1;
}

function isBroken(check: EngineCheck | undefined): boolean {
  return check?.status === "failed";
}

function describe(outcome: SetupOutcome, engine: Engine, paint: Paint): string {
  const lines = [paint.bold(headline(outcome))];
  if (outcome.content !== undefined && outcome.action !== "none") {
    lines.push(
      "",
      ...outcome.content
        .trimEnd()
        .split("\n")
        .map((line) => `    ${line}`),
      "",
    );
  }
  lines.push(describeCheck(outcome.check, paint));
  if (outcome.trial !== undefined) lines.push(describeCheck(outcome.trial, paint));
  if (outcome.applied && engine.afterwards !== undefined) lines.push(`${engine.afterwards}.`);
  if (!outcome.applied && outcome.action !== "none") {
    lines.push(`Nothing has been changed${outcome.action === "write" ? ": --apply does it" : ""}.`);
  }
  return `${lines.join("\n")}\n`;
}

function headline({ action, applied, path, content }: SetupOutcome): string {
  if (action === "none") {
    return content === undefined ? `There is no ${path}.` : `${path} is as it should be.`;
  }
  const verbs = { write: ["Would write", "Wrote"], remove: ["Would remove", "Removed"] } as const;
  return `${verbs[action][applied ? 1 : 0]} ${path}${content !== undefined ? ":" : "."}`;
}

function describeCheck({ status, found, advice }: EngineCheck, paint: Paint): string {
  const colour = { ok: paint.green, other: paint.yellow, failed: paint.red, unknown: paint.dim };
  return `${colour[status](`${found}.`)}${advice === undefined ? "" : `\n${advice}.`}`;
}
