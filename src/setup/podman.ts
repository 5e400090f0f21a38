/**
 * Telling Podman which conmon to use, by a file in `containers.conf.d` (containers.conf(5)).
 *
 * Files there are read in the order of their names, later ones override; a user's come after the system's.
 * With `$CONTAINERS_CONF` Podman reads that file and no drop-ins at all.
 */
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { homedir, tmpdir } from "node:os";
import { join } from "node:path";
import { ContainerError } from "../containers/errors.ts";
import { reasonOf, runBounded } from "../programs/bounded-run.ts";
import { findProgram } from "../programs/find-program.ts";
import type { Installation } from "../programs/installation.ts";
import { untilUnnamed } from "../programs/processes-naming.ts";
import { makeTrialRoot } from "../programs/trial-root.ts";
import { type DropIn, readDropIn } from "./drop-in.ts";
import {
  chosenConmon,
  conmonEnvironment,
  type Engine,
  type EngineCheck,
  type SetupChoices,
  withPrefix,
} from "./engine.ts";
import { formatToml } from "./toml.ts";

/** Used if ours is not there any more: Podman takes the first that works. */
const FALLBACKS = ["/usr/libexec/podman/conmon", "/usr/bin/conmon"];

/** How long Podman may take to clean up behind a container, in milliseconds. */
const CLEANUP_MS = 5000;

const FILE_NAME = "50-conmon-ts.conf";

/** What the user can choose for Podman. */
export interface PodmanChoices extends SetupChoices {
  /** The OCI runtime of the container that is started to try it. Default: Podman's. */
  readonly runtime?: string;
}

/** For Podman as root, or as the user who asks. */
export function podmanEngine(choices: PodmanChoices, installation: Installation): Engine {
  const conmon = chosenConmon(choices, installation);
  const dropIn: DropIn = {
    path: withPrefix(choices, join(configurationDirectory(), "containers.conf.d", FILE_NAME)),
    undo: "conmonctl setup podman --remove",
    body: formatToml([
      {
        path: ["engine"],
        values: {
          conmon_path: [conmon, ...FALLBACKS.filter((path) => path !== conmon)],
          conmon_env_vars: conmonEnvironment(choices.conmond),
        },
      },
    ]),
  };
  // A Podman that is here does not read what is below a prefix, but it can be shown the file.
  const isElsewhere = choices.rootPrefix !== undefined;
  const environment = (): NodeJS.ProcessEnv =>
    isElsewhere && existsSync(dropIn.path)
      ? { ...process.env, CONTAINERS_CONF: dropIn.path }
      : process.env;
  return {
    title: "Podman",
    dropIn,
    check: () =>
      isElsewhere && !existsSync(dropIn.path)
        ? Promise.resolve({ status: "unknown", found: `there is no ${dropIn.path}` })
        : checkPodman(conmon, environment(), dropIn.path),
    trial: () => tryPodman(conmon, environment(), choices.runtime),
  };
}

function configurationDirectory(): string {
  if (process.geteuid?.() === 0) return "/etc/containers";
  return join(process.env.XDG_CONFIG_HOME || join(homedir(), ".config"), "containers");
}

/** Asks Podman which conmon it uses. */
export async function checkPodman(
  conmon: string,
  environment: NodeJS.ProcessEnv,
  dropInPath?: string,
): Promise<EngineCheck> {
  const podman = findProgram("podman", environment);
  if (podman === undefined) return { status: "unknown", found: "Podman is not installed" };
  const format = "{{.Version.Version}} {{.Host.Conmon.Path}}";
  const result = await runBounded(podman, ["info", "--format", format], { environment });
  if (result.fault !== undefined) {
    return { status: "failed", found: `\`podman info\` ${reasonOf(result)}` };
  }
  const [version, ...path] = result.stdout.trim().split(" ");
  const used = path.join(" ");
  if (used === conmon) return { status: "ok", found: `Podman ${version} uses ${used}` };
  return {
    status: "other",
    found: `Podman ${version} uses ${used}`,
    advice: dropInPath && whyNot(dropInPath, environment),
  };
}

