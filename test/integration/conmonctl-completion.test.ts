/** `conmonctl completion` in real shells: for a program made up for it, and for conmonctl itself. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, existsSync, mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, test } from "node:test";
import { Argument, Command, Option } from "commander";
import { bashScript } from "../../src/completion/bash.ts";
import { knownContainers } from "../../src/completion/containers.ts";
import { fishScript } from "../../src/completion/fish.ts";
import { completedCommand } from "../../src/completion/model.ts";
import { zshScript } from "../../src/completion/zsh.ts";
import { Conmonctl } from "../support/conmonctl.ts";
import { needProgram, unlessRootWith } from "../support/programs.ts";
import { conmonctlProgram, privateEnvironment, runConmonctl } from "../support/run-conmonctl.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { ShellTerminal } from "../support/shell-terminal.ts";

/** All that a command line can have. */
function makeTool(): Command {
  const tool = new Command("tool").version("1").enablePositionalOptions();
  const config = tool.command("config").alias("cf").description("it's [about]: settings");
  config.command("show").argument("<CONTAINER>", "one of them").option("--raw", "don't touch it");
  config
    .command("set")
    .addArgument(new Argument("<KEY>", "what").choices(["size", "colour"]))
    .addOption(new Option("-l, --level <LEVEL>", "how much").choices(["info", "debug", "none"]))
    .option("--name <NAME>", "a name");
  tool
    .command("exec")
    .argument("<CONTAINER>", "where")
    .argument("[COMMAND...]", "what")
    .option("-u, --user <USER>", "who");
  tool.command("start").argument("[DIR]").argument("[COMMAND...]").option("--fast", "now");
  tool.command("with").option("--runtime <RUNTIME>", "by what").option("-p <POLICY>", "when");
  tool.command("remove").argument("<CONTAINER...>", "which").option("-f, --force", "at once");
  tool.command("load").argument("<DIR>", "from where").option("--into <FILE>", "to where");
  tool.command("internal", { hidden: true }).command("complete");
  return tool;
}

/** The two that there are, as names and IDs. */
const CONTAINERS: readonly (readonly [word: string, description: string])[] = [
  ["web", "0123456789ab"],
  ["worker", "b"],
  ["0123456789ab", "web"],
];

/** A name as only monitors of others can have it: a shell must not make anything of it. */
const ODD = "odd $(touch expanded) *";

/** The made-up program, which knows containers, and its files. */
function place(scratch: Scratch, containers = CONTAINERS): Record<string, string> {
  const bin = scratch.folder("bin");
  const lines = (separator: string, count = 2) =>
    containers.map((words) => `'${words.slice(0, count).join(separator)}'`).join(" ");
  const script = [
    "#!/bin/sh",
    'case "$*" in',
    `'internal complete containers --plain') printf '%s\\n' ${lines("", 1)} ;;`,
    `'internal complete containers --tabs') printf '%s\\n' ${lines("\t")} ;;`,
    `'internal complete containers') printf '%s\\n' ${lines(":")} ;;`,
    "*) exit 1 ;;",
    "esac",
  ];
  writeFileSync(join(bin, "tool"), `${script.join("\n")}\n`);
  chmodSync(join(bin, "tool"), 0o755);
  mkdirSync(scratch.path("files/folder"), { recursive: true });
  writeFileSync(scratch.path("files/file"), "");
  const environment = privateEnvironment(scratch);
  return { ...environment, PATH: `${bin}:${environment.PATH}` };
}

const tool = completedCommand(makeTool());

