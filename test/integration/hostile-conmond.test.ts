/**
 * A broken or malicious conmond and a real shim: any messages in any order with any descriptors, and
 * hang-ups in between. A model says after which of them the shim gives the link up, and what the next
 * conmond is told.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFileSync, rmSync, writeFileSync } from "node:fs";
import { constants } from "node:os";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { ShimConnection } from "../../src/shim/connection.ts";
import * as messages from "../../src/shim/messages.ts";
import * as sys from "../../src/sys/mod.ts";
import { isAlive, waitUntilGone } from "../support/processes.ts";
import { monitors } from "../support/programs.ts";
import { Scratch } from "../support/scratch.ts";
import { inTime, textOf } from "../support/waiting.ts";

/** What the conmond does next. */
type Step =
  | { do: "tell"; text: string }
  | { do: "release"; keepStdio: boolean }
  | { do: "start"; what: "stays" | "forks" | "missing" }
  | { do: "exit-command" }
  | { do: "watch"; whom: "container" | "nobody" | "init" }
  | { do: "kill"; whom: messages.SignalTarget; signal: number }
  | { do: "keep"; slot: number }
  | { do: "drop"; slot: number }
  | { do: "close-inherited" }
  | { do: "report"; slot: number; number: number; length: number }
  | { do: "garbage"; bytes: Uint8Array; descriptors: number }
  | { do: "hang-up" };

const targets = ["runtime", "container", "exit-command", "container-group"] as const;
const slots = fc.constantFrom(1, 4, 5, 16, 16, 17, 40, 95, 96, 2 ** 31);

/** Breaches are rare: each costs the start of a private conmond. */
const steps: fc.Arbitrary<Step> = fc.oneof(
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("tell" as const),
      text: fc.string({ minLength: 1, maxLength: 99 }),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({ do: fc.constant("release" as const), keepStdio: fc.boolean() }),
  },
  {
    weight: 2,
    arbitrary: fc.record({
      do: fc.constant("start" as const),
      what: fc.constantFrom("stays" as const, "forks" as const, "missing" as const),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: "exit-command" as const }) },
  {
    weight: 4,
    arbitrary: fc.record({
      do: fc.constant("watch" as const),
      whom: fc.constantFrom(...(["container", "container", "nobody", "init"] as const)),
    }),
  },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("kill" as const),
      whom: fc.constantFrom(...targets),
      signal: fc.constantFrom(0, 0, 9, 15, 64, 65, -1),
    }),
  },
  {
    weight: 8,
    arbitrary: fc.record({ do: fc.constant("keep" as const), slot: slots }),
  },
  {
    weight: 3,
    arbitrary: fc.record({ do: fc.constant("drop" as const), slot: slots }),
  },
  { weight: 2, arbitrary: fc.constant({ do: "close-inherited" as const }) },
  {
    weight: 5,
    arbitrary: fc.record({
      do: fc.constant("report" as const),
      slot: fc.constantFrom(1, 3),
      number: fc.nat(3),
      length: fc.constantFrom(1, 100, 4096),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      do: fc.constant("garbage" as const),
      bytes: fc.uint8Array({ maxLength: 64 }),
      descriptors: fc.nat(6),
    }),
  },
  { weight: 1, arbitrary: fc.constant({ do: "hang-up" as const }) },
);

/** Before anything of a container, most messages are out of turn: so most scripts begin with this. */
const scripts = fc
  .tuple(
    fc.constantFrom<Step[]>(
      [],
      [{ do: "release", keepStdio: false }],
      [
        { do: "release", keepStdio: false },
        { do: "start", what: "stays" },
      ],
      [
        { do: "release", keepStdio: true },
        { do: "start", what: "forks" },
      ],
    ),
    fc.array(steps, { maxLength: 20, size: "max" }),
  )
  .map(([beginning, rest]) => [...beginning, ...rest]);

/** The number of a report that is only sent to see whether its answer comes. */
const PROBE = 31;

/** One connection of the shim. */
class Link {
  readonly fd: number;
  readonly #connection: ShimConnection;
  hello: messages.Hello | undefined;
  lost = false;
  probes = 0;
  #wake = (): void => {};

