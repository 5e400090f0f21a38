import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import {
  existsSync,
  lstatSync,
  mkdirSync,
  mkdtempSync,
  readlinkSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import {
  AttachServer,
  type AttachServerOptions,
  MAX_PACKET_SIZE,
  readPacket,
} from "../../src/attach/mod.ts";
import * as sys from "../../src/sys/mod.ts";
import { inTime } from "../support/waiting.ts";

let directory: string;
let server: AttachServer | undefined;
let clients: Client[] = [];

beforeEach(() => {
  directory = mkdtempSync(join(tmpdir(), "attach-"));
});
afterEach(() => {
  for (const client of clients.splice(0)) client.close();
  server?.close();
  server = undefined;
  rmSync(directory, { recursive: true, force: true });
});

interface Heard {
  input: Buffer[];
  inputEnds: number;
  faults: string[];
  clients: number;
  onChange: () => void;
}

function open(changes: Partial<AttachServerOptions> = {}): { server: AttachServer; heard: Heard } {
  const heard: Heard = { input: [], inputEnds: 0, faults: [], clients: 0, onChange: () => {} };
  server = AttachServer.open({
    bundle: directory,
    fullAttach: true,
    socketDirectory: directory,
    linkName: "link",
    onInput: (data) => {
      heard.input.push(Buffer.from(data));
      heard.onChange();
      return true;
    },
    onInputEnd: () => {
      heard.inputEnds++;
      heard.onChange();
    },
    onFault: (error) => {
      heard.faults.push(error.message);
      heard.onChange();
    },
    onClientsChanged: (added) => {
      heard.clients += added === undefined ? -1 : 1;
      heard.onChange();
    },
    ...changes,
  });
  return { server, heard };
}

/** Resolves as soon as what the server has told fits. */
async function until(heard: Heard, fits: () => boolean, what: string): Promise<void> {
  if (fits()) return;
  await inTime(
    new Promise<void>((resolve) => {
      heard.onChange = () => {
        if (fits()) resolve();
      };
    }),
    what,
  );
}

class Client {
  readonly fd: number;
  #closed = false;

  constructor(path = join(directory, "attach")) {
    this.fd = sys.unixSocket("seqpacket");
    sys.connectUnix(this.fd, path);
    clients.push(this);
  }

  /** Reads until the end, or until so many bytes have come. */
  async read(
    most = Number.POSITIVE_INFINITY,
  ): Promise<{ stdout: Buffer; stderr: Buffer; longest: number }> {
    const got = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    const buffer = Buffer.alloc(20_000);
    let [total, longest] = [0, 0];
    await inTime(
      new Promise<void>((resolve, reject) => {
        const readiness = new sys.Readiness(this.fd, () => {
          try {
            const count = sys.receive(this.fd, buffer);
            if (count > 0) {
              const { stream, data } = readPacket(buffer.subarray(0, count));
              got[stream].push(Buffer.from(data));
              total += data.length;
              longest = Math.max(longest, count);
            }
            if (count !== 0 && total < most) return;
            readiness.close();
            resolve();
          } catch (error) {
            readiness.close();
            reject(error);
          }
        });
        readiness.watch(sys.READABLE);
      }),
      "the end of what a client reads",
    );
    return { stdout: Buffer.concat(got.stdout), stderr: Buffer.concat(got.stderr), longest };
  }

  close(): void {
    if (!this.#closed) sys.close(this.fd);
    this.#closed = true;
  }
}

describe("AttachServer", () => {
  it("gives every client all output since it came, in packets that fit, and then the end", async () => {
    const { server, heard } = open();
    const all = [new Client(), new Client()];
    await until(heard, () => heard.clients === 2, "two clients");
    const [out, err] = [randomBytes(100_000), randomBytes(20_000)];
    server.broadcast("stdout", out);
    server.broadcast("stderr", err);
    const reading = Promise.all(all.map((client) => client.read()));
    await server.finish(10_000);
    for (const { stdout, stderr, longest } of await reading) {
      assert.ok(stdout.equals(out));
      assert.ok(stderr.equals(err));
      assert.equal(longest, MAX_PACKET_SIZE);
    }
  });

  it("has output for a client that connected before it, though nothing has told of the client yet", async () => {
    const { server } = open();
    const client = new Client();
    server.acceptWaiting();
    server.broadcast("stdout", Buffer.from("at once"));
    const reading = client.read();
    await server.finish(10_000);
    assert.equal((await reading).stdout.toString(), "at once");
  });

  it("keeps all output for a client that does not read yet, and delays no other one", async () => {
    const { server, heard } = open({ bufferLimit: 100_000 });
    const [slow, quick] = [new Client(), new Client()];
    await until(heard, () => heard.clients === 2, "two clients");
    const output = randomBytes(4_000_000);
    const reading = quick.read(output.length);
    for (let at = 0; at < output.length; at += 50_000) {
      server.broadcast("stdout", output.subarray(at, at + 50_000));
    }
    assert.ok((await reading).stdout.equals(output));
    const late = slow.read();
    await server.finish(10_000);
    assert.ok((await late).stdout.equals(output));
    assert.deepEqual(heard.faults, []);
  });

  it("drops a client that is behind by more than can be kept, and says so", async () => {
    const { server, heard } = open({ bufferLimit: 50_000, spillLimit: 100_000 });
    new Client();
    await until(heard, () => heard.clients === 1, "a client");
    for (let i = 0; i < 20; i++) server.broadcast("stdout", Buffer.alloc(100_000));
    assert.equal(heard.clients, 0);
    assert.match(
      heard.faults[0] ?? "",
      /^Dropped an attach client \(process \d+\): it has \d+ bytes yet to read/,
    );
  });

  it("takes input in order, stops when told to and goes on", async () => {
    let wanted = false;
    const { server, heard } = open();
    server.close();
    const got: Buffer[] = [];
    const second = open({
      onInput: (data) => {
        got.push(Buffer.from(data));
        second.heard.onChange();
        return wanted;
      },
    });
    const client = new Client();
    for (const text of ["one ", "two ", "three"]) sys.send(client.fd, Buffer.from(text));
    await until(second.heard, () => got.length === 1, "the first packet");
    wanted = true;
    second.server.resumeInput();
    await until(second.heard, () => got.length === 3, "the rest");
    assert.equal(Buffer.concat(got).toString(), "one two three");
    assert.equal(heard.input.length, 0);
  });

  it("goes on sending to a client that has half-closed, and notices without output when it leaves", async () => {
    const { server, heard } = open();
    const client = new Client();
    await until(heard, () => heard.clients === 1, "a client");
    sys.shutdownWrite(client.fd);
    await until(heard, () => heard.inputEnds === 1, "the end of input");
    server.broadcast("stdout", Buffer.from("still here"));
    assert.equal((await client.read(10)).stdout.toString(), "still here");
    client.close();
    await until(heard, () => heard.clients === 0, "the client's leave");
    assert.equal(heard.inputEnds, 1);
  });

  it("is idle while a client that has half-closed does nothing", async () => {
    const { heard } = open();
    const client = new Client();
    sys.shutdownWrite(client.fd);
    await until(heard, () => heard.inputEnds === 1, "the end of input");
    const before = process.cpuUsage();
    // Nothing to wait for: a loop that spins would use this time up.
    await new Promise((resolve) => setTimeout(resolve, 300));
    const { user, system } = process.cpuUsage(before);
    assert.ok(user + system < 150_000, `${user + system} microseconds of CPU in 300 ms`);
  });

  it("drops a client that sends a packet too large, and turns away more than the limit", async () => {
    const { heard } = open({ maxClients: 1 });
    const client = new Client();
    await until(heard, () => heard.clients === 1, "a client");
    const extra = new Client();
    assert.equal((await extra.read()).stdout.length, 0);
    assert.match(heard.faults[0] ?? "", /there are 1 already/);
    sys.close(client.fd);
    clients = clients.filter((other) => other !== client);
    await until(heard, () => heard.clients === 0, "the client's leave");
  });

  it("makes a socket of mode 0700 in place of an old one, whatever the umask and the path's length", async () => {
    const deep = join(directory, "x".repeat(90), "y".repeat(90));
    mkdirSync(deep, { recursive: true });
    writeFileSync(join(deep, "attach"), "old");
    const umask = process.umask(0o077);
    const { server } = open({ bundle: deep });
    process.umask(umask);
    const status = statSync(join(deep, "attach"));
    assert.ok(status.isSocket());
    assert.equal(status.mode & 0o777, 0o700);
    await server.finish(0);
    assert.equal(existsSync(join(deep, "attach")), false);
  });

  it("makes a link to the bundle, one byte shorter where its path has exactly 107", async () => {
    for (const length of [106, 107, 108]) {
      const linkName = "l".repeat(length - directory.length - 1);
      const { server } = open({ fullAttach: false, linkName });
      const made = join(directory, linkName).slice(0, length === 107 ? 106 : undefined);
      assert.equal(readlinkSync(made), directory, `length ${length}`);
      server.removeLink();
      await server.finish(0);
      assert.equal(lstatSync(made, { throwIfNoEntry: false }), undefined);
    }
  });

  it("names the bundle that is missing", () => {
    const bundle = join(directory, "none");
    assert.throws(
      () => open({ bundle }),
      new RegExp(`Failed to open the bundle ${bundle}: ENOENT`),
    );
  });

  it("leaves clients and socket to the one that takes over", async () => {
    const { server: first, heard } = open();
    const client = new Client();
    await until(heard, () => heard.clients === 1, "a client");
    const listener = sys.duplicate(first.listenerFd);
    const copies = first.clientFds.map((fd) => ({ fd: sys.duplicate(fd) }));
    first.close();
    const faults: string[] = [];
    server = AttachServer.adopt(listener, copies, {
      ...{ bundle: directory, fullAttach: true, socketDirectory: directory, linkName: "link" },
      onInput: () => true,
      onInputEnd: () => {},
      onFault: (error) => faults.push(error.message),
    });
    server.broadcast("stdout", Buffer.from("from the second"));
    assert.equal((await client.read(15)).stdout.toString(), "from the second");
    assert.deepEqual(faults, []);
  });
});
