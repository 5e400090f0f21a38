/**
 * Shows a container under supervision: what is run, the container's output as it comes, the log
 * that was written and the exit status. What it made it takes away again.
 *
 * $CONMON and $RUNTIME choose another monitor and another OCI runtime than bin/conmon and the
 * first of runc and crun that is installed. Where none is, it is the built-in runtime, which isolates nothing.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import {
  closeSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  watch,
} from "node:fs";
import { constants, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { createInterface } from "node:readline";
import { fileURLToPath } from "node:url";
import { makeBundle } from "./demo-bundle.mjs";
import { findRuntime } from "./setup.mjs";

const root = dirname(dirname(fileURLToPath(import.meta.url)));
const conmon = process.env.CONMON ?? join(root, "bin/conmon");
const hostRuntime = join(root, "bin/conmon-host-runtime");
const runtime = process.env.RUNTIME ?? findRuntime() ?? hostRuntime;
const id = `conmon-ts-demo-${process.pid}`;
/** How long the monitor may take to do its part when the demo cleans up, in milliseconds. */
const PATIENCE = 10_000;

const colour = (code) => (text) => (process.stdout.isTTY ? `\x1b[${code}m${text}\x1b[0m` : text);
const [bold, red, cyan, dim] = [1, 31, 36, 2].map(colour);

function say(title) {
  console.log(`\n${bold(title)}`);
}

/** A command as one would type it, an option a line. */
function display(command, args) {
  const lines = [command];
  for (const arg of args) {
    if (arg.startsWith("-")) lines.push(arg);
    else lines[lines.length - 1] += ` ${arg}`;
  }
  return lines.map((line) => `  ${cyan(line)}`).join(" \\\n    ");
}

/** Runs a runtime command to its end. */
async function callRuntime(state, ...args) {
  const child = spawn(runtime, [`--root=${state}`, ...args], {
    stdio: ["ignore", "inherit", "pipe"],
  });
  let complaint = "";
  child.stderr.setEncoding("utf8").on("data", (text) => {
    complaint += text;
  });
  const [status, signal] = await once(child, "close");
  if (status === 0) return;
  throw new Error(`${runtime} ${args.join(" ")}: ended with ${signal ?? status}: ${complaint}`);
}

/** Starts the monitor. Its first process leaves at once; the other end of the sync pipe stays. */
function startMonitor(args) {
  const child = spawn(conmon, args, {
    // What the built-in runtime has to say about isolation is said by the demo, and not by the log.
    env: { ...process.env, _OCI_SYNCPIPE: "3", CONMON_TS_HOST_RUNTIME: "quiet" },
    stdio: ["ignore", "inherit", "inherit", "pipe"],
    detached: true, // Ctrl-C is for the demo, which then ends the container in good order.
  });
  const pipe = child.stdio[3];
  pipe.on("error", () => {}); // What matters is that it is closed then, see below.
  const lines = createInterface({ input: pipe });
  const message = once(lines, "line");
  const closed = once(pipe, "close");
  return { child, message, closed };
}

async function waitForPid({ child, message, closed }) {
  const [status, signal] = await once(child, "exit");
  if (status !== 0) throw new Error(`${conmon} ended with ${signal ?? status}`);
  const silent = closed.then(() => undefined);
  const [line] = (await Promise.race([message, silent])) ?? [];
  const answer = line && JSON.parse(line);
  const pid = answer?.data ?? answer?.pid;
  if (pid > 0) return pid;
  throw new Error(`no container was made: ${answer?.message ?? `${conmon} said nothing`}`);
}

/** Prints a CRI log's records as they are written. */
class LogFollower {
  #descriptor;
  #rest = "";
  #watcher;

  constructor(path) {
    this.#descriptor = openSync(path, "r");
    this.#watcher = watch(path, () => this.#readOn());
    this.#readOn();
  }

