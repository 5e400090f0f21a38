/**
 * Our programs, each bundled into one file, and how they start fast.
 *
 * `dist/NAME.cjs` is what is executed. It is a few lines that load the program, `dist/code/NAME-HASH.cjs`, together
 * with what V8 had made of it in a run at the time of the build, `dist/code/NAME-HASH.cache`: so at each start
 * nothing has to be parsed and compiled anew, which was half of the time that conmond took beyond Node.js's own. V8 takes a cache
 * only if its own version and options are the same; else, or where there is none, the program is compiled.
 * HASH is the program's own, since V8 itself would take the cache of another program of the same length.
 */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";

/** What the code of all programs has in common, for esbuild. */
export const bundleOptions = {
  bundle: true,
  platform: "node",
  target: "node20",
  // CommonJS starts 5 ms earlier than a module: Node.js need not start its module loader.
  format: "cjs",
  // Less to read at each start; names stay, for those who read a stack.
  minifyWhitespace: true,
  minifySyntax: true,
  legalComments: "none",
  logLevel: "warning",
  write: false,
};

/** A bundle in CommonJS has no import.meta. */
export const MODULE_URL = 'const __moduleUrl = require("node:url").pathToFileURL(__filename).href;';

/**
 * Bundles a program.
 *
 * @param root the project's directory, absolute
 * @param entry its source, and `name` what it is called in dist
 * @param define what takes the place of names in the source
 * @returns its files, path below the root to contents: the one to be executed comes last. With them is what the
 *   authors of the packages in it want to be told along: `dist/licenses/NAME.txt`
 */
export async function bundleProgram({ root, entry, name, define, sourcemap }) {
  const { build } = await import("esbuild");
  const { outputFiles, metafile } = await build({
    ...bundleOptions,
    absWorkingDir: root,
    metafile: true,
    entryPoints: [entry],
    outfile: `dist/code/${name}.cjs`,
    banner: { js: MODULE_URL },
    define,
    // Of Node.js's own modules, and all others are in the bundle: require does it, which a script has as well.
    supported: { "dynamic-import": false },
    sourcemap,
  });
  const code = outputFiles.find(({ path }) => path.endsWith(".cjs")).text;
  const hash = createHash("sha256").update(code).digest("hex").slice(0, 16);
  const files = new Map();
  for (const { path, text } of outputFiles) {
    const named = `${name}-${hash}${path.endsWith(".map") ? ".cjs.map" : ".cjs"}`;
    // One line stays one line.
    files.set(`dist/code/${named}`, text.replace(`=${name}.cjs.map`, `=${name}-${hash}.cjs.map`));
  }
  files.set(`dist/licenses/${name}.txt`, licensesOf(metafile, root));
  files.set(`dist/${name}.cjs`, loader(`${name}-${hash}`));
  return files;
}

/** The licenses of all packages that esbuild has taken something from. */
export function licensesOf({ inputs }, root) {
  const folders = Object.keys(inputs).flatMap((path) => {
    const [folder] = /^.*node_modules\/(@[^/]+\/)?[^/]+/.exec(path) ?? [];
    return folder === undefined ? [] : [join(root, folder)];
  });
  const texts = [...new Set(folders)].sort().map((folder) => {
    const { name, version, license } = JSON.parse(
      readFileSync(join(folder, "package.json"), "utf8"),
    );
    const file = readdirSync(folder).find((each) => /^(licen[cs]e|copying)(\.|$)/i.test(each));
    if (file === undefined) throw new Error(`${name} has no file with its license`);
    return `${name} ${version} (${license})\n\n${readFileSync(join(folder, file), "utf8").trim()}\n`;
  });
  return texts.join(`\n${"-".repeat(80)}\n\n`) || "No code of others is in it.\n";
}

/**
 * What is executed. All of the code is ASCII, which esbuild sees to.
 *
 * @param code its name in `dist/code`
 * @param cacheTo where the cache is to be written when the program ends; otherwise it is read
 */
function loader(code, cacheTo) {
  const head = "(function(exports,require,module,__filename,__dirname){";
  const read = `let cachedData;
try {
  cachedData = readFileSync(\`\${code}.cache\`);
} catch {
  // Slower, and no worse.
}`;
  // At once as well: there are programs that end without an event.
  const write = `
const write = () => require("node:fs").writeFileSync(${JSON.stringify(cacheTo)}, script.createCachedData());
write();
process.on("exit", write);
`;
  const writes = cacheTo !== undefined;
  return `"use strict";
// Made by scripts/bundle.mjs, which says what this is for.
${compiledBy()}
const { readFileSync } = require("node:fs");
const { Script } = require("node:vm");
const code = \`\${__dirname}/code/${code}\`;
${writes ? "" : read}
const script = new Script(\`${head}\${readFileSync(\`\${code}.cjs\`, "latin1")}\\n})\`, {
  filename: \`\${code}.cjs\`,
  columnOffset: ${-head.length},
  ${writes ? "" : "cachedData,"}
});
script.runInThisContext()(exports, require, module, __filename, __dirname);
${writes ? write : ""}`;
}

