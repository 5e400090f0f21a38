import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { STATUS_OF } from "../../src/conmonctl/failure.ts";
import * as library from "../../src/library/mod.ts";
import { projectRoot } from "../support/programs.ts";

const page = readFileSync(join(projectRoot, "docs/library.md"), "utf8");

/** The cells of the rows of all tables. */
const rows = page
  .split("\n")
  .filter((line) => line.startsWith("| "))
  .map((line) => line.split("|").map((cell) => cell.trim()));

test("docs/library.md speaks of every function, and of no others", () => {
  const functions = Object.entries(library).filter(([name, value]) => {
    return typeof value === "function" && /^[a-z]/.test(name);
  });
  const names = functions.map(([name]) => name).sort();
  const cells = rows.filter((cells) => cells.length === 5 && !/^`[a-z]+-/.test(cells[1] ?? ""));
  const told = cells.flatMap(([, cell = ""]) => [...cell.matchAll(/`(\w+)`/g)].map(([, n]) => n));
  const codes = Object.keys(STATUS_OF);
  assert.deepEqual(told.filter((name) => !codes.includes(name ?? "")).sort(), names);
});

test("docs/library.md has the code of every error, and what conmonctl ends with then", () => {
  for (const [code, status] of Object.entries(STATUS_OF)) {
    const row = rows.find(([, cell]) => cell === `\`${code}\``);
    assert.equal(row?.[3], String(status), code);
  }
});
