/**
 * Builds what is older than its sources:
 *
 * - `dist/sys.node`: the native addon, by node-gyp
 * - `bin/conmon`: the shim, by the C compiler; without the C library where we have what it needs of that,
 *   else static where the tool chain can
 * - `dist/cri-framing.wasm`: the inner loop of framing, by wabt
 * - `dist/conmond.cjs`: conmond, bundled by esbuild, see scripts/bundle.mjs, and `dist/plugin-worker.cjs`, the
 *   program of a log plug-in's thread, which conmond has in it as a text; the file is for tests of the sources
 * - `dist/conmonctl.cjs`: conmonctl, bundled in the same way
 * - `dist/host-runtime.cjs`: the OCI runtime `host`, likewise, and `dist/host-init`, by the C compiler, which is
 *   what its processes are before they become the user's programs
 * - `dist/man`: manual pages, made from the programs' own descriptions of their command lines
 * - `dist/licenses`: those of the packages that are in each bundle
 * - `dist/library.mjs`, `dist/types`: what `import ... from "conmon-ts"` gives, bundled by esbuild, and its types by tsc
 * - `build/bin/conmon-sanitized`, with `--sanitize`: the shim under address and undefined behaviour sanitizers
 *
 * Prints one line for each step that it takes.
 */
import { execFileSync } from "node:child_process";
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from "node:fs";
import { dirname, join, relative } from "node:path";
import { fileURLToPath } from "node:url";
import {
  bundleOptions,
  bundleProgram,
  compiledBy,
  compileProgram,
  licensesOf,
  removeOldCode,
} from "./bundle.mjs";
import { buildManualPages } from "./man.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8"));
const inRoot = (path) => join(root, path);

const compiler = process.env.CC ?? "cc";

/** The newest change below the paths, in milliseconds; build output does not count. */
function newest(paths) {
  return Math.max(...paths.map(newestBelow));
}

function newestBelow(path) {
  const status = statSync(path);
  if (!status.isDirectory()) return status.mtimeMs;
  const names = readdirSync(path).filter((name) => name !== "build");
  return Math.max(0, ...names.map((name) => newestBelow(join(path, name))));
}

function isFresh(target, ...sources) {
  const path = inRoot(target);
  // This script holds the flags: what it says about the build has changed when it has.
  const all = [...sources, "scripts/build.mjs", "package.json"].map(inRoot);
  return existsSync(path) && statSync(path).mtimeMs >= newest(all);
}

/**
 * Has `make` write a file beside the target, then puts it in the target's place: what is being
 * executed or mapped into a process must not change under it. The file gets the time at which the
 * making began, so that a source saved meanwhile counts as newer.
 */
function replace(target, make) {
  const fresh = `${target}.${process.pid}.new`;
  const began = new Date();
  mkdirSync(dirname(inRoot(target)), { recursive: true });
  try {
    make(fresh);
    utimesSync(inRoot(fresh), began, began);
    renameSync(inRoot(fresh), inRoot(target));
  } finally {
    rmSync(inRoot(fresh), { force: true });
  }
}

/** Runs a program quietly. What it printed is shown if it fails. */
function run(command, args) {
  try {
    execFileSync(command, args, { cwd: root, stdio: "pipe", maxBuffer: 64 * 1024 * 1024 });
  } catch (error) {
    process.stderr.write(`${error.stdout ?? ""}${error.stderr ?? ""}`);
    const reason = error.message.split("\n")[0];
    throw new Error(`\`${command} ${args.join(" ")}\` failed: ${reason}`, { cause: error });
  }
}

function commit() {
  try {
    const options = { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] };
    return execFileSync("git", ["rev-parse", "--short", "HEAD"], options).trim();
  } catch {
    return "unknown"; // a release archive has no history
  }
}

function buildAddon() {
  if (isFresh("dist/sys.node", "native/addon")) return;
  console.log("build: native/addon -> dist/sys.node");
  // With the headers that came with Node.js nothing has to be downloaded.
  const prefix = dirname(dirname(process.execPath));
  const own = existsSync(join(prefix, "include/node/node_api.h"));
  const gyp = inRoot("node_modules/node-gyp/bin/node-gyp.js");
  const nodedir = own ? [`--nodedir=${prefix}`] : [];
  replace("dist/sys.node", (fresh) => {
    run(process.execPath, [gyp, "rebuild", "--directory", "native/addon", ...nodedir]);
    copyFileSync(inRoot("native/addon/build/Release/sys.node"), inRoot(fresh));
  });
}

