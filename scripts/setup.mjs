// Makes this checkout ready to build: checks the tools, installs the locked npm packages if they
// are not what node_modules holds. With --runtime an OCI runtime must be there too; see README.md.
//
// Plain Node without dependencies, since it is what installs them.

import { spawnSync } from "node:child_process";
import { createHash } from "node:crypto";
import { accessSync, constants, readFileSync, statSync, writeFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("..", import.meta.url));

// node-gyp, which builds the addon, needs 20.17.
const OLDEST_NODE = [20, 17];

const TOOLS = [
  { names: ["python3"], what: "Python 3 (node-gyp needs it)", packageName: "python3" },
  { names: ["make", "gmake"], what: "make", packageName: "make" },
  { names: ["cc", "gcc", "clang"], what: "a C compiler", packageName: "gcc libc6-dev" },
  {
    names: ["c++", "g++", "clang++"],
    what: "a C++ compiler (node-pty needs it)",
    packageName: "g++",
  },
];

const RUNTIMES = ["runc", "crun"];

/** Where `name` is, on PATH or where administrators' programs are, which a user's PATH may lack. */
export function findProgram(name) {
  const folders = (process.env.PATH ?? "").split(delimiter);
  for (const folder of [...folders, "/usr/local/sbin", "/usr/sbin", "/sbin"]) {
    const path = join(folder, name);
    if (folder !== "" && isExecutableFile(path)) return path;
  }
  return undefined;
}

function isExecutableFile(path) {
  try {
    accessSync(path, constants.X_OK);
    return statSync(path).isFile();
  } catch {
    return false; // Not there or not ours to run: either way it is not the program looked for.
  }
}

/** The first OCI runtime found, or undefined. */
export function findRuntime() {
  return RUNTIMES.map(findProgram).find((path) => path !== undefined);
}

function checkNode() {
  const [major = 0, minor = 0] = process.versions.node.split(".").map(Number);
  const [oldestMajor, oldestMinor] = OLDEST_NODE;
  if (major > oldestMajor || (major === oldestMajor && minor >= oldestMinor)) return;
  fail(`Node.js ${OLDEST_NODE.join(".")} or newer is needed; this is ${process.versions.node}.`);
}

function checkTools() {
  const missing = TOOLS.filter((tool) => !tool.names.some(findProgram));
  if (missing.length === 0) return;
  const packages = missing.map((tool) => tool.packageName).join(" ");
  fail(
    `Missing: ${missing.map((tool) => tool.what).join(", ")}.`,
    `On Debian or Ubuntu: apt-get install ${packages}`,
    "On Fedora: dnf install python3 make gcc gcc-c++ glibc-devel",
  );
}

function installPackages() {
  const lock = readFileSync(join(root, "package-lock.json"));
  const wanted = createHash("sha256").update(lock).digest("hex");
  const stamp = join(root, "node_modules", ".conmon-ts-stamp");
  if (textOf(stamp) === wanted) return;
  if (!holdsLocked(JSON.parse(lock.toString()))) {
    say("installing the npm packages of package-lock.json");
    // The log level is given, so that a quiet `npm test --silent` cannot swallow an error here.
    run("npm", ["ci", "--include=dev", "--no-audit", "--no-fund", "--loglevel=warn"]);
  }
  writeFileSync(stamp, wanted);
}

/**
 * Whether node_modules is what the lock file says, from the record that npm itself keeps there:
 * who has just run `npm install` need not wait for `npm ci`.
 */
function holdsLocked(lock) {
  const record = textOf(join(root, "node_modules", ".package-lock.json"));
  if (record === undefined) return false;
  const installed = JSON.parse(record).packages ?? {};
  return Object.entries(lock.packages).every(([path, entry]) => {
    if (path === "") return true;
    const found = installed[path];
    if (found === undefined) return entry.optional === true;
    return found.version === entry.version && found.integrity === entry.integrity;
  });
}

function textOf(path) {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
    throw error;
  }
}

function ensureRuntime() {
  if (findRuntime() !== undefined) return;
  const advice = [
    "No OCI runtime is installed: runc or crun is needed to run a container.",
    "On Debian or Ubuntu: apt-get install runc",
    "On Fedora: dnf install runc",
    "On Arch Linux: pacman -S runc",
  ];
  const attended = process.stdin.isTTY || process.stdout.isTTY || process.env.CI === "true";
  if (process.getuid() !== 0 || findProgram("apt-get") === undefined || !attended) {
    fail(...advice);
  }
  say("no OCI runtime is installed: installing runc with apt-get");
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  run("apt-get", ["update", "-q"], environment);
  run("apt-get", ["install", "-q", "-y", "--no-install-recommends", "runc"], environment);
  if (findRuntime() === undefined) fail("apt-get installed runc, but it is not to be found.");
}

function run(command, args, env = process.env) {
  const result = spawnSync(command, args, {
    cwd: root,
    env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (result.error) fail(`${command} cannot be run: ${result.error.message}`);
  if (result.status !== 0) {
    const end = result.signal ? `was ended by ${result.signal}` : `ended with ${result.status}`;
    fail(`\`${command} ${args.join(" ")}\` ${end}.`);
  }
}

function say(text) {
  console.log(`setup: ${text}`);
}

function fail(...lines) {
  for (const line of lines) console.error(`setup: ${line}`);
  process.exit(1);
}

function main() {
  const unknown = process.argv.slice(2).filter((argument) => argument !== "--runtime");
  if (unknown.length > 0) fail(`unknown argument ${unknown[0]}; there is only --runtime`);
  checkNode();
  checkTools();
  installPackages();
  if (process.argv.includes("--runtime")) ensureRuntime();
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