  constructor(fd: number) {
    this.fd = fd;
    const wake = (): void => this.#wake();
    const dispose = (descriptors: Map<number, number>): void => {
      for (const descriptor of descriptors.values()) sys.close(descriptor);
    };
    this.#connection = new ShimConnection(fd, {
      onHello: (hello, _context, descriptors) => {
        dispose(descriptors);
        this.hello = hello;
        wake();
      },
      onSpawned: (_role, _pid, descriptors) => dispose(descriptors),
      onFailed: () => {},
      onExited: () => {},
      onSignal: () => {},
      onInheritedClosed: () => {},
      onReported: (report) => {
        if (report === PROBE) this.probes++;
        wake();
      },
      onLost: (error) => {
        assert.ok(!(error instanceof messages.ProtocolError), `the shim broke it: ${error}`);
        this.lost = true;
        wake();
      },
    });
  }

  async until(done: () => boolean, what: string): Promise<void> {
    while (!done()) {
      const news = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await inTime(news, what);
    }
  }

  /** Past the connection, which cannot be made to send everything. */
  send(bytes: Uint8Array, descriptors: number[] = []): void {
    if (this.lost) return;
    try {
      sys.send(this.fd, bytes, 0, bytes.length, descriptors);
    } catch (error) {
      // It may have given us up since; then its end is about to be read.
      if (!sys.isSystemError(error, "EPIPE")) throw error;
    }
  }

  close(): void {
    this.#connection.close();
  }
}

/** How a trial went, for the checks when the shim has ended. */
interface Outcome {
  /** The caller has been let go before the end. */
  readonly released: boolean;
  /** A conmond was there up to the end, and said with which status to leave. */
  readonly orderly: boolean;
  readonly shimPid: number;
  /** The container process, 0 if none was started that outlives its runtime. */
  readonly container: number;
  /** Nobody has sent it a signal. */
  readonly spared: boolean;
}

/** The status that an orderly end has. */
const STATUS = 42;

/** A conmond that does as a script says, and what it knows of the shim by that. */
class Trial {
  readonly #scratch: Scratch;
  readonly #listener: number;
  readonly #readiness: sys.Readiness;
  readonly #links: Link[] = [];
  #served = 0;
  #wake = (): void => {};

  #released = false;
  #inheritedClosed = false;
  readonly #slots = new Set<number>([messages.SLOT.syncPipe]);
  #runtime = false;
  #exitCommand = false;
  #container = 0;
  #signalled = false;

