/** Further processes beside a container of the host runtime. */
import assert from "node:assert/strict";
import { readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { spawn as spawnInTerminal } from "node-pty";
import { prepare } from "../support/host-place.ts";
import { PodmanTerminal } from "../support/podman-terminal.ts";
import { processesWith } from "../support/processes.ts";
import { hostRuntimeProgram, unlessRootWith } from "../support/programs.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith("busybox");
const NOBODY = 65534;

describe("exec of the host runtime", { skip }, () => {
  it("waits for the command and has its output and status", async (t) => {
    const { scratch, host, bundle } = prepare(t);
    const one = bundle("exec sleep 1000");
    await host.create(one);
    await host.start(one);
    const run = (...args: string[]) => host.call(["exec", ...args]);
    const plain = await run(one.id, "sh", "-c", "echo out; echo err >&2; pwd; exit 42");
    assert.deepEqual([plain.status, plain.stdout, plain.stderr], [42, "out\n/\n", "err\n"]);
    assert.equal((await run(one.id, "sh", "-c", "kill -9 $$")).status, 137);
    const options = ["--env", "A=1", "--cwd=/usr", "--user", `${NOBODY}:7`, "-g", "9"];
    const special = await run(...options, one.id, "sh", "-c", "echo $A; pwd; id -u; id -G");
    assert.equal(special.stdout, `1\n/usr\n${NOBODY}\n7 9\n`);
    const spec = scratch.path("process.json");
    writeFileSync(spec, JSON.stringify({ args: ["pwd"], cwd: "/usr", env: ["PATH=/bin"] }));
    assert.equal((await run("--process", spec, one.id)).stdout, "/usr\n");
    const missing = await run(one.id, "no-such");
    assert.equal(missing.status, 255);
    assert.match(missing.stderr, /exec: \\"no-such\\": executable file not found in \$PATH/);
    assert.match(
      (await run("--tty", one.id, "true")).stderr,
      /a terminal was asked for, but stdin is none/,
    );
  });

  it("passes signals on while it waits", async (t) => {
    const { scratch, host, bundle, file } = prepare(t);
    const one = bundle("exec sleep 1000");
    await host.create(one);
    await host.start(one);
    const script = `trap 'exit 9' TERM; echo up > ${file}; while :; do sleep 0.05; done`;
    const waiting = host.call(["exec", one.id, "sh", "-c", script]);
    await textOf(file);
    const [runtime] = processesWith(scratch.id).filter(({ command }) =>
      command.includes(`${hostRuntimeProgram} --root`),
    );
    process.kill(runtime?.pid ?? 0, "SIGTERM");
    assert.equal((await waiting).status, 9);
  });

  it("has the caller's own terminal where it waits there, and is who is interrupted", async (t) => {
    const { host, bundle } = prepare(t);
    const one = bundle("exec sleep 1000");
    await host.create(one);
    await host.start(one);
    const script =
      "trap 'echo int; exit 9' INT; stty size; tty; echo up; while :; do sleep 0.05; done";
    const args = [`--root=${host.root}`, "exec", "--tty", one.id, "sh", "-c", script];
    const spawned = spawnInTerminal(hostRuntimeProgram, args, { rows: 12, cols: 34 });
    const terminal = new PodmanTerminal(spawned, args, hostRuntimeProgram);
    await terminal.shows("up\r\n");
    terminal.type("\x03");
    const { status, output } = await terminal.end();
    assert.equal(status, 9);
    assert.match(output, /^12 34\r\n\/dev\/pts\/\d+\r\nup\r\n\^Cint\r\n$/);
  });

  it("does not remember those that have ended", async (t) => {
    const { host, bundle } = prepare(t);
    const one = bundle("exec sleep 1000");
    await host.create(one);
    await host.start(one);
    for (let i = 0; i < 5; i++) await host.mustSucceed(["exec", one.id, "true"]);
    assert.equal(readdirSync(join(host.root, one.id, "execs")).length, 1);
  });
});
