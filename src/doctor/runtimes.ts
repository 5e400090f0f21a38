/** OCI runtimes: which are installed, and can they start a container? */
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { basename, join } from "node:path";
import { reasonOf, runBounded } from "../programs/bounded-run.ts";
import { findProgram } from "../programs/find-program.ts";
import { makeTrialRoot } from "../programs/trial-root.ts";
import { type Check, type Finding, fail, ok, type Patient, skip } from "./check.ts";

const KNOWN = ["runc", "crun", "youki", "kata-runtime"];

export const runtimes: Check = { name: "runtime", look: lookAtRuntimes };

async function lookAtRuntimes(patient: Patient): Promise<readonly Finding[]> {
  const paths = KNOWN.flatMap((name) => findProgram(name, patient.environment) ?? []);
  if (paths.length === 0) {
    return [fail("no OCI runtime is installed", "install runc or crun")];
  }
  const findings = await Promise.all(paths.map((path) => lookAtRuntime(path, patient)));
  // One that works is enough.
  const works = findings.some(({ status }) => status === "ok");
  return findings.map((finding) =>
    works && finding.status === "fail" ? { ...finding, status: "warn" } : finding,
  );
}

async function lookAtRuntime(path: string, patient: Patient): Promise<Finding> {
  const result = await runBounded(path, ["--version"]);
  if (result.fault !== undefined) return fail(`\`${path} --version\` ${reasonOf(result)}`);
  const version = /version (\S+)/.exec(result.stdout)?.[1] ?? "of unknown version";
  const title = `${basename(path)} ${version}`;
  if (process.geteuid?.() !== 0) return skip(`${title} at ${path}: only root can try it so`);
  return await startContainer(path, title, patient);
}

/** In a root of its own, with nothing in it but a program that says something. */
async function startContainer(path: string, title: string, patient: Patient): Promise<Finding> {
  const directory = mkdtempSync(join(tmpdir(), "conmonctl-doctor-"));
  const state = ["--root", join(directory, "state")];
  const id = basename(directory);
  try {
    const trial = makeTrialRoot(join(directory, "rootfs"), patient.installation.conmon);
    if (trial === undefined) return skip(`${title}: there is no static program to run in it`);
    mkdirSync(join(directory, "bundle"));
    writeFileSync(join(directory, "bundle/config.json"), configuration(directory, trial.command));
    const args = [...state, "run", "--bundle", join(directory, "bundle"), id];
    const result = await runBounded(path, args);
    if (result.fault === undefined && result.stdout.includes(trial.expected)) {
      return ok(`${title} ran a container in ${result.milliseconds.toFixed(0)} ms`);
    }
    if (result.status !== 0) await runBounded(path, [...state, "delete", "--force", id]);
    return fail(
      `${title} cannot run a container: ${messageIn(reasonOf(result))}`,
      advise(result.stderr),
    );
  } finally {
    rmSync(directory, { recursive: true, force: true });
  }
}

/** The text of a line of runc's log. */
function messageIn(line: string): string {
  return /msg="((?:[^"\\]|\\.)*)"/.exec(line)?.[1] ?? line;
}

function advise(stderr: string): string {
  if (/hybrid/.test(stderr)) {
    return "use another runtime, or cgroups of version 2 only (systemd.unified_cgroup_hierarchy=1)";
  }
  if (/cgroup/.test(stderr)) return "see the check of cgroups";
  if (/permitted|permission/i.test(stderr))
    return "it may be inside of another container: see the privileges of that";
  return "install it again, or use another one";
}

function configuration(directory: string, command: readonly string[]): string {
  return JSON.stringify({
    ociVersion: "1.0.2",
    process: { terminal: false, user: { uid: 0, gid: 0 }, args: command, env: [], cwd: "/" },
    root: { path: join(directory, "rootfs"), readonly: true },
    mounts: [{ destination: "/proc", type: "proc", source: "proc" }],
    linux: { namespaces: ["pid", "mount", "ipc", "uts", "network"].map((type) => ({ type })) },
  });
}
