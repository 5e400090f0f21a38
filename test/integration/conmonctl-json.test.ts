/** What `--json` prints is what its help says. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Command } from "commander";
import { JSON_OUTPUT } from "../../src/conmonctl/json-output.ts";
import { makeProgram } from "../../src/conmonctl/program.ts";
import { Conmonctl } from "../support/conmonctl.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";

describe("--json", () => {
  it("has its fields explained wherever there is one", () => {
    const names = commandsWith(makeProgram(), "--json");
    assert.deepEqual(names.sort(), Object.keys(JSON_OUTPUT).sort());
  });

  it("is a section of the help", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    const help = await ctl.succeed("daemon", "stop", "--help");
    assert.match(help, /\nJSON: an object; what is not known is left out\n {2}socket +its path\n/);
  });

  it("prints these fields, no others", { skip: unlessRootWith("runc") }, async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    const socket = ["--socket", scratch.path("no-socket")];
    const print = async (...words: string[]): Promise<unknown[]> => {
      const { stdout, status, stderr } = await ctl.run(...words, "--json");
      // There may be findings, and there is no conmond.
      assert.ok([0, 1, 3].includes(status), `${words.join(" ")}: ${stderr}`);
      return parse(stdout);
    };
    const check = async (name: string, ...words: string[]): Promise<void> => {
      const printed = await print(...name.split(" "), ...words);
      assert.ok(printed.length > 0, `${name} prints something`);
      const known = Object.keys(JSON_OUTPUT[name]?.fields ?? {});
      for (const value of printed) {
        const unknown = paths(value, known).filter((path) => !known.includes(path));
        assert.deepEqual(unknown, [], `fields of ${name}`);
        if (ALWAYS.includes(name)) assert.deepEqual(missing(value, known), [], `fields of ${name}`);
      }
    };
    const started = parse(
      await ctl.succeed("run", "-d", "--json", "--name", "one", "--", "sh", "-c", "echo x; cat"),
    );
    assert.deepEqual(Object.keys(started[0] ?? {}), Object.keys(JSON_OUTPUT.run?.fields ?? {}));
    const made = parse(await ctl.succeed("create", "--json", "--", "true"));
    assert.deepEqual(Object.keys(made[0] ?? {}), Object.keys(JSON_OUTPUT.create?.fields ?? {}));
    await ctl.succeed("wait", "one");
    await ctl.succeed("run", "-d", "--name", "two", "--", "sleep", "100");
    await check("start", "one");
    await ctl.succeed("wait", "one");
    await check("ps", "--all");
    await check("inspect", "two");
    const execed = parse(await ctl.succeed("exec", "--detach", "--json", "two", "true"));
    assert.deepEqual(Object.keys(execed[0] ?? {}), Object.keys(JSON_OUTPUT.exec?.fields ?? {}));
    await check("logs", "one");
    await check("stats", "--no-stream", "--interval", "0.05", "two");
    await check("events", "--no-follow", "--since", "1h");
    await check("reopen-logs", "two");
    await check("kill", "--signal", "CONT", "two");
    await check("stop", "--time", "0", "two");
    await check("wait", "two");
    await check("rm", "two");
    await check("prune");
    await check("doctor", "node", "clock");
    await check("setup crio", "--root-prefix", scratch.folder("system"));
    await check("setup podman", "--root-prefix", scratch.folder("system"));
    await check("daemon status", ...socket);
    await check("daemon stop", ...socket);
  });
});

/** Where nothing is left out. */
const ALWAYS = ["start", "ps", "inspect", "logs", "stats", "stop", "kill", "wait", "rm", "prune"];

/** The names of the commands below one that have the option. */
function commandsWith(command: Command, option: string, above = ""): string[] {
  return command.commands.flatMap((child) => {
    const name = `${above}${child.name()}`;
    const own = child.options.some(({ long }) => long === option) ? [name] : [];
    return [...own, ...commandsWith(child, option, `${name} `)];
  });
}

/** Objects: those of an array, or one a line. */
function parse(text: string): object[] {
  const isOneALine = /^\{.*\}$/m.test(text) && !text.startsWith("[");
  const values = isOneALine
    ? text
        .trim()
        .split("\n")
        .map((line) => JSON.parse(line))
    : JSON.parse(text);
  return Array.isArray(values) ? values : [values];
}

/** The names of an object's fields; of those fields too whose own fields are known. */
function paths(value: unknown, known: readonly string[], above = ""): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, inner]) => {
    const [first] = Array.isArray(inner) ? inner : [inner];
    const path = `${above}${key}`;
    const below = `${path}${Array.isArray(inner) ? "[]" : ""}.`;
    const isExplained = known.some((name) => name.startsWith(below));
    return [path, ...(isExplained ? paths(first, known, below) : [])];
  });
}

/** Fields without dots that are not there. */
function missing(value: unknown, known: readonly string[]): string[] {
  const there = Object.keys(value ?? {});
  return known.filter((name) => !name.includes(".") && !there.includes(name));
}
