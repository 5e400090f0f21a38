/** Podman and CRI-O: do they use our conmon? */
import { findProgram } from "../programs/find-program.ts";
import { checkCrio } from "../setup/crio.ts";
import type { EngineCheck } from "../setup/engine.ts";
import { checkPodman } from "../setup/podman.ts";
import { type Check, type Finding, fail, ok, skip, warn } from "./check.ts";

export const podman: Check = {
  name: "podman",
  look: async ({ installation, environment }) => {
    if (findProgram("podman", environment) === undefined) return skip("Podman is not installed");
    return judge(await checkPodman(installation.conmon, environment), "podman");
  },
};

export const crio: Check = {
  name: "crio",
  look: async ({ installation, environment }) => {
    if (findProgram("crio", environment) === undefined) return skip("CRI-O is not installed");
    return judge(await checkCrio(installation.conmon, {}), "crio");
  },
};

function judge({ status, found }: EngineCheck, name: string): Finding {
  if (status === "ok") return ok(found);
  if (status === "unknown") return skip(found);
  if (status === "failed") return fail(found);
  return warn(found, `to have it use this one: conmonctl setup ${name} --apply`);
}
