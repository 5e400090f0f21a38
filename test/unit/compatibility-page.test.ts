import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { OPTION_TABLE } from "../../src/session/option-table.ts";
import { projectRoot } from "../support/programs.ts";

const page = readFileSync(join(projectRoot, "docs/compatibility.md"), "utf8");

test("docs/compatibility.md speaks of every option", () => {
  const missing = OPTION_TABLE.filter(({ long }) => !page.includes(`\`--${long}\``));
  assert.deepEqual(
    missing.map(({ long }) => long),
    [],
  );
});

test("docs/compatibility.md names tests that exist", () => {
  const rows = page
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.includes("shown by"));
  const cells = rows.map((row) => row.split(/(?<!\\)\|/).at(-2) ?? "");
  const names = new Set(
    cells.flatMap((cell) => [...cell.matchAll(/`([^`]+)`/g)].map(([, n]) => n)),
  );
  const folders = ["unit", "integration"];
  const missing = [...names].filter(
    (name) => !folders.some((f) => existsSync(join(projectRoot, "test", f, `${name}.test.ts`))),
  );
  assert.deepEqual(missing, []);
});
