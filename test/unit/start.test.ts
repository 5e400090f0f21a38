import assert from "node:assert/strict";
import { spawn, spawnSync } from "node:child_process";
import {
  cpSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from "node:fs";
import type { Socket } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Readable } from "node:stream";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";
import { Script } from "node:vm";
import { conmondProgram, projectRoot } from "../support/programs.ts";

const codeDirectory = join(projectRoot, "dist/code");

/** The code of a program; what V8 has made of it lies beside it. */
function codeOf(directory: string, name: string): string {
  const all = readdirSync(directory).filter((file) =>
    new RegExp(`^${name}-\\w+\\.cjs$`).test(file),
  );
  assert.equal(all.length, 1, `the code of ${name}: ${all}`);
  return join(directory, String(all[0]));
}

const cacheOf = (code: string): string => code.replace(/\.cjs$/, ".cache");

describe("what V8 has made of a program at the build", () => {
  for (const name of ["conmond", "conmonctl", "host-runtime"]) {
    it(`is taken for ${name}`, () => {
      const loader = readFileSync(join(projectRoot, `dist/${name}.cjs`), "utf8");
      const [, head] = /new Script\(`([^$]*)\$/.exec(loader) ?? [];
      const code = codeOf(codeDirectory, name);
      const cachedData = readFileSync(cacheOf(code));
      const script = new Script(`${head}${readFileSync(code, "latin1")}\n})`, { cachedData });
      assert.equal(script.cachedDataRejected, false);
    });
  }

  for (const [how, damage] of [
    ["missing", unlinkSync],
    ["cut off", (path: string) => truncateSync(path, 10_000)],
  ] as const) {
    it(`is not needed: the program starts when it is ${how}`, (test) => {
      const copy = mkdtempSync(join(tmpdir(), "code-"));
      test.after(() => rmSync(copy, { recursive: true }));
      cpSync(join(projectRoot, "dist"), copy, { recursive: true });
      damage(cacheOf(codeOf(join(copy, "code"), "conmonctl")));
      const { stdout, stderr } = spawnSync(
        process.execPath,
        [join(copy, "conmonctl.cjs"), "--version"],
        {
          encoding: "utf8",
        },
      );
      assert.match(stdout, /^\d+\.\d+\.\d+\n$/);
      assert.equal(stderr, "");
    });
  }
});

describe("a private conmond", () => {
  it("loads none of the modules that take long", { timeout: 30_000 }, async (test) => {
    const directory = mkdtempSync(join(tmpdir(), "start-"));
    test.after(() => rmSync(directory, { recursive: true }));
    const list = join(directory, "list.cjs");
    const write = "require('node:fs').writeSync(1, process.moduleLoadList.join('\\n'))";
    writeFileSync(list, `process.on("exit", () => ${write});`);
    const conmond = spawn(process.execPath, ["-r", list, conmondProgram, "--private"], {
      stdio: ["ignore", "pipe", "inherit", "pipe"],
    });
    test.after(() => conmond.kill("SIGKILL"));
    // Its shim hangs up before it has said anything.
    (conmond.stdio[3] as Socket).destroy();
    const stdout = await text(conmond.stdout as Readable);
    const loaded = stdout.split("\n");
    assert.ok(loaded.includes("NativeModule fs"), stdout);
    for (const name of ["net", "tty", "stream", "zlib", "child_process", "worker_threads"]) {
      assert.ok(!loaded.includes(`NativeModule ${name}`), `${name} is loaded`);
    }
  });
});
