/** The manual pages that the build makes: read by man's own programs, and complete. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { makeProgram } from "../../src/conmonctl/program.ts";
import { OPTION_TABLE } from "../../src/session/option-table.ts";
import { projectRoot, unlessRootWith } from "../support/programs.ts";

const skip = unlessRootWith("mandoc", "groff", "man");

const directory = join(projectRoot, "dist/man");
const names = readdirSync(directory);

/** As a terminal shows it, without bold and underlines, on one line. */
function shown(name: string): string {
  const result = spawnSync("mandoc", ["-T", "ascii", join(directory, name)], { encoding: "utf8" });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout.replace(/.[\b]/g, "").replace(/\s+/g, " ");
}

for (const name of names) {
  test(`${name} has no faults for mandoc and groff`, { skip }, () => {
    const path = join(directory, name);
    const lint = spawnSync("mandoc", ["-T", "lint", "-W", "warning", path], { encoding: "utf8" });
    assert.deepEqual([lint.status, lint.stdout], [0, ""]);
    const groff = spawnSync("groff", ["-man", "-Tutf8", "-ww", "-z", path], { encoding: "utf8" });
    assert.deepEqual([groff.status, groff.stderr], [0, ""]);
    const man = spawnSync("man", ["--warnings", "-l", "-P", "cat", path], {
      encoding: "utf8",
      env: { PATH: process.env.PATH, LC_ALL: "C.UTF-8", MANWIDTH: "80" },
    });
    assert.deepEqual([man.status, man.stderr], [0, ""]);
    assert.ok(man.stdout.includes("NAME"));
  });
}

test("there is a page for each program and each command that the help shows", () => {
  const below = (command: ReturnType<typeof makeProgram>, name: string): string[] =>
    command
      .createHelp()
      .visibleCommands(command)
      .filter((child) => child.name() !== "help")
      .flatMap((child) => {
        const own = `${name}-${child.name()}`;
        return [`${own}.1`, ...below(child, own)];
      });
  const expected = ["conmon.8", "conmond.8", "conmonctl.1", ...below(makeProgram(), "conmonctl")];
  assert.deepEqual([...names].sort(), expected.sort());
});

test("every command has examples", () => {
  for (const name of names.filter((name) => name.startsWith("conmonctl"))) {
    assert.match(readFileSync(join(directory, name), "utf8"), /^\.SH "?EXAMPLES"?$/m, name);
  }
});

test("no page has two sections of one title", () => {
  for (const name of names) {
    const titles = readFileSync(join(directory, name), "utf8").match(/^\.SH .*$/gm) ?? [];
    assert.deepEqual(titles, [...new Set(titles)], name);
  }
});

test("conmon(8) has all options", { skip }, () => {
  const text = shown("conmon.8");
  for (const { long, hidden, description } of OPTION_TABLE) {
    assert.equal(new RegExp(`--${long}[ ,]`).test(text), hidden !== true, long);
    if (hidden !== true) assert.ok(text.includes(description), description);
  }
});

test("conmond(8) has the options of conmond", { skip }, () => {
  const program = join(projectRoot, "dist/conmond.cjs");
  const { stdout } = spawnSync(process.execPath, [program, "--help"], { encoding: "utf8" });
  const options = [...stdout.matchAll(/^ {2}(?:-\w, )?(--[\w-]+)/gm)].map(([, option]) => option);
  assert.ok(options.length >= 4, stdout);
  const text = shown("conmond.8");
  for (const option of options) assert.ok(text.includes(`${option} `), option);
});

test("examples are shown as they are to be typed", { skip }, () => {
  assert.ok(
    shown("conmonctl-doctor.1").includes(
      `conmonctl doctor --json | jq '.checks[] | select(.status == "fail")'`,
    ),
  );
  assert.ok(
    shown("conmonctl-daemon.1").includes(
      "conmonctl-daemon-restart(1) Have another one take its place.",
    ),
  );
  assert.ok(
    shown("conmonctl-completion.1").includes("conmonctl completion zsh > ~/.zfunc/_conmonctl"),
  );
});

test("the package has them", () => {
  const text = readFileSync(join(projectRoot, "package.json"), "utf8");
  const { directories, files } = JSON.parse(text) as {
    directories: { man: string };
    files: string[];
  };
  assert.equal(directories.man, "dist/man");
  assert.ok(files.includes("dist"));
});