function sourcesIn(folder) {
  const names = readdirSync(inRoot(folder)).filter((name) => name.endsWith(".c"));
  return names.map((name) => join(folder, name));
}

const warnings = ["-Wall", "-Wextra", "-Werror"];

function compileShim(target, flags, extraSources = []) {
  const defines = [
    `-DCONMON_NODE="${process.execPath}"`,
    `-DCONMON_TS_VERSION="${version}"`,
    `-DCONMON_COMMIT="${commit()}"`,
  ];
  replace(target, (fresh) => {
    const sources = [...sourcesIn("native/shim"), ...extraSources];
    run(compiler, ["-std=c11", ...warnings, ...flags, ...defines, ...sources, "-o", fresh]);
  });
}

/** Machines for which `native/shim/freestanding` has an entry, as Node.js names them. */
const FREESTANDING = ["x64", "arm64"];

/**
 * For a program without the C library: nothing that needs its start code, such as a stack protector or
 * checked copies; and one mapping for code and constants, which are a few pages.
 */
const freestandingFlags = [
  ...["-static", "-fno-pie", "-nostdlib", "-fno-builtin"],
  ...["-fno-stack-protector", "-U_FORTIFY_SOURCE", "-fno-asynchronous-unwind-tables"],
  ...["-Wl,-z,noseparate-code", "-Wl,-z,noexecstack", "-Wl,--build-id=none"],
];

/** A static executable has half the private memory, but not every tool chain has a static libc. */
function linksStatically() {
  const probe = inRoot("build/static-probe");
  mkdirSync(dirname(probe), { recursive: true });
  writeFileSync(`${probe}.c`, "int main(void) { return 0; }\n");
  try {
    execFileSync(compiler, ["-static", `${probe}.c`, "-o", probe], { stdio: "ignore" });
    return true;
  } catch {
    return false;
  }
}

function buildShim() {
  if (isFresh("bin/conmon", "native/shim")) return;
  if (FREESTANDING.includes(process.arch)) {
    console.log("build: native/shim -> bin/conmon");
    compileShim("bin/conmon", ["-O2", ...freestandingFlags], sourcesIn("native/shim/freestanding"));
    return;
  }
  const flags = linksStatically() ? ["-static"] : [];
  console.log(`build: native/shim -> bin/conmon${flags.length > 0 ? " (static)" : ""}`);
  compileShim("bin/conmon", ["-O2", ...flags]);
}

function buildHostInit() {
  const source = "native/host-init/host-init.c";
  if (isFresh("dist/host-init", source)) return;
  const flags = linksStatically() ? ["-static"] : [];
  console.log(`build: ${dirname(source)} -> dist/host-init${flags.length > 0 ? " (static)" : ""}`);
  replace("dist/host-init", (fresh) => {
    run(compiler, ["-std=c11", "-O2", ...warnings, ...flags, source, "-o", fresh]);
  });
}

function buildSanitizedShim() {
  if (isFresh("build/bin/conmon-sanitized", "native/shim")) return;
  console.log("build: native/shim -> build/bin/conmon-sanitized");
  const checks = ["-fsanitize=address,undefined", "-fno-sanitize-recover=all"];
  compileShim("build/bin/conmon-sanitized", ["-O1", "-g", ...checks]);
  // The shim looks for its conmond in the dist beside its own folder.
  rmSync(inRoot("build/dist"), { force: true });
  symlinkSync("../dist", inRoot("build/dist"));
}

async function buildFraming() {
  if (isFresh("dist/cri-framing.wasm", "src/logging/cri-framing.wat")) return;
  console.log("build: src/logging/cri-framing.wat -> dist/cri-framing.wasm");
  const { default: wabt } = await import("wabt");
  const { parseWat } = await wabt();
  const path = "src/logging/cri-framing.wat";
  const module = parseWat(path, readFileSync(inRoot(path), "utf8"), { simd: true });
  try {
    module.validate();
    const { buffer } = module.toBinary({});
    replace("dist/cri-framing.wasm", (fresh) => writeFileSync(inRoot(fresh), buffer));
  } finally {
    module.destroy();
  }
}

function definitions() {
  return {
    "import.meta.url": "__moduleUrl",
    CONMON_TS_VERSION: JSON.stringify(version),
    CONMON_COMMIT: JSON.stringify(commit()),
  };
}