  constructor(scratch: Scratch, socket: string) {
    this.#scratch = scratch;
    this.#listener = sys.unixSocket("seqpacket");
    sys.bindUnix(this.#listener, socket);
    sys.listen(this.#listener, 16);
    this.#readiness = new sys.Readiness(this.#listener, () => {
      const fd = sys.accept(this.#listener);
      if (fd !== undefined) this.#links.push(new Link(fd));
      this.#wake();
    });
    this.#readiness.watch(sys.READABLE);
  }

  close(): void {
    this.#readiness.close();
    sys.close(this.#listener);
    for (const link of this.#links) link.close();
  }

  /** Plays the script, up to its end or to that of the shim. */
  async run(script: readonly Step[]): Promise<Outcome> {
    let link = await this.#nextLink();
    for (const step of script) {
      const fits = await this.#take(step, link);
      if (fits) await this.#probe(link);
      else await link.until(() => link.lost, `the shim to hang up on ${show(step)}`);
      assert.equal(link.lost, !fits, `${show(step)}: the link is ${fits ? "lost" : "kept"}`);
      // Before the release a conmond that is lost is the end.
      if (!fits && !this.#released) return this.#outcome(link, false);
      if (!fits) link = await this.#nextLink();
    }
    await this.#end(link);
    return this.#outcome(link, true);
  }

  #outcome({ hello }: Link, orderly: boolean): Outcome {
    return {
      released: this.#released,
      orderly,
      shimPid: hello?.shimPid ?? 0,
      container: this.#container,
      spared: !this.#signalled,
    };
  }

  /** The next connection, whose hello tells of everything that there is. */
  async #nextLink(): Promise<Link> {
    while (this.#links.length === this.#served) {
      const news = new Promise<void>((resolve) => {
        this.#wake = resolve;
      });
      await inTime(news, "the shim's next connection");
    }
    const link = this.#links[this.#served++];
    assert.ok(link !== undefined);
    await link.until(() => link.hello !== undefined, "the hello");
    const { hello } = link;
    assert.ok(hello !== undefined);
    assert.equal(hello.released, this.#released, "released");
    assert.equal(hello.inheritedClosed, this.#inheritedClosed, "inherited closed");
    assert.deepEqual([...hello.slots].sort(), [...this.#slots].sort(), "the slots");
    assert.equal(hello.processes.runtime.state !== "none", this.#runtime, "the runtime");
    const exitCommand = hello.processes["exit-command"].state !== "none";
    assert.equal(exitCommand, this.#exitCommand, "the exit command");
    return link;
  }

  /** Waits until the shim has done all that it was asked for, or has hung up. */
  async #probe(link: Link): Promise<void> {
    const before = link.probes;
    link.send(messages.encodeReport(1, PROBE, Buffer.from("?")));
    await link.until(() => link.lost || link.probes > before, "an answer to a report");
  }

  /** Sends what the step says. Returns whether it keeps to the protocol. */
  async #take(step: Step, link: Link): Promise<boolean> {
    switch (step.do) {
      case "tell":
        for (const message of messages.encodeTell("stderr", step.text)) link.send(message);
        return true;
      case "release": {
        link.send(messages.encodeRelease(step.keepStdio));
        const fits = !this.#released;
        this.#released = true;
        return fits;
      }
      case "start":
        return await this.#start(step.what, link);
      case "exit-command": {
        this.#spawn(link, "exit-command", ["/bin/true"]);
        const fits = this.#released && !this.#exitCommand;
        if (fits) this.#exitCommand = true;
        return fits;
      }
      case "watch":
        link.send(
          messages.encodeWatch({ container: this.#container, nobody: 0, init: 1 }[step.whom]),
        );
        return step.whom !== "init";
      case "kill":
        link.send(messages.encodeKill(step.whom, step.signal));
        this.#signalled ||= step.whom.startsWith("container");
        return step.signal >= 0 && step.signal <= 64;
      case "keep": {
        const fits = step.slot >= messages.SLOT.free;
        const [readEnd, writeEnd] = sys.pipe();
        link.send(messages.encodeKeep(step.slot), [readEnd]);
        sys.close(readEnd);
        sys.close(writeEnd);
        if (fits) this.#slots.add(step.slot);
        return fits;
      }
      case "drop":
        link.send(messages.encodeDrop(step.slot));
        return this.#slots.delete(step.slot);
      case "close-inherited":
        link.send(messages.encodeCloseInherited());
        this.#inheritedClosed = true;
        return true;
      case "report":
        link.send(messages.encodeReport(step.slot, step.number, Buffer.alloc(step.length, 32)));
        return step.slot !== 5 && step.number < 32 && step.length > 0 && step.length <= 4096;
      case "garbage":
        this.#sendGarbage(link, step.bytes, step.descriptors);
        return false;
      case "hang-up":
        link.close();
        link.lost = true;
        return false;
    }
  }

  /** Of a type that no message has, so that it is no message whatever the rest. */
  #sendGarbage(link: Link, bytes: Uint8Array, count: number): void {
    const ends = sys.pipe();
    const garbage = Buffer.from(bytes);
    if (garbage.length >= 4) garbage.writeUInt32LE((garbage.readUInt32LE() | 32) >>> 0, 0);
    link.send(
      garbage,
      Array.from({ length: count }, () => ends[0]),
    );
    for (const fd of ends) sys.close(fd);
  }

  async #start(what: "stays" | "forks" | "missing", link: Link): Promise<boolean> {
    const pidfile = this.#scratch.path("container.pid");
    const fork = `sleep 1000 <&- >/dev/null 2>&1 & printf %s "$!" >${pidfile}.new; mv ${pidfile}.new ${pidfile}`;
    const argv = {
      stays: ["/bin/sleep", "1000"],
      forks: ["/bin/sh", "-c", fork],
      missing: ["/nowhere/runtime"],
    }[what];
    this.#spawn(link, "runtime", argv);
    if (!this.#released || this.#runtime) return false;
    this.#runtime = true;
    for (const slot of [4, 5, 6]) this.#slots.add(slot);
    if (what === "forks") this.#container = Number(await textOf(pidfile));
    return true;
  }

  #spawn(link: Link, role: "runtime" | "exit-command", argv: string[]): void {
    const file = sys.memoryFile("arguments");
    const vector = messages.encodeArguments(argv.map((argument) => Buffer.from(argument)));
    sys.write(file, vector, 0, vector.length);
    const flags = { pipeStdin: true, pipeStdout: true, pipeStderr: true };
    link.send(messages.encodeSpawn(role, role === "runtime" ? flags : {}), [file]);
    sys.close(file);
  }

  /** The orderly end. Once an exit command has run the shim waits for all children of its own. */
  async #end(link: Link): Promise<void> {
    if (this.#exitCommand) {
      link.send(messages.encodeKill("runtime", constants.signals.SIGKILL));
      if (this.#container > 0) endProcess(this.#container);
      this.#signalled = true;
    }
    link.send(messages.encodeExit(STATUS));
    await link.until(() => link.lost, "the shim's leave");
  }
}

function endProcess(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ESRCH") throw error;
  }
}

function show(step: Step): string {
  return JSON.stringify(step, (_key, value) => (value instanceof Uint8Array ? [...value] : value));
}

/** A shim of its own place, so that the private conmonds it starts are ours too: they end at once. */
function install(scratch: Scratch, monitor: keyof typeof monitors): string {
  const shim = join(scratch.folder("bin"), "conmon");
  copyFileSync(monitors[monitor], shim);
  writeFileSync(join(scratch.folder("dist"), "conmond.cjs"), "process.exit(0);");
  return shim;
}

async function tryOut(monitor: keyof typeof monitors, sync: boolean, script: readonly Step[]) {
  const scratch = new Scratch();
  const socket = scratch.path("conmond.sock");
  const trial = new Trial(scratch, socket);
  scratch.atEnd(() => {
    trial.close();
    rmSync(socket);
  });
  const [ours, theirs] = sys.unixSocketPair("seqpacket");
  scratch.atEnd(() => sys.close(ours));
  const child = spawn(install(scratch, monitor), sync ? ["--sync"] : [], {
    env: {
      CONMOND_SOCKET: socket,
      CONMON_TS_TEST: scratch.id,
      _OCI_SYNCPIPE: "3",
      ...scratch.sanitizerEnvironment,
    },
    cwd: scratch.directory,
    stdio: ["ignore", "ignore", "ignore", theirs],
  });
  sys.close(theirs);
  const left = once(child, "exit");
  try {
    const { released, orderly, shimPid, container, spared } = await trial.run(script);
    const [status] = await inTime(left, "the end of what the caller started");
    const told = orderly ? STATUS : 1;
    assert.equal(status, released && !sync ? 0 : told, "the caller's status");
    assert.deepEqual(await waitUntilGone(() => [shimPid].filter(isAlive)), [], "the shim ends");
    if (container > 0) {
      assert.ok(isAlive(container) || !spared, "a container that nobody killed goes on");
      endProcess(container);
    }
  } catch (error) {
    // What is left then is no wonder.
    await scratch.close(0).catch(() => undefined);
    throw error;
  }
  // Nothing of it is left, and no sanitizer has found anything.
  await scratch.close();
}

/** As many at a time, since they wait most of the time. */
const AT_A_TIME = 4;

for (const monitor of ["ours", "sanitized"] as const) {
  describe(`the shim of a broken conmond, ${monitor}`, () => {
    it("gives it up at the first breach, forgets nothing, and ends as it should", async () => {
      const seed = Math.floor(Math.random() * 2 ** 31);
      const trials = fc.sample(fc.tuple(fc.boolean(), scripts), { numRuns: 30, seed });
      const worker = async (): Promise<void> => {
        for (let next = trials.pop(); next !== undefined; next = trials.pop()) {
          const [sync, script] = next;
          try {
            await tryOut(monitor, sync, script);
          } catch (cause) {
            const steps = script.map(show).join("\n");
            throw new Error(`seed ${seed}, sync ${sync}: ${cause}\nafter\n${steps}`, { cause });
          }
        }
      };
      await Promise.all(Array.from({ length: AT_A_TIME }, worker));
    });
  });
}
