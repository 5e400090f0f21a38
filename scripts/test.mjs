/**
 * Runs the tests and closes with the line `N passed, N failed` (`, N skipped` if there were any).
 *
 *     node scripts/test.mjs [PART OF A FILE'S PATH...]
 *
 * The exit status is 1 if a test failed or none ran, and with CI=true also if one was skipped,
 * which then counts as failed: there, everything that the tests need has to be installed.
 */
import { spawn, spawnSync } from "node:child_process";
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, relative, resolve } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { Tally } from "./test-tally.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const STAGES = ["test/unit", "test/integration", "test/podman"];
/** For one test file as a whole, in milliseconds. */
const FILE_DEADLINE = 600_000;
const isCi = process.env.CI === "true";

const colour = (code) => (text) => (process.stdout.isTTY ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, red, green, yellow, dim] = [1, 31, 32, 33, 2].map(colour);
const MARKS = { passed: green("ok  "), failed: red("FAIL"), skipped: yellow("skip") };

function testFiles(folder, parts) {
  const names = readdirSync(join(root, folder)).filter((name) => name.endsWith(".test.ts"));
  const paths = names.sort().map((name) => join(folder, name));
  if (parts.length === 0) return paths;
  return paths.filter((path) => parts.some((part) => path.includes(part)));
}

/** Runs the files of a stage, two at a time, and hands each event on as it comes. */
async function runFiles(files, onEvent) {
  const child = spawn(
    process.execPath,
    [
      ...["--import", "tsx", "--test", "--test-concurrency=2", `--test-timeout=${FILE_DEADLINE}`],
      `--test-reporter=${join(root, "scripts/test-events.mjs")}`,
      ...["--test-reporter-destination=stdout", ...files],
    ],
    { cwd: root, stdio: ["ignore", "pipe", "inherit"] },
  );
  const ended = new Promise((resolve, reject) => {
    child.on("error", reject);
    child.on("close", (status, signal) => resolve(signal ?? status));
  });
  for await (const line of createInterface({ input: child.stdout })) onEvent(JSON.parse(line));
  return ended;
}

function indent(text, by) {
  return text.replace(/^(?=.)/gm, " ".repeat(by));
}

/** Prints events for people; `Tally` says what they mean. */
class Report {
  #file;
  /** The titles of the tests that are under way, from the outermost inwards. */
  #titles = [];
  /** How many of these have been printed. */
  #printed = 0;
  #failures = [];

  show(event, outcome) {
    if (event.type === "test:stdout" || event.type === "test:stderr") {
      this.#begin(event);
      process.stdout.write(dim(indent(event.message, 4)));
    } else if (outcome !== undefined) {
      this.#begin(event);
      this.#showOutcome(event, outcome);
    } else if (event.type === "test:start") {
      this.#titles.splice(event.nesting, Infinity, event.name);
      this.#printed = Math.min(this.#printed, event.nesting);
    }
  }

  /** Names what failed once more, so that it need not be looked for further up. */
  showFailures() {
    if (this.#failures.length > 0) console.log(bold("\nfailed:"));
    for (const failure of this.#failures) console.log(`  ${failure}`);
  }

  #begin({ file }) {
    if (file === this.#file) return;
    this.#file = file;
    console.log(bold(relative(root, file)));
  }

  #showOutcome({ name, nesting, milliseconds }, { kind, reason }) {
    for (; this.#printed < nesting; this.#printed++) {
      console.log(indent(this.#titles[this.#printed], 2 * this.#printed + 2));
    }
    const title = `${"  ".repeat(nesting + 1)}${MARKS[kind]} ${name}`;
    const note = kind === "skipped" ? `(${reason})` : `${Math.round(milliseconds ?? 0)} ms`;
    console.log(`${title} ${dim(note)}`);
    if (kind !== "failed") return;
    console.log(indent(String(reason), 2 * nesting + 9));
    const path = [relative(root, this.#file), ...this.#titles.slice(0, nesting)];
    this.#failures.push([...path, name].join(" > "));
  }
}

function buildSanitizedShim() {
  const script = join(root, "scripts/build.mjs");
  const { status } = spawnSync(process.execPath, [script, "--sanitize"], { stdio: "inherit" });
  return status === 0;
}

async function main(args) {
  const parts = args.map((arg) => (existsSync(arg) ? relative(root, resolve(arg)) : arg));
  const stages = STAGES.map((folder) => testFiles(folder, parts)).filter((files) => files.length);
  const unknown = parts.filter((part) => !stages.flat().some((path) => path.includes(part)));
  const tally = new Tally();
  const report = new Report();
  if (unknown.length > 0) {
    console.error(`test: no test file matches ${unknown.join(", ")}`);
  } else if (buildSanitizedShim()) {
    for (const files of stages) await runStage(files, tally, report);
  } else {
    tally.failed++;
  }
  report.showFailures();
  return finish(tally);
}

async function runStage(files, tally, report) {
  const failedBefore = tally.failed;
  const end = await runFiles(files, (event) => report.show(event, tally.take(event)));
  const lost = tally.endRun();
  if (lost > 0) console.log(red(`${lost} tests began and were never heard of again`));
  if (end === 0 || tally.failed > failedBefore) return;
  tally.failed++;
  console.log(red(`the test runner itself ended with ${end}`));
}

function finish({ passed, failed, skipped }) {
  if (isCi && skipped > 0) {
    console.log(`skipped tests count as failed with CI=true: ${skipped}`);
    console.log(`${passed} passed, ${failed + skipped} failed`);
    return 1;
  }
  const rest = skipped > 0 ? `, ${skipped} skipped` : "";
  console.log(`${passed} passed, ${failed} failed${rest}`);
  return failed > 0 || passed + failed === 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
