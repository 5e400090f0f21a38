/** sd-notify messages from real containers to a host's socket, next to Debian's conmon. */
import assert from "node:assert/strict";
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import * as sys from "../../src/sys/mod.ts";
import { type Mount, makeBundle } from "../support/bundle.ts";
import { type ConmonOptions, startConmon } from "../support/conmon.ts";
import { startConmond } from "../support/conmond.ts";
import { makePodman } from "../support/podman.ts";
import { processesWith } from "../support/processes.ts";
import { needProgram, unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { appears, inTime, textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "podman", "busybox", "socat");

/** The socket of a service, as systemd has one. */
class ServiceSocket {
  readonly path: string;
  readonly #fd = sys.unixSocket("dgram");
  readonly #buffer = Buffer.alloc(4096);

  constructor(scratch: Scratch, name = "service.sock") {
    this.path = scratch.path(name);
    sys.bindUnix(this.#fd, this.path);
    scratch.atEnd(() => {
      sys.close(this.#fd);
      rmSync(this.path);
    });
  }

  /** What has come so far. */
  take(): string[] {
    const messages: string[] = [];
    for (;;) {
      const length = sys.receive(this.#fd, this.#buffer);
      if (length < 0) return messages;
      messages.push(this.#buffer.toString("utf8", 0, length));
    }
  }

  /** The next messages, at least one. */
  async next(): Promise<string[]> {
    const come = new Promise<void>((resolve) => {
      const readiness = new sys.Readiness(this.#fd, () => {
        readiness.close();
        resolve();
      });
      readiness.watch(sys.READABLE);
    });
    await inTime(come, "a message to the service's socket");
    return this.take();
  }
}

/** Shell: sends lines as one datagram, in the way of a program that calls sd_notify(3). */
function notify(lines: string): string {
  return `printf '${lines}' | /usr/bin/socat -u - UNIX-SENDTO:$NOTIFY_SOCKET`;
}

/** Shell: says something on SIGHUP, and at the end, which is on SIGTERM. */
const WAITING = `
  hello() { ${notify("READY=1")}; touch /tmp/sent; }
  bye() { ${notify("STOPPING=1\\nSTATUS=bye")}; exit 3; }
  trap hello HUP
  trap bye TERM
  echo waiting
  while :; do sleep 0.1; done`;

/**
 * Starts a container whose shell runs the script, with the socket where Podman has it, and with
 * the host's socat: busybox does not know datagrams of unix sockets.
 */
async function startNotifying(scratch: Scratch, script: string, options: ConmonOptions) {
  const bind = (destination: string, source: string, ...more: string[]): Mount => {
    return { destination, source, type: "bind", options: ["rbind", ...more] };
  };
  const bundle = makeBundle(scratch, {
    args: ["sh", "-c", script],
    env: ["NOTIFY_SOCKET=/run/notify/notify.sock"],
    mounts: [
      ...["/usr", "/lib", "/lib64"].map((path) => bind(path, path, "ro")),
      // Relative to the bundle.
      bind("/run/notify", "notify"),
    ],
  });
  // Podman makes it, and Debian's conmon relies on that.
  if (options.conmon === "debian") mkdirSync(join(bundle.directory, "notify"));
  scratch.atEnd(() => {
    if (options.conmon !== "debian") return;
    // It leaves these to whoever removes the bundle.
    for (const name of ["ctl", "winsz", "notify/notify.sock"]) {
      rmSync(join(bundle.directory, name), { force: true });
    }
  });
  const run = startConmon(scratch, { bundle, apiVersion: 1, ...options });
  await run.created();
  await run.runtimeStart();
  return { run, bundle };
}

/** The pid of the private conmond of a test, of which there is one at a time. */
function privateConmond(scratch: Scratch): number | undefined {
  return processesWith(scratch.id).find(({ command }) => / --private$/.test(command))?.pid;
}

for (const monitor of ["debian", "ours, private", "ours, shared"] as const) {
  describe(`sd-notify messages of a container, with conmon: ${monitor}`, { skip }, () => {
    async function prepare(scratch: Scratch, host: string): Promise<ConmonOptions> {
      const args = { arguments: ["--full-attach", `--sdnotify-socket=${host}`] };
      if (monitor === "debian") return { conmon: "debian", ...args };
      if (monitor === "ours, private") return args;
      return { conmond: (await startConmond(scratch)).socket, ...args };
    }

    it("reach the service's socket, as far as they are for the host", async (t) => {
      const scratch = makeScratch(t);
      const service = new ServiceSocket(scratch);
      const script = [
        notify("MAINPID=5"),
        notify("FDSTORE=1\\nREADY=1\\nMAINPID=5\\n"),
        "trap 'exit 3' TERM; echo waiting; while :; do sleep 0.1; done",
      ].join("\n");
      const options = await prepare(scratch, service.path);
      const { run } = await startNotifying(scratch, script, options);
      assert.deepEqual(await service.next(), ["READY=1"]);
      await textOf(run.paths.log, (text) => text.includes("waiting"));
      await run.runtimeKill("TERM");
      assert.equal(await run.exitStatus(), 3);
      await run.ended();
      assert.deepEqual(service.take(), []);
    });
  });
}

describe("sd-notify messages", { skip }, () => {
  it("that were sent last of all are passed on before the exit is reported", async (t) => {
    const scratch = makeScratch(t);
    const service = new ServiceSocket(scratch);
    const args = ["--full-attach", `--sdnotify-socket=${service.path}`];
    const { run, bundle } = await startNotifying(scratch, WAITING, { arguments: args });
    await textOf(run.paths.log, (text) => text.includes("waiting"));
    await run.runtimeKill("TERM");
    assert.equal(await run.exitStatus(), 3);
    assert.deepEqual(service.take(), ["STOPPING=1\nSTATUS=bye"]);
    await run.ended();
    assert.deepEqual(readdirSync(join(bundle.directory, "notify")), []);
  });

  it("come from a process below the shim: systemd looks at the sender's cgroup", async (t) => {
    const scratch = makeScratch(t);
    const service = new ServiceSocket(scratch);
    const conmond = await startConmond(scratch);
    const args = ["--full-attach", `--sdnotify-socket=${service.path}`];
    const options = { conmond: conmond.socket, arguments: args };
    const { run } = await startNotifying(scratch, WAITING, options);
    assert.ok(privateConmond(scratch) !== undefined);
    await conmond.logged("Refused a shim: a shared conmond passes no sd-notify messages on");
    await textOf(run.paths.log, (text) => text.includes("waiting"));
    await run.runtimeKill("TERM");
    await run.ended();
    assert.equal(run.stderr, "");
  });

  it("are passed on by the next conmond, those too that come while there is none", async (t) => {
    const scratch = makeScratch(t);
    const service = new ServiceSocket(scratch);
    const args = ["--full-attach", `--sdnotify-socket=${service.path}`];
    const { run } = await startNotifying(scratch, WAITING, { arguments: args });
    await textOf(run.paths.log, (text) => text.includes("waiting"));
    const conmond = privateConmond(scratch);
    assert.ok(conmond !== undefined);
    // It is there, but takes nothing any more.
    process.kill(conmond, "SIGSTOP");
    await run.runtimeKill("HUP");
    await appears(`/proc/${readFileSync(run.paths.containerPidFile, "utf8")}/root/tmp/sent`);
    assert.deepEqual(service.take(), []);
    process.kill(conmond, "SIGKILL");
    assert.deepEqual(await service.next(), ["READY=1"]);
    await run.runtimeKill("TERM");
    assert.equal(await run.exitStatus(), 3);
    assert.deepEqual(service.take(), ["STOPPING=1\nSTATUS=bye"]);
    await run.ended();
  });

  it("have no place: the caller is told before anything is started", async (t) => {
    const scratch = makeScratch(t);
    const bundle = makeBundle(scratch, { args: ["true"] });
    writeFileSync(join(bundle.directory, "notify"), "");
    const args = ["--full-attach", "--sdnotify-socket=/run/systemd/notify"];
    const run = startConmon(scratch, { bundle, arguments: args });
    assert.deepEqual(await run.closed, { status: 1, signal: null });
    assert.match(
      run.stderr,
      /^\[conmon:e\]: Failed to make the sd-notify socket .*\/notify\.sock: /,
    );
    await run.ended();
    assert.deepEqual(readdirSync(bundle.directory).sort(), ["config.json", "notify"]);
  });

  it("reach the service of `podman run --sdnotify=container` as with Debian's conmon", async (t) => {
    const scratch = makeScratch(t);
    const service = new ServiceSocket(scratch);
    const podman = await makePodman(scratch, {
      wrapper: [needProgram("env"), `NOTIFY_SOCKET=${service.path}`],
    });
    const volumes = ["/usr:/usr:ro", "/usr/lib:/lib:ro", "/usr/lib64:/lib64:ro"];
    // It goes on until both have come: at the end Debian's conmon may leave a message unread.
    const script = `${notify("READY=1\\nMAINPID=1")}; echo sent; cat`;
    const args = [
      ...["run", "--sdnotify=container", "--network", "none", "-i"],
      ...volumes.flatMap((volume) => ["-v", volume]),
      ...[podman.image, "sh", "-c", script],
    ];
    const outcomes: unknown[] = [];
    for (const conmon of ["debian", "ours"] as const) {
      const command = podman.start(args, { conmon });
      // Podman itself tells which process is to be watched; whichever comes first.
      const messages: string[] = [];
      while (messages.length < 2) messages.push(...(await service.next()));
      command.stdin.end();
      const result = await command.end();
      messages.push(...service.take());
      const known = messages.map((text) => text.replace(/^MAINPID=\d+$/, "MAINPID=N"));
      outcomes.push({ ...result, messages: known.sort() });
    }
    const expected = {
      status: 0,
      stdout: "sent\n",
      stderr: "",
      messages: ["MAINPID=N", "READY=1"],
    };
    assert.deepEqual(outcomes, [expected, expected]);
  });
});