/** Why Podman does not do what our file says, if it is there. */
function whyNot(dropInPath: string, environment: NodeJS.ProcessEnv): string | undefined {
  if (readDropIn(dropInPath) === undefined) return undefined;
  const { CONTAINERS_CONF } = environment;
  if (CONTAINERS_CONF && CONTAINERS_CONF !== dropInPath) {
    return `CONTAINERS_CONF is set, so that Podman reads ${CONTAINERS_CONF} only`;
  }
  const others = configurationFiles(environment).filter(
    (path) => path !== dropInPath && setsConmon(path),
  );
  if (others.length === 0)
    return "this Podman seems not to read containers.conf.d: it may be too old";
  return `conmon_path is also set in ${others.join(" and ")}`;
}

/** Files that Podman may read besides, in its order. */
function configurationFiles(environment: NodeJS.ProcessEnv): string[] {
  const user = join(environment.XDG_CONFIG_HOME || join(homedir(), ".config"), "containers");
  const files = ["/etc/containers", user].flatMap((directory) => [
    join(directory, "containers.conf"),
    ...filesIn(join(directory, "containers.conf.d")),
  ]);
  return [...files, environment.CONTAINERS_CONF_OVERRIDE ?? ""].filter((path) => existsSync(path));
}

function filesIn(directory: string): string[] {
  if (!existsSync(directory)) return [];
  const names = readdirSync(directory).filter((name) => name.endsWith(".conf"));
  return names.sort().map((name) => join(directory, name));
}

function setsConmon(path: string): boolean {
  try {
    return /^\s*conmon_path\s*=/m.test(readFileSync(path, "utf8"));
  } catch {
    return false; // It is only a guess for a message.
  }
}

/** Has Podman run a container in a storage of its own, which is removed afterwards. */
async function tryPodman(
  conmon: string,
  environment: NodeJS.ProcessEnv,
  runtime?: string,
): Promise<EngineCheck> {
  const podman = findProgram("podman", environment);
  if (podman === undefined) return { status: "unknown", found: "Podman is not installed" };
  const directory = mkdtempSync(join(trialPlace(), "conmonctl-"));
  try {
    const trial = makeTrialRoot(join(directory, "rootfs"), conmon);
    if (trial === undefined) {
      return { status: "unknown", found: "there is no static program to be run in a container" };
    }
    const result = await runBounded(
      podman,
      [
        ...["--root", join(directory, "storage"), "--runroot", join(directory, "run")],
        ...["--tmpdir", join(directory, "tmp"), "--storage-driver", "vfs"],
        ...["--events-backend", "file", ...(runtime === undefined ? [] : ["--runtime", runtime])],
        ...["run", "--rm", "--network", "none", "--log-driver", "k8s-file"],
        // Podman's own defaults are more than it may ask for inside of another container.
        ...["--ulimit", "nofile=1024:1024", "--ulimit", "nproc=1024:1024"],
        ...["--rootfs", join(directory, "rootfs"), ...trial.command],
      ],
      { environment, milliseconds: 30_000 },
    );
    if (result.fault !== undefined) {
      return { status: "failed", found: `\`podman run\` ${reasonOf(result)}` };
    }
    const isRight = result.stdout.includes(trial.expected);
    const took = `${Math.round(result.milliseconds)} ms`;
    return isRight
      ? { status: "ok", found: `Podman ran a container in ${took}` }
      : {
          status: "failed",
          found: `the output of a container is ${JSON.stringify(result.stdout)}`,
        };
  } finally {
    // Where the container has failed, a podman that cleans up may still be on its way.
    await untilUnnamed(directory, CLEANUP_MS);
    removeStorage(directory);
  }
}

/** Podman refuses a runroot of more than 50 characters. */
function trialPlace(): string {
  return tmpdir().length > 50 - "/conmonctl-XXXXXX/run".length ? "/tmp" : tmpdir();
}

function removeStorage(directory: string): void {
  try {
    rmSync(directory, { recursive: true, force: true });
  } catch (error) {
    throw new ContainerError("failed", `cannot remove ${directory}: ${(error as Error).message}`, {
      hint: "a container may still be there: see `podman ps -a` with --root of that directory",
      cause: error,
    });
  }
}