/** V8 says to nobody that it does not take a cache. So builds and the doctor look for this line in a program. */
export function compiledBy() {
  return `// Compiled by V8 ${process.versions.v8}`;
}

/** How programs are used for the build, so that V8 has compiled what they need. In: a copy of the installation. */
const rehearsals = { conmond: superviseOnce, conmonctl: showHelp, "host-runtime": showHelp };

/**
 * Has V8 compile a program, by using it, in a copy of `bin` and `dist` that is thrown away.
 *
 * @param files what {@link bundleProgram} has returned; everything else that the program needs is in dist
 * @returns the path below the root and the contents of its cache
 */
export function compileProgram({ root, name, files }) {
  const copy = mkdtempSync(join(tmpdir(), "conmon-ts-build-"));
  try {
    for (const folder of ["bin", "dist/code", "dist/licenses"])
      mkdirSync(join(copy, folder), { recursive: true });
    for (const file of ["bin/conmon", "dist/sys.node", "dist/cri-framing.wasm"]) {
      copyFileSync(join(root, file), join(copy, file));
    }
    for (const [path, text] of files) writeFileSync(join(copy, path), text);
    const [code] = [...files.keys()].filter((path) => /^dist\/code\/.*\.cjs$/.test(path));
    const cache = join(copy, "cache");
    const program = join(copy, `dist/${name}.cjs`);
    writeFileSync(program, loader(code.slice("dist/code/".length, -".cjs".length), cache));
    rehearsals[name](copy, program);
    return [code.replace(/\.cjs$/, ".cache"), readFileSync(cache)];
  } finally {
    rmSync(copy, { recursive: true, force: true });
  }
}

/** Removes what was made of a program before. */
export function removeOldCode({ root, name, files }) {
  for (const file of readdirSync(join(root, "dist/code"))) {
    const path = `dist/code/${file}`;
    const ours = new RegExp(`^${name}-[0-9a-f]{16}\\.`).test(file);
    if (ours && !files.has(path) && !files.has(path.replace(/\.cache$/, ".cjs"))) {
      rmSync(join(root, path), { force: true });
    }
  }
}

/** A rehearsal that hangs must not hold up the build, in milliseconds. */
const REHEARSAL_MAX = 60_000;

function showHelp(_copy, program) {
  execFileSync(process.execPath, [program, "--help"], { stdio: "pipe", timeout: REHEARSAL_MAX });
}

/** From the start of a container to its end. It is no container, since there need not be a runtime here. */
function superviseOnce(copy) {
  const runtime = join(copy, "runtime");
  // It waits until the runtime has ended, since a shell reaps a child that ends before it, whose status is lost then.
  const script = "cat; echo to stdout; echo to stderr >&2";
  const container = `sh -c "${script}" <"$0.alive" 9>&-`;
  const steps = `[ "$1" = --pid-file ] && { ${container} & echo $! > "$2"; }`;
  const lines = [
    "#!/bin/sh",
    'mkfifo "$0.alive" && exec 9<>"$0.alive"',
    `while [ $# -gt 1 ]; do ${steps}; shift; done`,
  ];
  writeFileSync(runtime, `${lines.join("\n")}\n`);
  chmodSync(runtime, 0o755);
  const bundle = join(copy, "bundle");
  mkdirSync(join(bundle, "exits"), { recursive: true });
  const options = [
    ["--cid", "rehearsal"],
    ["--cuuid", "rehearsal"],
    ["--runtime", runtime],
    ["--bundle", bundle],
    ["--container-pidfile", join(bundle, "pidfile")],
    ["--exit-dir", join(bundle, "exits")],
    ["--socket-dir-path", bundle],
    ["--log-path", `k8s-file:${join(bundle, "log")}`],
    ["--exit-command", "/bin/true"],
  ];
  execFileSync(join(copy, "bin/conmon"), ["--sync", ...options.flat()], {
    // A private conmond, whoever else is there.
    env: { ...process.env, CONMOND_SOCKET: "" },
    stdio: "pipe",
    timeout: REHEARSAL_MAX,
  });
}