/** Of a command line whose last word is being typed: what it may become, sorted. */
const CASES: readonly (readonly [line: string, words: readonly string[]])[] = [
  ["tool ", ["config", "exec", "help", "load", "remove", "start", "with", "cf"]],
  ["tool re", ["remove"]],
  ["tool config ", ["show", "set", "help"]],
  ["tool help ", ["config", "exec", "load", "remove", "start", "with"]],
  ["tool help re", ["remove"]],
  ["tool help remove ", []],
  ["tool config help se", ["set"]],
  ["tool cf sh", ["show"]],
  ["tool config show ", ["web", "worker", "0123456789ab"]],
  ["tool config show w", ["web", "worker"]],
  ["tool config show --raw w", ["web", "worker"]],
  ["tool config show web ", []],
  ["tool config show --r", ["--raw"]],
  ["tool config set ", ["size", "colour"]],
  ["tool config set --level ", ["info", "debug", "none"]],
  ["tool config set -l d", ["debug"]],
  ["tool config set --name x c", ["colour"]],
  ["tool config set --name ", []],
  ["tool remove web w", ["web", "worker"]],
  ["tool remove -f web wo", ["worker"]],
  ["tool load files/f", ["files/folder"]],
  ["tool load --into files/f", ["files/folder", "files/file"]],
  ["tool exec w", ["web", "worker"]],
  ["tool exec web mkte", ["mktemp"]],
  ["tool exec -- w", ["web", "worker"]],
  ["tool exec web -- mkte", ["mktemp"]],
  ["tool exec -u root -- w", ["web", "worker"]],
  ["tool exec -u root web -- mkte", ["mktemp"]],
  ["tool exec web ls files/f", ["files/folder", "files/file"]],
  ["tool start files/f", ["files/folder"]],
  ["tool start --f", ["--fast"]],
  ["tool start files --f", []],
  ["tool start -- mkte", ["mktemp"]],
  ["tool start --fast -- mkte", ["mktemp"]],
  ["tool start files -- mkte", ["mktemp"]],
  ["tool start -- ls files/f", ["files/folder", "files/file"]],
  ["tool with --runtime cru", ["crun"]],
  ["tool with --runtime files/f", ["files/folder", "files/file"]],
  ["tool with -p on", ["on-failure"]],
  ["tool nothing ", []],
];

const sorted = (words: readonly string[]) => [...words].sort();

describe("bash", { skip: unlessRootWith("bash") }, () => {
  for (const [line, expected] of CASES) {
    test(line, (t) => {
      const scratch = makeScratch(t);
      const environment = place(scratch);
      writeFileSync(scratch.path("script"), bashScript(tool));
      const words = line.split(" ");
      const program = [
        "source ./script",
        `COMP_WORDS=(${words.map((word) => `'${word}'`).join(" ")}) COMP_CWORD=${words.length - 1}`,
        "_tool",
        // biome-ignore lint/suspicious/noTemplateCurlyInString: it is bash's
        'for word in "${COMPREPLY[@]}"; do echo "$word"; done',
      ];
      const result = spawnSync("bash", ["--norc", "-c", program.join("\n")], {
        cwd: scratch.directory,
        env: environment,
        encoding: "utf8",
      });
      assert.equal(result.stderr, "");
      const found = result.stdout.split("\n").filter((word) => word !== "");
      assert.deepEqual(sorted([...new Set(found)]), sorted(expected));
    });
  }

  test("at a prompt", async (t) => {
    const scratch = makeScratch(t);
    const environment = place(scratch, [[ODD, ""]]);
    writeFileSync(scratch.path("script"), bashScript(tool));
    const terminal = await ShellTerminal.start(
      scratch,
      { program: needProgram("bash"), arguments: ["--norc", "--noprofile", "-i"] },
      environment,
      ["bind 'set enable-bracketed-paste off'", "source ./script"],
    );
    const whole = (keys: string, expected: string) => terminal.type(`${keys}\t`, expected);
    // Each line is completed step by step, and then thrown away.
    await whole("tool conf", "ig ");
    await whole("se", "t ");
    await whole("--level=d", "ebug ");
    await whole("co", "lour ");
    await terminal.type("\x15", "");
    await whole("tool load files/f", "older/");
    await terminal.type("\x15", "");
    await whole("tool exec o", "dd\\ \\$\\(touch\\ expanded\\)\\ \\* ");
    assert.equal(existsSync(scratch.path("expanded")), false);
  });
});

describe("fish", { skip: unlessRootWith("fish") }, () => {
  for (const [line, expected] of CASES) {
    test(line, (t) => {
      const scratch = makeScratch(t);
      const environment = place(scratch);
      writeFileSync(scratch.path("script"), fishScript(tool));
      const program = `source script; complete -C '${line}'`;
      const result = spawnSync("fish", ["--no-config", "-c", program], {
        cwd: scratch.directory,
        env: environment,
        encoding: "utf8",
      });
      assert.equal(result.stderr, "");
      const lines = result.stdout.split("\n").filter((text) => text !== "");
      const found = lines.map((text) => text.split("\t")[0]?.replace(/\/$/, "") ?? "");
      assert.deepEqual(sorted([...new Set(found)]), sorted(expected));
    });
  }

  test("--option=value, descriptions, and a name that is not expanded", (t) => {
    const scratch = makeScratch(t);
    const environment = place(scratch, [...CONTAINERS, [ODD, "c"]]);
    writeFileSync(scratch.path("script"), fishScript(tool));
    const ask = (line: string) =>
      spawnSync("fish", ["--no-config", "-c", `source script; complete -C '${line}'`], {
        cwd: scratch.directory,
        env: environment,
        encoding: "utf8",
      }).stdout;
    assert.match(ask("tool config set --level=d"), /^--level=debug\b/);
    assert.equal(ask("tool conf"), "config\tit's [about]: settings\n");
    assert.equal(ask("tool config show we"), "web\t0123456789ab\n");
    assert.equal(ask("tool config show od"), `${ODD}\tc\n`);
    assert.equal(existsSync(scratch.path("expanded")), false);
  });
});

