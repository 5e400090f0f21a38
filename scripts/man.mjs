/** Makes `dist/man`: manual pages, from the programs' own descriptions of their command lines (src/man). */
import { execFileSync } from "node:child_process";
import { rmSync, utimesSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { MODULE_URL } from "./bundle.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));

/**
 * When the sources were as they are: a build of the same sources gives the same pages. `SOURCE_DATE_EPOCH` is for
 * archives, which have no history.
 */
function sourceDate() {
  const epoch = process.env.SOURCE_DATE_EPOCH;
  if (epoch) return new Date(Number(epoch) * 1000);
  try {
    const options = { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
    return new Date(execFileSync("git", ["log", "-1", "--format=%cI"], options).trim());
  } catch {
    return new Date();
  }
}

/** What is the same for all bundles comes from scripts/build.mjs. */
export async function buildManualPages({ bundleOptions, define, version }) {
  console.log("build: src -> dist/man");
  const { build } = await import("esbuild");
  const directory = join(root, "dist/man");
  // Beside the addon, which it loads, as all bundles do.
  const maker = join(root, `dist/man.${process.pid}.cjs`);
  const began = new Date();
  try {
    await build({
      ...bundleOptions,
      entryPoints: ["src/man/main.ts"],
      outfile: maker,
      banner: { js: MODULE_URL },
      define,
      write: true,
    });
    const date = sourceDate().toISOString().slice(0, 10);
    execFileSync(process.execPath, [maker, directory, version, date], { stdio: "inherit" });
    // The time at which it began: a source that is saved meanwhile is newer.
    utimesSync(directory, began, began);
  } finally {
    rmSync(maker, { force: true });
  }
}