  #readOn() {
    const buffer = Buffer.alloc(65536);
    for (;;) {
      const length = readSync(this.#descriptor, buffer, 0, buffer.length, null);
      if (length === 0) return;
      const lines = (this.#rest + buffer.toString("utf8", 0, length)).split("\n");
      this.#rest = lines.pop();
      for (const line of lines) printRecord(line);
    }
  }

  /** Prints what came last and stops. */
  close() {
    if (this.#descriptor === undefined) return;
    this.#readOn();
    this.#watcher.close();
    closeSync(this.#descriptor);
    this.#descriptor = undefined;
  }
}

function printRecord(record) {
  const [, stream, , ...words] = record.split(" ");
  const paint = stream === "stderr" ? red : (text) => text;
  console.log(`  ${dim(`${stream} |`)} ${paint(words.join(" "))}`);
}

/** Resolves when the file is there. `folder` is where it will be. */
function appears(folder, name) {
  return new Promise((resolve) => {
    const watcher = watch(folder, look);
    look();
    function look() {
      if (!existsSync(join(folder, name))) return;
      watcher.close();
      resolve(join(folder, name));
    }
  });
}

function warnOfNoIsolation() {
  say("Neither runc nor crun is installed: this is a demo without a container.");
  console.log(
    `  The built-in runtime \`host\` starts a plain process of this machine. It is ${bold("not isolated")}: of the\n` +
      "  bundle's root file system, mounts and namespaces it makes nothing. All else is as with a container.",
  );
}

class Demo {
  #directory = mkdtempSync(join(tmpdir(), "conmon-ts-demo-"));
  #state = join(this.#directory, "state");
  #exits = join(this.#directory, "exits");
  #log = join(this.#directory, "container.log");
  #monitor;
  #follower;
  #cleanup;

  async run() {
    if (runtime === hostRuntime) warnOfNoIsolation();
    const bundle = this.#makeBundle();
    const args = this.#conmonArguments(bundle);
    say("Starting the monitor, which has the runtime create a container:");
    console.log(display(conmon, args));
    this.#monitor = startMonitor(args);
    const pid = await this.#step(waitForPid(this.#monitor));
    console.log(`  The sync pipe says that the container's process is ${bold(pid)}.`);

    say("Starting the container:");
    console.log(display(runtime, [`--root=${this.#state}`, "start", id]));
    const exit = appears(this.#exits, id);
    await this.#step(callRuntime(this.#state, "start", id));

    say("Its output, live from the log:");
    this.#follower = new LogFollower(this.#log);
    const status = readFileSync(await this.#step(exit), "utf8");
    this.#follower.close();

    say("The log as it was written, in the format of Kubernetes' container runtime interface:");
    console.log(readFileSync(this.#log, "utf8").replace(/^(?=.)/gm, "  "));
    console.log(`${bold("The exit status:")} ${status}`);
    if (status !== "3") throw new Error(`the container should have ended with 3, not ${status}`);
  }

  /** Waits for a step, after which nothing else is done if the demo is being ended. */
  async #step(work) {
    const [outcome] = await Promise.allSettled([work]);
    if (this.#cleanup !== undefined) await new Promise(() => {});
    if (outcome.status === "rejected") throw outcome.reason;
    return outcome.value;
  }

  #makeBundle() {
    const bundle = join(this.#directory, "bundle");
    for (const folder of [bundle, this.#state, this.#exits]) mkdirSync(folder);
    makeBundle(bundle);
    say("Made a bundle from this machine's own /usr:");
    console.log(`  ${bundle}`);
    return bundle;
  }

  #conmonArguments(bundle) {
    return [
      ...["--cid", id, "--cuuid", id, "--name", "demo"],
      ...["--runtime", runtime, `--runtime-arg=--root=${this.#state}`],
      ...["--bundle", bundle, "--full-attach"],
      ...["--container-pidfile", join(this.#directory, "container.pid")],
      ...["--conmon-pidfile", join(this.#directory, "conmon.pid")],
      ...["--exit-dir", this.#exits, "--log-path", `k8s-file:${this.#log}`],
    ];
  }

  /** Takes everything away, once. */
  cleanUp() {
    this.#cleanup ??= this.#cleanUp();
    return this.#cleanup;
  }

  async #cleanUp() {
    this.#follower?.close();
    try {
      if (this.#monitor !== undefined) await this.#deleteContainer(this.#monitor);
    } finally {
      rmSync(this.#directory, { recursive: true, force: true });
    }
  }

  async #deleteContainer({ message, closed }) {
    // A runtime that is still at work on the container could not delete it.
    await inTime(Promise.race([message, closed]), "create the container");
    if (existsSync(join(this.#state, id))) await callRuntime(this.#state, "delete", "--force", id);
    // The monitor lets go of the sync pipe only when it ends.
    await inTime(closed, "end");
  }
}

async function inTime(event, what) {
  let timer;
  const late = new Promise((_resolve, reject) => {
    const error = new Error(`${conmon} took more than ${PATIENCE} ms to ${what}`);
    timer = setTimeout(reject, PATIENCE, error);
  });
  await Promise.race([event, late]).finally(() => clearTimeout(timer));
}

async function main() {
  const demo = new Demo();
  for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"]) {
    process.on(signal, () => {
      say("Ending early.");
      leave(demo, 128 + constants.signals[signal]);
    });
  }
  try {
    await demo.run();
    say("Deleting the container.");
    await leave(demo, 0);
  } catch (error) {
    console.error(`\n${red("demo:")} ${error.message}`);
    await leave(demo, 1);
  }
}

async function leave(demo, status) {
  try {
    await demo.cleanUp();
    process.exit(status);
  } catch (error) {
    console.error(`${red("demo:")} cleaning up failed: ${error.message}`);
    process.exit(1);
  }
}

await main();