describe("zsh", { skip: unlessRootWith("zsh") }, () => {
  async function start(scratch: Scratch): Promise<ShellTerminal> {
    const environment = place(scratch, [...CONTAINERS, [ODD, "c"]]);
    writeFileSync(scratch.path("script"), zshScript(tool));
    return await ShellTerminal.start(
      scratch,
      { program: needProgram("zsh"), arguments: ["-f", "-i"] },
      environment,
      [
        `autoload -Uz compinit; compinit -u -D -d ${scratch.path("dump")}`,
        "source ./script",
        // Lists all that is possible at once, and shows what has become of the line.
        "unsetopt list_beep auto_menu; setopt auto_list no_list_ambiguous",
        "show() { print; print -r -- \"LINE<$BUFFER>\" }; zle -N show; bindkey '^X' show",
      ],
    );
  }

  test("what there is only one of is completed", async (t) => {
    const scratch = makeScratch(t);
    const terminal = await start(scratch);
    const completed = async (line: string, expected: string) => {
      await terminal.type(`\x15${line}\t\x18`, `LINE<${expected}>`);
    };
    await completed("tool re", "tool remove ");
    await completed("tool conf", "tool config ");
    await completed("tool cf sh", "tool cf show ");
    await completed("tool config show we", "tool config show web ");
    await completed("tool config show --raw wo", "tool config show --raw worker ");
    await completed("tool config show --r", "tool config show --raw ");
    await completed("tool config set si", "tool config set size ");
    await completed("tool config set --level=d", "tool config set --level=debug ");
    await completed("tool config set --level d", "tool config set --level debug ");
    await completed("tool config set -l d", "tool config set -l debug ");
    await completed("tool config set --name x c", "tool config set --name x colour ");
    await completed("tool remove web wo", "tool remove web worker ");
    await completed("tool load files/f", "tool load files/folder/");
    await completed("tool exec web mkte", "tool exec web mktemp ");
    await completed("tool exec -- we", "tool exec -- web ");
    await completed("tool exec web -- mkte", "tool exec web -- mktemp ");
    await completed("tool exec -u root -- we", "tool exec -u root -- web ");
    await completed("tool exec --user=root -- we", "tool exec --user=root -- web ");
    await completed("tool exec -u root web -- mkte", "tool exec -u root web -- mktemp ");
    await completed("tool help re", "tool help remove ");
    await completed("tool help remove x", "tool help remove x");
    await completed("tool config help se", "tool config help set ");
    await completed("tool exec web ls files/fo", "tool exec web ls files/folder/");
    await completed("tool start files/f", "tool start files/folder/");
    await completed("tool start --f", "tool start --fast ");
    await completed("tool start files --f", "tool start files --f");
    await completed("tool start -- mkte", "tool start -- mktemp ");
    await completed("tool start --fast -- mkte", "tool start --fast -- mktemp ");
    await completed("tool start files -- mkte", "tool start files -- mktemp ");
    await completed("tool start -- ls files/fo", "tool start -- ls files/folder/");
    await completed("tool with --runtime cru", "tool with --runtime crun ");
    await completed("tool with --runtime files/fo", "tool with --runtime files/folder/");
    await completed("tool with -p on", "tool with -p on-failure ");
    await completed("tool nothing x", "tool nothing x");
    await completed(
      "tool config show od",
      "tool config show odd\\ \\$\\(touch\\ expanded\\)\\ \\* ",
    );
    assert.equal(existsSync(scratch.path("expanded")), false);
  });

  test("what there is more of is listed, with what it is", async (t) => {
    const scratch = makeScratch(t);
    const terminal = await start(scratch);
    const listed = async (line: string, ...expected: string[]) => {
      const shown = await terminal.type(`\x15${line}\t\x18`, `LINE<`);
      for (const text of expected) assert.ok(shown.includes(text), `${text} in ${shown}`);
    };
    await listed("tool ", "remove", "exec", "it's [about]: settings");
    await listed("tool config show ", "web", "worker", "0123456789ab");
    await listed("tool config set --", "--level", "how much", "--name");
    await listed("tool config set --level ", "info", "debug", "none");
    await listed("tool load --into files/f", "folder", "file");
  });
});

