/** conmon itself, and that it finds all that it needs. */
import { readFileSync } from "node:fs";
import { reasonOf, runBounded } from "../programs/bounded-run.ts";
import { isStatic } from "../programs/elf.ts";
import { isExecutableFile } from "../programs/find-program.ts";
import { type Check, type Finding, fail, ok, type Patient, warn } from "./check.ts";

const REBUILD = "run `npm run build`";

export const shim: Check = { name: "conmon", alone: true, look: lookAtShim };

async function lookAtShim({ installation, version }: Patient): Promise<Finding[]> {
  const { conmon } = installation;
  if (!isExecutableFile(conmon)) return [fail(`there is no program ${conmon}`, REBUILD)];
  const result = await runBounded(conmon, ["--version"]);
  if (result.fault !== undefined) return [fail(`\`${conmon} --version\` ${reasonOf(result)}`)];
  const own = /^conmon-ts (.*)$/m.exec(result.stdout)?.[1];
  if (own === undefined) return [fail(`${conmon} is not conmon-ts's`, REBUILD)];
  if (own !== version) return [fail(`${conmon} is version ${own}, conmonctl ${version}`, REBUILD)];
  const took = `it says its version in ${result.milliseconds.toFixed(0)} ms`;
  const findings = [ok(`version ${own} at ${conmon}; ${took}`)];
  if (!isStatic(conmon)) {
    const advice = "install a static libc (Fedora: glibc-static) and build again";
    findings.push(warn("it is linked dynamically, and takes twice the memory", advice));
  }
  return [...findings, await wholeWay(conmon)];
}

/** `--help` is what conmond says: so it takes Node.js, the bundle, the addon and the way to them. */
async function wholeWay(conmon: string): Promise<Finding> {
  // A shared conmond would be asked, else. What conmon hands on to a private one is its own choice.
  const environment = { ...process.env, CONMOND_SOCKET: "" };
  const result = await runBounded(conmon, ["--help"], { environment, milliseconds: 20_000 });
  const time = result.milliseconds.toFixed(0);
  if (result.fault === undefined && result.stdout.includes("--cid")) {
    return ok(`it starts a private conmond, which answers after ${time} ms`);
  }
  const compiled = nodePaths(conmon);
  const missing = compiled.filter((path) => !isExecutableFile(path));
  const advice =
    missing.length === compiled.length
      ? `install Node.js at one of ${compiled.join(", ")}, or build again with the one that is there`
      : "the checks of its parts say which one is at fault; else see syslog";
  return fail(`conmon cannot have a private conmond do anything: ${reasonOf(result)}`, advice);
}

/** Where the shim looks for Node.js: paths that have been compiled into it. */
export function nodePaths(conmon: string): string[] {
  const text = readFileSync(conmon, "latin1");
  const found = [...text.matchAll(/(?<=\0)(\/[\x21-\x7e]+\/node)(?=\0)/g)].map(([path]) => path);
  return [...new Set(found)];
}
