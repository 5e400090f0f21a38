import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { copyFileSync, mkdtempSync, realpathSync, rmSync, writeFileSync } from "node:fs";
import { createRequire } from "node:module";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { fileURLToPath } from "node:url";
import { build } from "esbuild";
import "../../src/sys/mod.ts";

const directory = realpathSync(mkdtempSync(join(tmpdir(), "sys-")));
after(() => rmSync(directory, { recursive: true }));

const door = fileURLToPath(new URL("../../src/sys/mod.ts", import.meta.url));
const program = `
  import * as sys from ${JSON.stringify(door)};
  const [readEnd, writeEnd] = sys.pipe();
  new sys.Readiness(readEnd, (events) => { console.log("ready", events); process.exit(0); }).watch(1);
  sys.write(writeEnd, new Uint8Array(1), 0, 1);
`;

/** The addon that this process has loaded. */
function loadedAddon(): string {
  const path = Object.keys(createRequire(import.meta.url).cache).find((name) =>
    name.endsWith("/sys.node"),
  );
  assert.ok(path, "the addon is loaded");
  return path;
}

async function bundle(name: string): Promise<string> {
  const outfile = join(directory, name, "program.mjs");
  await build({
    stdin: { contents: program, resolveDir: directory },
    outfile,
    bundle: true,
    platform: "node",
    format: "esm",
    logLevel: "error",
  });
  return outfile;
}

const run = (path: string) =>
  spawnSync(process.execPath, [path], { encoding: "utf8", timeout: 30_000 });

test("a bundled program finds the addon beside itself", async () => {
  const path = await bundle("whole");
  copyFileSync(loadedAddon(), join(directory, "whole", "sys.node"));
  const child = run(path);
  assert.deepEqual([child.stdout, child.stderr, child.status], ["ready 1\n", "", 0]);
});

test("a bundled program without the addon says how to build it", async () => {
  const child = run(await bundle("bare"));
  assert.equal(child.status, 1);
  assert.match(child.stderr, /native addon sys\.node is missing: run `npm run build`/);
  assert.ok(child.stderr.includes(join(directory, "bare", "sys.node")), child.stderr);
});

test("a bundled program with a broken addon says which, how to build it, and why", async () => {
  const path = await bundle("broken");
  const addon = join(directory, "broken", "sys.node");
  writeFileSync(addon, "no machine code\n");
  const child = run(path);
  assert.equal(child.status, 1);
  assert.ok(child.stderr.includes(`${addon} does not load: run \`npm run build\``), child.stderr);
  assert.match(child.stderr, /invalid ELF header|file too short/);
});
