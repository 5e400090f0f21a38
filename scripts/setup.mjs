// Makes this checkout ready to build: checks the tools, installs the locked npm packages if they
// are not what node_modules holds. With --runtime an OCI runtime must be there too; with --runtime-if-possible
// it need not, since the built-in one, which isolates nothing, will do. See README.md.
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

/** `optional`: where none is installed and none can be, that is said and all goes on. */
function ensureRuntime({ optional }) {
  if (findRuntime() !== undefined) return;
  const attended = process.stdin.isTTY || process.stdout.isTTY || process.env.CI === "true";
  if (process.getuid() === 0 && findProgram("apt-get") !== undefined && attended) {
    const failure = installRuntime();
    if (failure === undefined) return;
    if (!optional) fail(failure);
    say(failure);
  }
  const advice = [
    "No OCI runtime is installed: runc or crun is needed to run a container.",
    "On Debian or Ubuntu: apt-get install runc",
    "On Fedora: dnf install runc",
    "On Arch Linux: pacman -S runc",
  ];
  if (!optional) fail(...advice);
  advice.forEach(say);
  say(
    "Going on without: the built-in runtime `host` runs plain processes, which are NOT isolated.",
  );
}

/** Returns why it could not be done, or undefined. */
function installRuntime() {
  say("no OCI runtime is installed: installing runc with apt-get");
  const environment = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  const install = ["install", "-q", "-y", "--no-install-recommends", "runc"];
  const failure =
    attempt("apt-get", ["update", "-q"], environment) ?? attempt("apt-get", install, environment);
  if (failure !== undefined || findRuntime() !== undefined) return failure;
  return "apt-get installed runc, but it is not to be found.";
}

function run(command, args) {
  const failure = attempt(command, args, process.env);
  if (failure !== undefined) fail(failure);
}

/** Runs a command. Returns what went wrong, or undefined. */
function attempt(command, args, env) {
  const result = spawnSync(command, args, {
    cwd: root,
    env,
    stdio: ["ignore", "inherit", "inherit"],
  });
  if (result.error) return `${command} cannot be run: ${result.error.message}`;
  if (result.status === 0) return undefined;
  const end = result.signal ? `was ended by ${result.signal}` : `ended with ${result.status}`;
  return `\`${command} ${args.join(" ")}\` ${end}.`;
}

function say(text) {
  console.log(`setup: ${text}`);
}

function fail(...lines) {
  for (const line of lines) console.error(`setup: ${line}`);
  process.exit(1);
}

function main() {
  const known = ["--runtime", "--runtime-if-possible"];
  const given = process.argv.slice(2);
  const unknown = given.filter((argument) => !known.includes(argument));
  if (unknown.length > 0) fail(`unknown argument ${unknown[0]}; there is only ${known.join(", ")}`);
  checkNode();
  checkTools();
  installPackages();
  if (given.length > 0) ensureRuntime({ optional: !given.includes("--runtime") });
}

if (process.argv[1] === fileURLToPath(import.meta.url)) main();
