/** Node.js, which conmond and conmonctl run on. */
import { runBounded } from "../programs/bounded-run.ts";
import { type Check, type Finding, fail, ok, type Patient, warn } from "./check.ts";

const OLDEST = 20;

/** A start that takes so much longer is worth a word, in milliseconds. */
const NOTEWORTHY_MS = 25;

/** Settings that have every start of Node.js take longer, or do something else. */
const SETTINGS = ["NODE_OPTIONS", "NODE_EXTRA_CA_CERTS", "NODE_V8_COVERAGE"] as const;

export const node: Check = {
  name: "node",
  alone: true,
  look: async ({ environment }: Patient) => [version(), ...(await settings(environment))],
};

function version(): Finding {
  const found = `Node.js ${process.versions.node} at ${process.execPath}`;
  const [major = 0] = process.versions.node.split(".").map(Number);
  return major >= OLDEST ? ok(found) : fail(found, `install Node.js ${OLDEST} or later`);
}

async function settings(environment: NodeJS.ProcessEnv): Promise<Finding[]> {
  const set = SETTINGS.filter((name) => environment[name]);
  if (set.length === 0) return [];
  const plain = await startTime(without(environment, set));
  const findings: Finding[] = [];
  for (const name of set) {
    const others = set.filter((other) => other !== name);
    findings.push(judge(name, plain, await startTime(without(environment, others))));
  }
  return findings;
}

function judge(name: string, plain: number | string, time: number | string): Finding {
  const advice = `unset ${name}; conmond itself never gets it from conmon or conmonctl`;
  if (typeof time === "string") return fail(`with ${name} Node.js ${time}`, advice);
  if (typeof plain === "string") return fail(`Node.js ${plain}`);
  const more = Math.round(time - plain);
  if (name === "NODE_OPTIONS" || more >= NOTEWORTHY_MS) {
    const cost = more >= NOTEWORTHY_MS ? `, which costs each start of conmonctl ${more} ms` : "";
    return warn(`${name} is set${cost}`, advice);
  }
  return ok(`${name} is set, which costs no time worth a word`);
}

function without(environment: NodeJS.ProcessEnv, names: readonly string[]): NodeJS.ProcessEnv {
  const others = Object.entries(environment).filter(([name]) => !names.includes(name));
  return Object.fromEntries(others);
}

/** The better of two starts, in milliseconds, or what went wrong. */
async function startTime(environment: NodeJS.ProcessEnv): Promise<number | string> {
  const times: number[] = [];
  for (let i = 0; i < 2; i++) {
    const { fault, milliseconds } = await runBounded(process.execPath, ["-e", "0"], {
      environment,
    });
    if (fault !== undefined) return fault;
    times.push(milliseconds);
  }
  return Math.min(...times);
}
