/** What programs import, with a real runtime. */
import assert from "node:assert/strict";
import { execFileSync, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdirSync, symlinkSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import * as library from "../../src/library/mod.ts";
import { programPath, projectRoot, unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { inTime } from "../support/waiting.ts";

const skip = unlessRootWith("runc");

/** A state directory, whose containers are removed at the end. */
function prepare(t: TestContext): { scratch: Scratch; state: string } {
  const scratch = makeScratch(t);
  const state = scratch.path("state");
  scratch.atEnd(async () => {
    for (const { id, own } of library.list({ state })) {
      if (own) await library.remove(id, { state, force: true });
    }
  });
  return { scratch, state };
}

describe("the library", { skip }, () => {
  it("runs a container, with its output from the first byte", async (t) => {
    const { state } = prepare(t);
    const command = ["sh", "-c", "read -r x; echo got $x; exit 3"];
    const container = await library.run({ state, command, attach: true, stdin: true, name: "job" });
    await container.connection?.write(Buffer.from("hello\n"));
    let output = "";
    for await (const { data } of container.connection ?? []) output += data;
    container.connection?.close();
    assert.equal(output, "got hello\n");
    assert.equal(await container.wait(), 3);
    const lines: string[] = [];
    for await (const line of library.readLogs("job", { state })) lines.push(String(line.text));
    assert.deepEqual(lines, ["got hello"]);
  });

  it("follows logs and events until it is told to stop", async (t) => {
    const { state } = prepare(t);
    const stop = new AbortController();
    const seen: string[] = [];
    const watching = (async () => {
      const options = { state, follow: true, since: new Date(0), signal: stop.signal };
      for await (const { type } of library.events(options)) {
        seen.push(type);
        if (type === "start") stop.abort();
      }
    })();
    const command = ["sh", "-c", "echo ready; sleep 100"];
    await library.run({ state, command, name: "service" });
    await inTime(watching, () => `a start among ${seen}`);
    assert.deepEqual(seen, ["create", "start"]);
    const enough = new AbortController();
    for await (const line of library.followLogs("service", { state, signal: enough.signal })) {
      assert.equal(String(line.text), "ready");
      enough.abort();
    }
  });

  it("gives up waiting, and starting, when the signal is aborted", async (t) => {
    const { state } = prepare(t);
    await library.run({ state, command: ["sleep", "100"], name: "long" });
    assert.equal(await library.wait("long", { state, signal: AbortSignal.timeout(50) }), undefined);
    const aborted = AbortSignal.abort();
    const never = library.run({ state, command: ["sleep", "100"], name: "never", signal: aborted });
    await assert.rejects(never, { name: "AbortError" });
    assert.throws(() => library.inspect("never", { state }), { code: "not-found" });
  });

  it("starts processes, stops and removes", async (t) => {
    const { state } = prepare(t);
    await library.run({ state, command: ["sleep", "100"], name: "base" });
    const session = await library.exec("base", { state, command: ["sh", "-c", "echo in; exit 4"] });
    let output = "";
    for await (const { data } of session.connection) output += data;
    assert.deepEqual([output, await session.wait()], ["in\n", 4]);
    await assert.rejects(library.remove("base", { state }), { code: "conflict" });
    assert.equal(await library.stop("base", { state, seconds: 0 }), 137);
    await library.remove("base", { state });
    assert.deepEqual(
      library.list({ state }).filter(({ own }) => own),
      [],
    );
  });
});

describe("the package", { skip }, () => {
  for (const [example, expected] of [
    [
      "run-job.mjs",
      /^(stdout: working\nstderr: done|stderr: done\nstdout: working)\n\S+ ended with 3\n$/,
    ],
    [
      "supervise.mjs",
      /^stdout: ready\nit says: ready\nthe question ended with 0\nthe service ended with 0\ncreate \nstart \nexec \nstop \nexit 0\n$/,
    ],
  ] as const) {
    it(`has an example that works: ${example}`, async (t) => {
      const { scratch, state } = prepare(t);
      const program = join(projectRoot, "examples/library", example);
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
      const [status] = await inTime(once(child, "close"), () => `the end of ${example}: ${output}`);
      assert.match(output, expected);
      assert.equal(status, 0);
    });
  }

  it("has types that a program in TypeScript is checked with", (t) => {
    const { scratch } = prepare(t);
    // Not below the root of anything that is looked at for links.
    const directory = scratch.folder("rootfs");
    mkdirSync(join(directory, "node_modules"));
    symlinkSync(projectRoot, join(directory, "node_modules/conmon-ts"));
    writeFileSync(join(directory, "package.json"), '{"type":"module"}');
    const program = `
      import { readLogs, run, type Container } from "conmon-ts";
      const container = await run({ command: ["true"] });
      const status: number | null | undefined = await container.wait();
      for await (const { timestamp } of readLogs(container.id)) console.log(timestamp.length, status);
      export const state: Container["state"] = "running";
      // @ts-expect-error
      await run({ command: 1 });
    `;
    writeFileSync(join(directory, "program.ts"), program);
    const types = ["--types", "node", "--typeRoots", join(projectRoot, "node_modules/@types")];
    const options = [
      "--noEmit",
      "--strict",
      "--module",
      "nodenext",
      "--target",
      "es2022",
      ...types,
    ];
    const tsc = join(projectRoot, "node_modules/typescript/bin/tsc");
    execFileSync(process.execPath, [tsc, ...options, "program.ts"], { cwd: directory });
  });
});
