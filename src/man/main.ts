/** Writes the manual pages: `node ... DIRECTORY VERSION DATE`. Part of the build, not of the package. */
import { mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { manualPages } from "./pages.ts";
import { formatPage } from "./roff.ts";

async function main([directory, version, date]: readonly string[]): Promise<void> {
  if (directory === undefined || version === undefined || date === undefined) {
    throw new Error("a directory, a version and a date are needed");
  }
  mkdirSync(directory, { recursive: true });
  const written = new Set<string>();
  for (const page of await manualPages()) {
    const name = `${page.name}.${page.section}`;
    writeFileSync(join(directory, name), formatPage(page, { version, date }));
    written.add(name);
  }
  // Commands that are no more.
  for (const name of readdirSync(directory)) if (!written.has(name)) rmSync(join(directory, name));
}

main(process.argv.slice(2)).catch((error: Error) => {
  process.stderr.write(`man: ${error.stack}\n`);
  process.exitCode = 1;
});
