/** Real datagram sockets on both sides of the proxy. */
import assert from "node:assert/strict";
import {
  closeSync,
  existsSync,
  mkdirSync,
  openSync,
  readdirSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import { MAX_NOTIFY_MESSAGE, NotifyProxy } from "../../src/events/mod.ts";
import * as sys from "../../src/sys/mod.ts";
import { watchDescriptors } from "../support/open-descriptors.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { inTime } from "../support/waiting.ts";

/** The socket of a host: systemd's part. */
class Host {
  readonly fd = sys.unixSocket("dgram");
  readonly #buffer = Buffer.alloc(MAX_NOTIFY_MESSAGE);

  readonly #path: string;

  constructor(path: string) {
    this.#path = path;
    sys.bindUnix(this.fd, path);
  }

  /** A message that is there already. */
  take(): string | undefined {
    const length = sys.receive(this.fd, this.#buffer);
    return length < 0 ? undefined : this.#buffer.toString("utf8", 0, length);
  }

  /** The next message, as soon as it comes. */
  async next(): Promise<string> {
    const message = this.take();
    if (message !== undefined) return message;
    const ready = new Promise<void>((resolve, reject) => {
      const readiness = new sys.Readiness(this.fd, () => {
        readiness.close();
        resolve();
      });
      try {
        readiness.watch(sys.READABLE);
      } catch (error) {
        reject(error);
      }
    });
    await inTime(ready, "a message to the host");
    return this.take() ?? "";
  }

  close(): void {
    sys.close(this.fd);
    if (!this.#path.startsWith("@")) rmSync(this.#path, { force: true });
  }
}

interface Settings {
  scratch: Scratch;
  bundle: string;
  hostPath: string;
}

function prepare(t: TestContext): Settings {
  const scratch = makeScratch(t);
  return { scratch, bundle: scratch.folder("bundle"), hostPath: scratch.path("host.sock") };
}

/** A proxy; what it makes is closed at the end of the test. */
function open(settings: Settings, adopted?: number) {
  const { bundle, hostPath } = settings;
  const faults: string[] = [];
  let onFault = (): void => {};
  const options = {
    bundle,
    host: hostPath,
    onFault: (error: Error) => {
      faults.push(error.message);
      onFault();
    },
  };
  const proxy =
    adopted === undefined ? NotifyProxy.open(options) : NotifyProxy.adopt(adopted, options);
  settings.scratch.atEnd(() => proxy.finish());
  const fault = () =>
    inTime(
      new Promise<void>((resolve) => {
        onFault = resolve;
        if (faults.length > 0) resolve();
      }),
      "a fault",
    );
  return { proxy, faults, fault };
}

function openHost({ scratch, hostPath }: Settings): Host {
  const host = new Host(hostPath);
  scratch.atEnd(() => host.close());
  return host;
}

/** What a process in the container is for the proxy. */
function openSender({ scratch, bundle }: Settings): (text: string, fds?: number[]) => number {
  const fd = sys.unixSocket("dgram");
  const directory = openSync(join(bundle, "notify"), "r");
  sys.connectUnix(fd, `/proc/self/fd/${directory}/notify.sock`);
  closeSync(directory);
  scratch.atEnd(() => sys.close(fd));
  return (text, fds = []) => {
    const bytes = Buffer.from(text);
    return sys.send(fd, bytes, 0, bytes.length, fds);
  };
}

describe("the sd-notify proxy", () => {
  it("makes its socket for all users, and its directory, and removes the socket", (t) => {
    const settings = prepare(t);
    const umask = process.umask(0o077);
    t.after(() => process.umask(umask));
    const { proxy } = open(settings);
    const socket = statSync(join(settings.bundle, "notify/notify.sock"));
    assert.ok(socket.isSocket());
    assert.equal(socket.mode & 0o7777, 0o777);
    assert.equal(process.umask(), 0o077);
    proxy.finish();
    assert.deepEqual(readdirSync(join(settings.bundle, "notify")), []);
  });

  it("passes on one datagram for each, with the allowed lines only", async (t) => {
    const settings = prepare(t);
    open(settings);
    const host = openHost(settings);
    const send = openSender(settings);
    send("MAINPID=7\nREADY=1\nSTATUS=up\n");
    send("FOO=1");
    send("");
    send("STOPPING=1");
    assert.equal(await host.next(), "READY=1\nSTATUS=up");
    assert.equal(await host.next(), "STOPPING=1");
  });

  it("passes on to an abstract name", async (t) => {
    const settings = { ...prepare(t), hostPath: "" };
    settings.hostPath = `@${settings.scratch.id}`;
    open(settings);
    const host = openHost(settings);
    openSender(settings)("READY=1");
    assert.equal(await host.next(), "READY=1");
  });

  it("works with paths that are longer than an address, on both sides", async (t) => {
    const scratch = makeScratch(t);
    const bundle = scratch.folder("b".repeat(120));
    const directory = scratch.folder("h".repeat(120));
    const settings = { scratch, bundle, hostPath: join(directory, "host.sock") };
    const { proxy } = open(settings);
    const fd = openSync(directory, "r");
    scratch.atEnd(() => closeSync(fd));
    const host = openHost({ ...settings, hostPath: `/proc/self/fd/${fd}/host.sock` });
    openSender(settings)("READY=1");
    assert.equal(await host.next(), "READY=1");
    proxy.finish();
    assert.equal(existsSync(join(bundle, "notify/notify.sock")), false);
  });

  it("closes descriptors that come along, and passes on only the lines", async (t) => {
    const settings = prepare(t);
    open(settings);
    const host = openHost(settings);
    const send = openSender(settings);
    const [reader, writer] = sys.pipe();
    settings.scratch.atEnd(() => sys.close(reader));
    const leftOver = watchDescriptors();
    for (const text of ["FDSTORE=1\nFDNAME=x", "BARRIER=1", ""]) send(text, [writer, writer]);
    send("READY=1\nFDSTORE=1", [writer]);
    sys.close(writer);
    assert.equal(await host.next(), "READY=1");
    assert.equal(host.take(), undefined);
    assert.deepEqual(leftOver(), []);
    // Nobody has the other end any more: this is the end, not an empty pipe.
    assert.equal(sys.read(reader, Buffer.alloc(1), 0, 1), 0);
  });

  it("says that a message is too long, and goes on", async (t) => {
    const settings = prepare(t);
    const { faults } = open(settings);
    const host = openHost(settings);
    const send = openSender(settings);
    send(`READY=1\nSTATUS=${"x".repeat(MAX_NOTIFY_MESSAGE)}`);
    send("STOPPING=1");
    assert.equal(await host.next(), "STOPPING=1");
    assert.match(faults.join(), /^Lost an sd-notify message of 65551 bytes/);
  });

  it("says once that the host is away, and passes on when it is back", async (t) => {
    const settings = prepare(t);
    const { faults, fault, proxy } = open(settings);
    const send = openSender(settings);
    for (let n = 0; n < 5; n++) send("READY=1");
    await fault();
    const first = new Host(settings.hostPath);
    send("STATUS=first");
    assert.equal(await first.next(), "STATUS=first");
    first.close();
    // Another socket under the same name.
    const second = openHost(settings);
    send("STATUS=second");
    assert.equal(await second.next(), "STATUS=second");
    assert.match(faults.join(), /^Failed to pass an sd-notify message on to \S+: connect: ENOENT/);
    assert.equal(faults.length, 1);
    proxy.finish();
    assert.match(faults[1] ?? "", /^4 more of the same kind/);
  });

  /**
   * Sends until neither host, nor proxy, nor its socket take any more.
   *
   * @returns how many messages they took: `STATUS=0` and so on
   */
  async function fill(send: (text: string) => number): Promise<number> {
    let [sent, before] = [0, -1];
    while (sent !== before) {
      before = sent;
      while (send(`STATUS=${sent}`) >= 0) sent++;
      // A turn of the event loop, in which the proxy takes what it can.
      await new Promise(setImmediate);
    }
    return sent;
  }

  it("keeps messages waiting while the host is full, without spinning, and loses none", async (t) => {
    const settings = prepare(t);
    const { faults } = open(settings);
    const host = openHost(settings);
    const sent = await fill(openSender(settings));
    assert.ok(sent > 10, `${sent}`);
    const { user, system } = process.cpuUsage();
    await new Promise((resolve) => setTimeout(resolve, 300));
    const used = process.cpuUsage({ user, system });
    assert.ok(used.user + used.system < 150_000, `${used.user + used.system} µs of 300000`);
    for (let n = 0; n < sent; n++) assert.equal(await host.next(), `STATUS=${n}`);
    assert.deepEqual(faults, []);
  });

  it("goes on when a host that was full has gone", async (t) => {
    const settings = prepare(t);
    const { faults, fault } = open(settings);
    const host = new Host(settings.hostPath);
    const send = openSender(settings);
    await fill(send);
    host.close();
    await fault();
    const next = openHost(settings);
    while (send("READY=1") < 0) await new Promise(setImmediate);
    let message = await next.next();
    // Those that waited come first, as far as they have not been given up.
    while (message !== "READY=1") message = await next.next();
    assert.match(faults.join(), /^Failed to pass an sd-notify message on/);
  });

  it("passes on what was sent before the end", (t) => {
    const settings = prepare(t);
    const { proxy } = open(settings);
    const host = openHost(settings);
    const send = openSender(settings);
    send("READY=1");
    send("STOPPING=1");
    proxy.finish();
    assert.equal(host.take(), "READY=1");
    assert.equal(host.take(), "STOPPING=1");
    assert.throws(() => send("READY=1"), { code: "ECONNREFUSED" });
  });

  it("is taken over with the messages that came meanwhile", async (t) => {
    const settings = prepare(t);
    const first = open(settings);
    const copy = sys.duplicate(first.proxy.fd);
    first.proxy.close();
    const send = openSender(settings);
    send("READY=1");
    const host = openHost(settings);
    open(settings, copy);
    assert.equal(await host.next(), "READY=1");
    send("STOPPING=1");
    assert.equal(await host.next(), "STOPPING=1");
    assert.deepEqual(first.faults, []);
  });

  it("replaces an old socket or a link, and follows none", (t) => {
    const settings = prepare(t);
    mkdirSync(join(settings.bundle, "notify"));
    const target = settings.scratch.path("target");
    writeFileSync(target, "", { mode: 0o600 });
    symlinkSync(target, join(settings.bundle, "notify/notify.sock"));
    const { proxy } = open(settings);
    assert.equal(statSync(target).mode & 0o777, 0o600);
    assert.ok(statSync(join(settings.bundle, "notify/notify.sock")).isSocket());
    // A container may do anything in its directory.
    rmSync(join(settings.bundle, "notify/notify.sock"));
    symlinkSync(target, join(settings.bundle, "notify/notify.sock"));
    proxy.finish();
    assert.ok(existsSync(target));
    assert.deepEqual(readdirSync(join(settings.bundle, "notify")), []);
  });

  it("names what keeps it from being made, and leaves no descriptors", (t) => {
    const { bundle, hostPath: host } = prepare(t);
    const leftOver = watchDescriptors();
    const options = { bundle, host, onFault: () => {} };
    mkdirSync(join(bundle, "notify/notify.sock"), { recursive: true });
    assert.throws(
      () => NotifyProxy.open(options),
      /^Error: Failed to make the sd-notify socket .*notify\.sock: .*EISDIR/,
    );
    const own = join(bundle, "notify/notify.sock");
    assert.throws(() => NotifyProxy.open({ ...options, host: own }), /on to itself/);
    assert.deepEqual(leftOver(), []);
  });
});
