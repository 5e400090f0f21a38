/** The parts of conmond. */
import { existsSync, readFileSync } from "node:fs";
import { reasonOf, runBounded } from "../programs/bounded-run.ts";
import { type Check, type Finding, fail, messageOf, ok, type Patient } from "./check.ts";
import { codeCache } from "./code-cache.ts";

const REBUILD = "run `npm run build`";

export const parts: Check = {
  name: "parts",
  look: async (patient) => [
    ...(await Promise.all([bundle(patient), addon(patient), framing(patient)])),
    // Of programs that are missing there is nothing to be said.
    ...(existsSync(patient.installation.conmond) ? [codeCache(patient)] : []),
  ],
};

async function bundle({ installation, version }: Patient): Promise<Finding> {
  const { conmond } = installation;
  if (!existsSync(conmond)) return fail(`${conmond} is missing`, REBUILD);
  const result = await runBounded(process.execPath, [conmond, "--version"]);
  if (result.fault !== undefined) return fail(`${conmond}: ${reasonOf(result)}`, REBUILD);
  const own = result.stdout.trim();
  if (own !== version) return fail(`${conmond} is version ${own}, conmonctl ${version}`, REBUILD);
  return ok(`conmond ${own} at ${conmond}`);
}

/** In a process of its own, since one of another version of Node.js may crash it. */
async function addon({ installation }: Patient): Promise<Finding> {
  const path = installation.addon;
  if (!existsSync(path)) return fail(`the native addon ${path} is missing`, REBUILD);
  const program = "process.stdout.write(String(Object.keys(require(process.argv[1])).length))";
  const result = await runBounded(process.execPath, ["-e", program, path]);
  if (result.fault === undefined) return ok(`the native addon has ${result.stdout} functions`);
  const said = /^Error: (.*)$/m.exec(result.stderr)?.[1] ?? reasonOf(result);
  return fail(`the native addon does not load: ${said}`, REBUILD);
}

function framing({ installation }: Patient): Finding {
  const path = installation.framing;
  if (!existsSync(path)) return fail(`${path} is missing`, REBUILD);
  try {
    new WebAssembly.Module(readFileSync(path));
    return ok("the framing of logs compiles");
  } catch (error) {
    const advice = `${REBUILD}; it takes a processor with 128-bit vectors`;
    return fail(`${path} does not compile: ${messageOf(error)}`, advice);
  }
}
