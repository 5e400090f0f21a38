/**
 * A shared conmond and processes that pretend to be shims: any messages with any descriptors, sessions
 * that were never begun, deposits that hold something else. It loses no descriptor to them, goes on, and
 * so do its other sessions.
 */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { openSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { DEPOSIT } from "../../src/session/deposit.ts";
import { SLOT } from "../../src/shim/messages.ts";
import * as sys from "../../src/sys/mod.ts";
import { startConmond } from "../support/conmond.ts";
import { CountingContainer } from "../support/counting-container.ts";
import { eventually } from "../support/private-conmond.ts";
import { isAlive, openFilesOf } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { inTime } from "../support/waiting.ts";

const skip = unlessRootWith("runc", "busybox");

/** What a false shim sends along in a slot. */
const KINDS = ["null", "pipe", "socket", "listener", "file", "garbage", "directory"] as const;
type Kind = (typeof KINDS)[number];

interface Hello {
  /** Which flags are set, see docs/protocol.md. */
  flags: number;
  /** Of runtime, container and exit command. */
  states: [number, number, number];
  slots: [number, Kind][];
  /** Options that conmond accepts, or others. */
  valid: boolean;
  extra: string[];
}

type Message =
  | { say: "hello"; hello: Hello }
  | { say: "words"; words: number[]; descriptors: number }
  | { say: "bytes"; bytes: Uint8Array };

/** What could really be in a slot, and now and then something else. */
function kindsFor(slot: number): fc.MaybeWeightedArbitrary<Kind>[] {
  const fitting = (): Kind[] => {
    if (slot >= DEPOSIT.firstClient) return ["socket"];
    if (slot >= DEPOSIT.firstLog) return ["file", "null", "pipe"];
    const { journal, oom, startup, listener, notify, consoleListener, consoleConnection } = DEPOSIT;
    if ([journal, oom, startup].some((known) => known === slot)) return ["garbage", "file"];
    if ([listener, notify, consoleListener].some((known) => known === slot)) return ["listener"];
    if (slot === consoleConnection) return ["socket"];
    return slot === DEPOSIT.terminal ? ["null"] : ["pipe"];
  };
  return [
    { weight: 60, arbitrary: fc.constantFrom(...fitting()) },
    { weight: 1, arbitrary: fc.constantFrom<Kind[]>(...KINDS) },
  ];
}

const slotNumbers = fc.constantFrom(...Object.values(SLOT), ...Object.values(DEPOSIT), 33, 95, 7);
const states = fc.constantFrom(0, 0, 1, 2, 3);
const hello: fc.Arbitrary<Hello> = fc.record({
  flags: fc.nat(15),
  states: fc.tuple(states, states, states),
  slots: fc
    .uniqueArray(
      slotNumbers.chain((slot) => fc.tuple(fc.constant(slot), fc.oneof(...kindsFor(slot)))),
      { maxLength: 12, selector: ([slot]) => slot },
    )
    // Without a journal nothing else counts.
    .chain((some) => {
      const rest = some.filter(([slot]) => slot !== DEPOSIT.journal);
      const journal = fc.constantFrom<[number, Kind]>(
        [DEPOSIT.journal, "garbage"],
        [DEPOSIT.journal, "file"],
        [DEPOSIT.journal, "file"],
      );
      return fc.oneof(
        { weight: 5, arbitrary: journal.map((one) => [...rest, one]) },
        { weight: 1, arbitrary: fc.constant(rest) },
      );
    }),
  valid: fc.oneof(
    { weight: 4, arbitrary: fc.constant(true) },
    { weight: 1, arbitrary: fc.boolean() },
  ),
  extra: fc.array(
    fc.constantFrom("-i", "-t", "--exec", "--api-version=1", "--timeout=1000", "--full-attach"),
    { maxLength: 2 },
  ),
});
const word = fc.oneof(fc.nat(6), fc.constantFrom(-1, 255, 2 ** 31 - 1));
const messages: fc.Arbitrary<Message> = fc.oneof(
  { weight: 1, arbitrary: fc.record({ say: fc.constant("hello" as const), hello }) },
  {
    weight: 6,
    arbitrary: fc.record({
      say: fc.constant("words" as const),
      words: fc.array(word, { minLength: 1, maxLength: 7 }),
      descriptors: fc.nat(3),
    }),
  },
  {
    weight: 1,
    arbitrary: fc.record({
      say: fc.constant("bytes" as const),
      bytes: fc.uint8Array({ maxLength: 40 }),
    }),
  },
);
/** Most begin with a hello: without one they are soon over. */
const scripts = fc
  .tuple(fc.option(hello, { freq: 8 }), fc.array(messages, { maxLength: 6 }))
  .map(([first, rest]): Message[] =>
    first === null ? rest : [{ say: "hello", hello: first }, ...rest],
  );

function words(...fields: readonly number[]): Buffer {
  return Buffer.from(Int32Array.from(fields).buffer);
}

/** One process that pretends to be a shim. */
class FalseShim {
  readonly #scratch: Scratch;
  readonly #fd = sys.unixSocket("seqpacket");
  readonly #name: string;
  readonly #open: number[] = [];

  constructor(scratch: Scratch, socket: string) {
    this.#scratch = scratch;
    this.#name = scratch.uniqueName();
    sys.connectUnix(this.#fd, socket);
  }

  play(script: readonly Message[], victim: number): void {
    for (const message of script) {
      try {
        this.#say(message, victim);
      } catch (error) {
        // conmond has turned it away in the meantime.
        if (!sys.isSystemError(error, "EPIPE") && !sys.isSystemError(error, "ECONNRESET"))
          throw error;
        return;
      }
    }
  }

  /** Says no more; resolves when conmond has read all of it and has hung up as well. */
  async leave(): Promise<void> {
    const packet = Buffer.alloc(8192);
    const ended = new Promise<void>((resolve) => {
      const look = (): void => {
        try {
          let count = 1;
          while (count > 0) {
            const received = sys.receiveWithDescriptors(this.#fd, packet, 8);
            if (received === undefined) return;
            received.descriptors.forEach(sys.close);
            count = received.bytes;
          }
        } catch (error) {
          // It has hung up without reading the rest, which it need not.
          if (!sys.isSystemError(error, "ECONNRESET")) throw error;
          return;
        }
        readiness.close();
        resolve();
      };
      const readiness = new sys.Readiness(this.#fd, look);
      readiness.watch(sys.READABLE | sys.DISCONNECT);
      try {
        sys.shutdownWrite(this.#fd);
      } catch (error) {
        if (!sys.isSystemError(error, "ENOTCONN")) throw error;
      }
      look();
    });
    await inTime(ended, "conmond to hang up");
    for (const fd of [this.#fd, ...this.#open.splice(0)]) sys.close(fd);
  }

  #say(message: Message, victim: number): void {
    if (message.say === "bytes") sys.send(this.#fd, message.bytes);
    else if (message.say === "words") {
      const bytes = words(...message.words);
      const ends = sys.pipe();
      const along = Array.from({ length: message.descriptors }, () => ends[0]);
      sys.send(this.#fd, bytes, 0, bytes.length, along);
      for (const end of ends) sys.close(end);
    } else this.#greet(message.hello, victim);
  }

  #greet(
    { flags, states: [runtime, container, exitCommand], slots, valid, extra }: Hello,
    victim: number,
  ) {
    const context = this.#context(valid, extra);
    const descriptors = slots.map(([, kind]) => this.#make(kind));
    // The pid of somebody who is alive, so that it is not taken for a shim that has just ended.
    const bytes = words(
      ...[1, 1, flags, victim, victim],
      ...[runtime, victim, 0, container, victim, 0, exitCommand, victim, 0],
      ...[0, slots.length, ...slots.map(([slot]) => slot)],
    );
    sys.send(this.#fd, bytes, 0, bytes.length, [context, ...descriptors]);
    sys.close(context);
    descriptors.forEach(sys.close);
  }

  #context(valid: boolean, extra: readonly string[]): number {
    const bundle = this.#scratch.folder("false", this.#name);
    const options = [
      ...["--cid", this.#name, "--cuuid", this.#name, "--runtime", "/bin/true", "--bundle", bundle],
      ...[
        "--log-path",
        `k8s-file:${join(bundle, "log")}`,
        "--socket-dir-path",
        bundle,
        "--full-attach",
      ],
      ...["--persist-dir", bundle, "--exit-dir", bundle, "-p", join(bundle, "pid")],
    ];
    const argv = ["conmon", ...(valid ? options : options.slice(4)), ...extra];
    const text = [...argv, "TMPDIR=/tmp", bundle].map((part) => `${part}\0`).join("");
    return this.#memory(Buffer.concat([words(argv.length, 1), Buffer.from(text)]));
  }

  #make(kind: Kind): number {
    switch (kind) {
      case "null":
        return openSync("/dev/null", "r+");
      case "pipe":
      case "socket": {
        const [one, other] = kind === "pipe" ? sys.pipe() : sys.unixSocketPair("seqpacket");
        this.#open.push(other);
        return one;
      }
      case "listener": {
        const fd = sys.unixSocket("seqpacket");
        sys.bindUnix(fd, `@${this.#scratch.uniqueName()}`);
        sys.listen(fd, 1);
        return fd;
      }
      case "file": {
        const path = this.#scratch.path(this.#scratch.uniqueName());
        writeFileSync(path, "somebody's\n");
        return openSync(path, "a+");
      }
      case "garbage":
        return this.#memory(Buffer.alloc(600, 0xd5));
      case "directory":
        return openSync("/", "r");
    }
  }

  #memory(bytes: Buffer): number {
    const fd = sys.memoryFile("false");
    sys.write(fd, bytes, 0, bytes.length);
    return fd;
  }
}

describe("shims that are none", { skip }, () => {
  it("cost a shared conmond neither a descriptor nor another session, whatever they say", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const container = new CountingContainer(scratch, { conmond: conmond.socket });
    await container.run.created();
    await container.countsOn();
    const victim = spawn("/bin/sleep", ["1000"], {
      stdio: "ignore",
      env: { CONMON_TS_TEST: scratch.id },
    });
    const gone = once(victim, "exit");
    // A shim that seems to be alive will find another conmond, which will need what has a name.
    scratch.atEnd(() => rmSync(scratch.path("false"), { recursive: true }));
    const victimPid = victim.pid ?? 0;
    const seed = Math.floor(Math.random() * 2 ** 31);
    // What is opened once and for all is open after the first of them.
    const trials = fc.sample(scripts, { numRuns: 400, seed });
    let before: string[] | undefined;
    for (const script of trials) {
      const shim = new FalseShim(scratch, conmond.socket);
      shim.play(script, victimPid);
      await shim.leave();
      before ??= await settled(conmond.pid);
      const told = () => `seed ${seed}: ${show(script)}\n${conmond.log().slice(-2000)}`;
      const most = before.length;
      let now: string[] = [];
      const closed = eventually(() => {
        now = openFilesOf(conmond.pid);
        return now.length <= most;
      }, "conmond to close what it was given");
      await closed.catch((cause) => {
        const left = now.filter((file) => !before?.includes(file));
        throw new Error(`${left.join(", ")} is left after ${told()}`, { cause });
      });
      if (now.length < most) before = now;
      assert.ok(isAlive(conmond.pid), told());
    }
    assert.ok(isAlive(victimPid), "nobody is killed on a false shim's word");
    await container.countsOn();
    await container.end();
    victim.kill("SIGKILL");
    await gone;
    assert.doesNotMatch(conmond.log(), /go on elsewhere/);
  });
});

/** What a process has open when it has nothing to do any more. */
async function settled(pid: number): Promise<string[]> {
  let last = openFilesOf(pid);
  for (let same = 0; same < 20; ) {
    await new Promise(setImmediate);
    const now = openFilesOf(pid);
    same = now.length === last.length ? same + 1 : 0;
    last = now;
  }
  return last;
}

function show(script: readonly Message[]): string {
  return JSON.stringify(script, (_key, value) =>
    value instanceof Uint8Array ? [...value] : value,
  );
}
