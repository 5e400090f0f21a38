/** The package as programs get it: packed, and installed into an empty project. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it, type TestContext } from "node:test";
import * as library from "../../src/library/mod.ts";
import { programPath, projectRoot, unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { inTime } from "../support/waiting.ts";

describe("the package", { skip: unlessRootWith("runc", "npm") }, () => {
  let folder = "";
  let project = "";

  before(() => {
    folder = mkdtempSync(join(tmpdir(), "conmon-ts-package-"));
    project = install(folder);
  });
  after(() => rmSync(folder, { recursive: true }));

  it("needs no other one", () => {
    assert.deepEqual(
      readdirSync(join(project, "node_modules")).filter((name) => !name.startsWith(".")),
      ["conmon-ts"],
    );
  });

  it("has the programs", () => {
    const programs = readdirSync(join(project, "node_modules/.bin"));
    assert.deepEqual(programs, ["conmon", "conmon-host-runtime", "conmonctl", "conmond"]);
    const { version } = JSON.parse(readFileSync(join(projectRoot, "package.json"), "utf8"));
    for (const program of ["conmonctl", "conmond"]) {
      const said = execFileSync(join(project, "node_modules/.bin", program), ["--version"]);
      assert.equal(String(said), `${version}\n`);
    }
  });

  for (const [example, expected] of [
    [
      "run-job.mjs",
      /^(stdout: working\nstderr: done|stderr: done\nstdout: working)\n\S+ ended with 3\n$/,
    ],
    [
      "supervise.mjs",
      /^stdout: ready\nit says: ready\nthe question ended with 0\nthe service ended with 0\ncreate \nstart \nexec \nstop \nexit 0\n$/,
    ],
    [
      "restart.mjs",
      /^created, process \d+\ndid the first\ndid the second\ndid the third\nit ended with 0 after 2 restarts\n$/,
    ],
  ] as const) {
    it(`has an example that works: ${example}`, async (t) => {
      const program = join(project, "node_modules/conmon-ts/examples/library", example);
      assert.match(await outputOf(t, program), expected);
    });
  }

  it("prints nothing, ends no process, and heeds no arguments and signals of its own", () => {
    const text = readFileSync(join(project, "node_modules/conmon-ts/dist/library.mjs"), "utf8");
    // What the doctor has another process do.
    const ours = text.replace(/"process\.stdout\.write\([^"]*"/, "");
    const found = ours.match(/\bconsole\.|\bprocess\.(argv|exit|on|once|std)\w*|\bcommander\b/g);
    assert.equal(found, null);
  });

  it("has examples of all kinds, and each of them is tried here", () => {
    const examples = readdirSync(join(projectRoot, "examples/library"));
    assert.deepEqual(examples, ["restart.mjs", "run-job.mjs", "supervise.mjs"]);
  });

  it("has types for the strictest of programs, which then run", async (t) => {
    writeFileSync(join(project, "program.ts"), PROGRAM);
    const tsc = join(projectRoot, "node_modules/typescript/bin/tsc");
    const types = ["--types", "node", "--typeRoots", join(projectRoot, "node_modules/@types")];
    const strict = [
      ...["--strict", "--exactOptionalPropertyTypes", "--noUncheckedIndexedAccess"],
      ...["--noPropertyAccessFromIndexSignature", "--verbatimModuleSyntax"],
    ];
    const target = ["--module", "nodenext", "--target", "es2022", "--lib", "es2022"];
    const args = [tsc, ...strict, ...target, ...types, "program.ts"];
    execFileSync(process.execPath, args, { cwd: project, stdio: ["ignore", "inherit", "inherit"] });
    assert.equal(await outputOf(t, join(project, "program.js")), "stdout hello 3 not-found\n");
  });
});

const PROGRAM = `
import {
  type Container, type ContainerErrorCode, type ContainerEvent, type ContainerStats, type LogLine,
  attach, attachToRuns, ContainerError, create, events, exec, followLogs, inspect, list, readLogs,
  remove, run, start, stats, wait,
} from "conmon-ts";

const command = ["sh", "-c", "echo hello; exit 3"] as const;
const container = await run({ command, attach: true, name: "typed" });
let output = "";
// With attach there is a connection.
for await (const { stream, data } of container.connection) output += stream + " " + data.toString();
const status: number | null = await container.wait({ signal: AbortSignal.timeout(60_000) });
const lines: LogLine[] = [];
for await (const line of readLogs("typed", { since: new Date(0), stream: "stdout" })) lines.push(line);
const state: Container["state"] = inspect("typed").state;
if (state !== "exited" || lines.length !== 1) throw new Error(state);
await remove("typed", { force: true });
let code: ContainerErrorCode | undefined;
try {
  await wait("typed");
} catch (error) {
  if (error instanceof ContainerError) code = error.code;
}
console.log(output.trim(), status, code);

/** Checked, and not called. */
export async function others(signal: AbortSignal): Promise<void> {
  const connection = attach("x", { signal });
  await connection.write("text");
  for await (const each of attachToRuns("x", { signal })) each.close();
  const session = await exec("x", { command: ["ls"], signal });
  session.kill("TERM");
  const ended: number = await session.wait({ signal });
  const made = await create({ command, restart: { when: "on-failure", most: ended } });
  await start(made.id);
  for await (const event of events({ follow: true, signal })) {
    const { type, status }: ContainerEvent = event;
    console.log(type, status);
  }
  for await (const all of stats({ interval: 1000, signal })) {
    const sizes = all.map(({ usage, output }: ContainerStats) => [usage?.memory, output?.droppedBytes]);
    console.log(sizes);
  }
  for await (const { timestamp } of followLogs("x", { tail: 10, signal })) console.log(timestamp);
  const pids: (number | null)[] = list().map(({ pid }) => pid);
  console.log(pids, inspect("x").configuration?.process.args);
  // @ts-expect-error: a command is words
  await run({ command: "ls" });
  // @ts-expect-error: without attach there may be no connection
  (await run({ command })).connection.close();
  // @ts-expect-error: no such state
  if (inspect("x").state === "dead") return;
}
`;

/** @returns the project's directory */
function install(folder: string): string {
  const project = join(folder, "project");
  mkdirSync(project);
  writeFileSync(join(project, "package.json"), '{"type":"module","private":true}');
  const npm = (cwd: string, ...args: string[]): string => {
    const environment = { PATH: programPath, HOME: folder, npm_config_update_notifier: "false" };
    return execFileSync("npm", args, { cwd, env: environment, encoding: "utf8" }).trim();
  };
  const file = npm(projectRoot, "pack", "--silent", "--pack-destination", folder);
  // Nothing is to be fetched from anywhere.
  npm(project, "install", "--offline", "--no-audit", "--no-fund", join(folder, file));
  return project;
}

/** Runs a program of the project's with a state of its own. */
async function outputOf(t: TestContext, program: string): Promise<string> {
  const scratch: Scratch = makeScratch(t);
  const state = scratch.path("state");
  scratch.atEnd(async () => {
    for (const { id, own } of library.list({ state })) {
      if (own) await library.remove(id, { state, force: true });
    }
  });
  const child = spawn(process.execPath, [program], {
    env: {
      PATH: programPath,
      TMPDIR: scratch.temporary,
      CONMON_TS_TEST: scratch.id,
      CONMON_TS_STATE: state,
      CONMOND_SOCKET: "",
    },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let output = "";
  child.stdout.setEncoding("utf8").on("data", (text) => {
    output += text;
  });
  const [status] = await inTime(once(child, "close"), () => `the end of ${program}: ${output}`);
  assert.equal(status, 0, output);
  return output;
}