/** Whether a program is as new as its sources, and made for the Node.js that builds now. */
function isCompiled(target) {
  if (!isFresh(target, "src", "scripts/bundle.mjs")) return false;
  return readFileSync(inRoot(target), "utf8").split("\n").includes(compiledBy());
}

async function buildConmond() {
  if (isCompiled("dist/conmond.cjs") && isFresh("dist/plugin-worker.cjs", "src")) return;
  const { build } = await import("esbuild");
  const worker = await build({
    ...bundleOptions,
    absWorkingDir: root,
    entryPoints: ["src/logging/plugin/worker.ts"],
    outfile: "dist/plugin-worker.cjs",
    minify: true,
  });
  const [{ text, contents }] = worker.outputFiles;
  replace("dist/plugin-worker.cjs", (fresh) => writeFileSync(inRoot(fresh), contents));
  const define = { CONMON_PLUGIN_WORKER: JSON.stringify(text) };
  await buildProgram("src/conmond/main.ts", "conmond", { define, sourcemap: "linked" });
}

/** A program of its own, which says its version. */
async function buildProgram(entry, name, { define = {}, sourcemap = false } = {}) {
  const target = `dist/${name}.cjs`;
  if (isCompiled(target)) return;
  console.log(`build: src -> ${target}`);
  const all = { ...definitions(), ...define };
  const files = await bundleProgram({ root, entry, name, define: all, sourcemap });
  const outputs = new Map(files);
  try {
    const [path, cache] = compileProgram({ root, name, files });
    // The program comes last: it must find the rest.
    outputs.delete(target);
    outputs.set(path, cache).set(target, files.get(target));
  } catch (error) {
    console.error(`build: ${target} will start more slowly: ${error.message}`);
  }
  for (const [path, contents] of outputs) {
    replace(path, (fresh) => writeFileSync(inRoot(fresh), contents));
  }
  removeOldCode({ root, name, files });
}

/** What programs import: a module, whose names are few enough that nothing of it is minified away. */
async function buildLibrary() {
  const target = "dist/library.mjs";
  if (isFresh(target, "src", "tsconfig.types.json")) return;
  console.log(`build: src -> ${target}`);
  buildTypes();
  const { build } = await import("esbuild");
  const { outputFiles, metafile } = await build({
    ...bundleOptions,
    absWorkingDir: root,
    metafile: true,
    entryPoints: ["src/library/mod.ts"],
    outfile: target,
    format: "esm",
    // What is CommonJS among the packages asks for Node.js's own modules in its way.
    banner: { js: REQUIRE },
    define: { CONMON_TS_VERSION: JSON.stringify(version), CONMON_COMMIT: JSON.stringify(commit()) },
  });
  const licenses = licensesOf(metafile, root);
  replace("dist/licenses/library.txt", (fresh) => writeFileSync(inRoot(fresh), licenses));
  for (const { path, contents } of outputFiles) {
    replace(relative(root, path), (fresh) => writeFileSync(inRoot(fresh), contents));
  }
}

const REQUIRE =
  'import { createRequire as __createRequire } from "node:module";' +
  "const require = __createRequire(import.meta.url);";

/** Declarations name each other as the files that would be executed are named. */
function buildTypes() {
  rmSync(inRoot("dist/types"), { recursive: true, force: true });
  run(process.execPath, [inRoot("node_modules/typescript/bin/tsc"), "-p", "tsconfig.types.json"]);
  const names = readdirSync(inRoot("dist/types"), { recursive: true });
  for (const name of names.filter((each) => each.endsWith(".d.ts"))) {
    const path = join(inRoot("dist/types"), name);
    const text = readFileSync(path, "utf8");
    writeFileSync(path, text.replace(/(from |import\()"(\.[^"]*)\.ts"/g, '$1"$2.js"'));
  }
}

try {
  buildAddon();
  buildShim();
  buildHostInit();
  if (process.argv.includes("--sanitize")) buildSanitizedShim();
  await buildFraming();
  await buildConmond();
  await buildProgram("src/conmonctl/main.ts", "conmonctl");
  await buildProgram("src/host-runtime/main.ts", "host-runtime");
  if (!isFresh("dist/man", "src", "scripts/man.mjs"))
    await buildManualPages({
      bundleOptions: { ...bundleOptions, absWorkingDir: root },
      define: definitions(),
      version,
    });
  await buildLibrary();
} catch (error) {
  console.error(`build: ${error.message}`);
  process.exit(1);
}