describe("conmonctl itself", { skip: unlessRootWith("bash", "zsh", "fish") }, () => {
  test("all three shells read its script, and complete it", (t) => {
    const scratch = makeScratch(t);
    for (const shell of ["bash", "zsh", "fish"]) {
      const script = runConmonctl(scratch, ["completion", shell]);
      assert.equal(script.status, 0, script.stderr);
      writeFileSync(scratch.path(shell), script.stdout);
      const read = spawnSync(shell, ["-n", scratch.path(shell)], { encoding: "utf8" });
      assert.deepEqual([read.status, read.stderr], [0, ""], shell);
    }
    const program =
      // biome-ignore lint/suspicious/noTemplateCurlyInString: it is bash's
      "source ./bash; COMP_WORDS=(conmonctl daemon st) COMP_CWORD=2; _conmonctl; IFS=' '; echo ${COMPREPLY[*]}";
    const options = { cwd: scratch.directory, encoding: "utf8" } as const;
    assert.equal(spawnSync("bash", ["-c", program], options).stdout, "status start stop\n");
  });

  test("containers are asked for", { skip: unlessRootWith("runc") }, async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    // Containers of other tests may run at the same time.
    const name = `${scratch.id}-web`;
    const id = await ctl.succeed("run", "--detach", "--name", name, "--", "sleep", "100");
    const short = id.slice(0, 12);
    const ask = async (...args: string[]) => {
      const words = await ctl.succeed("internal", "complete", "containers", ...args);
      return words.split("\n").filter((word) => word.includes(short) || word === name);
    };
    assert.deepEqual(await ask(), [`${name}:${short}`, `${short}:${name}`]);
    assert.deepEqual(await ask("--plain"), [name, short]);
    assert.deepEqual(await ask("--tabs"), [`${name}\t${short}`, `${short}\t${name}`]);
    assert.ok(!(await ctl.succeed("--help")).includes("internal"));
    assert.ok(conmonctlProgram.endsWith("bin/conmonctl"));
  });

  test("of a state that cannot be read nothing is said", (t) => {
    const scratch = makeScratch(t);
    writeFileSync(join(scratch.folder("state"), "containers"), "");
    const asked = runConmonctl(scratch, ["internal", "complete", "containers"]);
    assert.deepEqual([asked.status, asked.stdout, asked.stderr], [0, "", ""]);
  });

  test("of a container whose record cannot be read nothing is said", (t) => {
    const scratch = makeScratch(t);
    mkdirSync(scratch.path("state/containers/broken"), { recursive: true });
    writeFileSync(scratch.path("state/containers/broken/container.json"), "{}");
    const asked = runConmonctl(scratch, ["internal", "complete", "containers"]);
    // Containers of other tests may run at the same time.
    assert.deepEqual([asked.status, asked.stdout.includes("broken"), asked.stderr], [0, false, ""]);
  });

  test("of containers there are their names and IDs", () => {
    const [first, second, third] = ["b", "a", "c"].map((digit) => digit.repeat(64));
    const containers = [
      { id: first ?? "", name: "web" },
      { id: second ?? "", name: "db" },
      // Without a name it goes by its ID.
      { id: third ?? "", name: "c".repeat(12) },
    ];
    assert.deepEqual(
      knownContainers(containers).map(({ word, description }) => [word, description]),
      [
        ["db", "a".repeat(12)],
        ["web", "b".repeat(12)],
        ["a".repeat(12), "db"],
        ["b".repeat(12), "web"],
        ["c".repeat(12), "c".repeat(12)],
      ],
    );
  });

  test("a shell that there is not", (t) => {
    const scratch = makeScratch(t);
    const { status, stderr } = runConmonctl(scratch, ["completion", "tcsh"]);
    assert.equal(status, 2);
    assert.match(stderr, /^conmonctl: .*'tcsh' is invalid.*bash, zsh, fish/);
  });
});
