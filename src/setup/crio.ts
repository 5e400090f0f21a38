/**
 * Telling CRI-O which conmon to use, by a file in `/etc/crio/crio.conf.d` (crio.conf(5)).
 *
 * There are two ways. `conmon` in `[crio.runtime]` counts for all handlers that use conmon. `monitor_path` in
 * `[crio.runtime.runtimes.NAME]` counts for that one; but a file that has such a table replaces the whole
 * table of the files before, so that everything that the handler needs has to be in it.
 */
import { existsSync } from "node:fs";
import { isAbsolute, join } from "node:path";
import { ContainerError } from "../containers/errors.ts";
import { reasonOf, runBounded } from "../programs/bounded-run.ts";
import { findProgram, isExecutableFile } from "../programs/find-program.ts";
import type { Installation } from "../programs/installation.ts";
import type { DropIn } from "./drop-in.ts";
import {
  chosenConmon,
  conmonEnvironment,
  type Engine,
  type EngineCheck,
  type SetupChoices,
  withPrefix,
} from "./engine.ts";
import { formatToml, type TomlTable } from "./toml.ts";

const DIRECTORY = "/etc/crio";
const FILE_NAME = "50-conmon-ts.conf";

/** What the user can choose for CRI-O. */
export interface CrioChoices extends SetupChoices {
  /** The only runtime handler that is to use our conmon. Default: all. */
  readonly handler?: string;
  /** With a handler: its OCI runtime. Default: the program of that name. */
  readonly runtimePath?: string;
  /** Where CRI-O puts monitors: `pod`, or a slice of systemd's. Default: as it is. */
  readonly monitorCgroup?: string;
}

export function crioEngine(choices: CrioChoices, installation: Installation): Engine {
  const conmon = chosenConmon(choices, installation);
  checkCgroup(choices.monitorCgroup);
  if (choices.runtimePath !== undefined && choices.handler === undefined) {
    throw new ContainerError("invalid", "--runtime-path is for one handler", {
      hint: "name it with --handler",
    });
  }
  const dropIn: DropIn = {
    path: withPrefix(choices, join(DIRECTORY, "crio.conf.d", FILE_NAME)),
    undo: "conmonctl setup crio --remove",
    body: formatToml([
      choices.handler === undefined
        ? forAll(choices, conmon)
        : forOne(choices, choices.handler, conmon),
    ]),
  };
  return {
    title: "CRI-O",
    dropIn,
    afterwards: "It takes effect when CRI-O is started anew: `systemctl restart crio`",
    check: () => checkCrio(conmon, choices),
  };
}

function forAll(choices: CrioChoices, conmon: string): TomlTable {
  return {
    path: ["crio", "runtime"],
    comments: ["For all runtime handlers."],
    values: {
      conmon,
      conmon_cgroup: choices.monitorCgroup,
      conmon_env: conmonEnvironment(choices.conmond),
    },
  };
}

function forOne(choices: CrioChoices, handler: string, conmon: string): TomlTable {
  if (!/^[A-Za-z0-9_.-]+$/.test(handler)) {
    throw new ContainerError(
      "invalid",
      `--handler is ${JSON.stringify(handler)}, which is no name of a handler`,
    );
  }
  const runtimePath = choices.runtimePath ?? findProgram(handler);
  if (runtimePath === undefined || !isAbsolute(runtimePath)) {
    throw new ContainerError("failed", `the OCI runtime of handler ${handler} is not known`, {
      hint: "name its absolute path with --runtime-path",
    });
  }
  // A path in a system that is mounted somewhere may be a link to what is elsewhere here.
  if (choices.rootPrefix === undefined && !isExecutableFile(runtimePath)) {
    throw new ContainerError("failed", `there is no program ${runtimePath}`, {
      hint: `name the OCI runtime of handler ${handler} with --runtime-path`,
    });
  }
  return {
    path: ["crio", "runtime", "runtimes", handler],
    comments: [
      "This replaces the whole table of the files before: add what else the handler needs,",
      "such as allowed_annotations.",
    ],
    values: {
      runtime_path: runtimePath,
      runtime_type: "oci",
      runtime_root: `/run/${handler}`,
      monitor_path: conmon,
      monitor_cgroup: choices.monitorCgroup,
      monitor_env: conmonEnvironment(choices.conmond),
    },
  };
}

function checkCgroup(cgroup: string | undefined): void {
  if (cgroup === undefined || cgroup === "pod" || /^[A-Za-z0-9_.@-]+\.slice$/.test(cgroup)) return;
  throw new ContainerError(
    "invalid",
    `--monitor-cgroup is ${JSON.stringify(cgroup)}, which is neither pod nor a slice`,
  );
}

/** Asks CRI-O for the configuration that it would run with. */
export async function checkCrio(conmon: string, choices: SetupChoices): Promise<EngineCheck> {
  const crio = findProgram("crio");
  if (crio === undefined) return { status: "unknown", found: "CRI-O is not installed" };
  const file = withPrefix(choices, join(DIRECTORY, "crio.conf"));
  const result = await runBounded(crio, [
    // A file that is not there would be looked for elsewhere.
    ...["--config", existsSync(file) ? file : "/dev/null"],
    ...["--config-dir", withPrefix(choices, join(DIRECTORY, "crio.conf.d"))],
    "config",
  ]);
  if (result.fault !== undefined) {
    return { status: "failed", found: `\`crio config\` ${reasonOf(result)}` };
  }
  const paths = monitorPaths(result.stdout);
  if (paths.includes(conmon))
    return { status: "ok", found: `CRI-O is configured to use ${conmon}` };
  const used = paths.length > 0 ? paths.join(", ") : "the conmon on its PATH";
  return { status: "other", found: `CRI-O is configured to use ${used}` };
}

/** The monitors in what `crio config` prints, where what is not set is in comments. */
export function monitorPaths(text: string): string[] {
  const lines = text.matchAll(/^\s*(?:conmon|monitor_path)\s*=\s*"([^"]+)"/gm);
  return [...new Set([...lines].map(([, path = ""]) => path))];
}
