/** The parts of the host runtime that need no process: options, config.json, users, limits, the order. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import fc from "fast-check";
import { parseOptions } from "../../src/host-runtime/command-line.ts";
import { commands, globalOptions } from "../../src/host-runtime/command-table.ts";
import { parseConfig } from "../../src/host-runtime/config.ts";
import { execProcess } from "../../src/host-runtime/exec-process.ts";
import { commandHelp, programHelp } from "../../src/host-runtime/help.ts";
import { homeOf, identify, type Self } from "../../src/host-runtime/identity.ts";
import { numberLimit, openFilesLimit } from "../../src/host-runtime/limits.ts";
import { formatRecord } from "../../src/host-runtime/log.ts";
import { decodeAnswer, describeFailure, encodeOrder } from "../../src/host-runtime/order.ts";
import { readListenDescriptors } from "../../src/host-runtime/process-order.ts";
import { findMembers } from "../../src/host-runtime/processes.ts";
import { signalNumber } from "../../src/host-runtime/signals.ts";
import { checkId, defaultRoot, Store } from "../../src/host-runtime/store.ts";
import { type ProcessStat, parseStat } from "../../src/processes/stat.ts";
import { makeScratch } from "../support/scratch.ts";

const INFINITY = 0xffff_ffff_ffff_ffffn;

describe("the host runtime's options", () => {
  const specs = [
    { name: "bundle", short: "b", value: "DIR", about: "" },
    { name: "all", short: "a", about: "" },
  ];
  const read = (...args: string[]) => {
    const { options, rest } = parseOptions(args, specs);
    return [options.all("bundle"), options.flag("all"), rest];
  };

  it("come with one dash or two, with a value behind or after an equals sign", () => {
    for (const args of [["--bundle", "x"], ["-bundle=x"], ["-b", "x"], ["--b=x"]]) {
      assert.deepEqual(read(...args, "id"), [["x"], false, ["id"]]);
    }
    assert.deepEqual(read("--bundle=a=b", "--bundle", "-c"), [["a=b", "-c"], false, []]);
    assert.deepEqual(read("-a", "--all=false"), [[], false, []]);
    assert.deepEqual(read("--all=true"), [[], true, []]);
  });

  it("end at the first argument, or at two dashes", () => {
    assert.deepEqual(read("id", "-a"), [[], false, ["id", "-a"]]);
    assert.deepEqual(read("-a", "--", "-b"), [[], true, ["-b"]]);
    assert.deepEqual(read("-", "-a"), [[], false, ["-", "-a"]]);
  });

  it("are refused when unknown, without their value, or no number", () => {
    assert.throws(() => read("--nope"), /flag provided but not defined: --nope/);
    assert.throws(() => read("-ab"), /not defined: -ab/);
    assert.throws(() => read("--bundle"), /flag needs an argument: --bundle/);
    assert.throws(() => read("--all=maybe"), /invalid boolean value "maybe" for --all/);
    const { options } = parseOptions(["--bundle", "1x"], specs);
    assert.throws(() => options.count("bundle"), /invalid value "1x" for --bundle/);
  });

  it("have all that conmon and Podman pass to a runtime", () => {
    const accepts = (name: string, ...args: string[]) => {
      const command = commands.find((one) => one.name === name);
      assert.deepEqual(parseOptions(args, command?.options ?? []).rest, ["ID"]);
    };
    const sockets = ["--pid-file", "F", "--console-socket", "S"];
    accepts("create", "--bundle", "B", "--no-pivot", "--no-new-keyring", ...sockets, "ID");
    accepts("create", "--preserve-fds", "2", "ID");
    accepts("exec", "--process", "F", "--detach", "--preserve-fds=1", ...sockets, "ID");
    accepts("kill", "--all", "ID");
    accepts("delete", "--force", "ID");
    const global = ["--root=R", "--systemd-cgroup", "--log", "F", "--log-format=json", "--debug"];
    assert.deepEqual(parseOptions([...global, "--rootless=auto", "ID"], globalOptions).rest, [
      "ID",
    ]);
  });

  it("are all in the help, which says that nothing is isolated", () => {
    assert.match(programHelp(), /isolates NOTHING/);
    for (const { name } of globalOptions) assert.ok(programHelp().includes(`--${name}`), name);
    for (const command of commands) {
      assert.match(programHelp(), new RegExp(`^ {2}${command.name} `, "m"));
      for (const { name } of command.options) {
        assert.ok(commandHelp(command).includes(`--${name}`), `${command.name} --${name}`);
      }
    }
  });
});

describe("the host runtime's config.json", () => {
  const process = { args: ["true"], cwd: "/" };
  const parse = (config: unknown) => parseConfig(JSON.stringify(config), "/bundle");

  it("needs a program and a directory; all else has a default", () => {
    const config = parse({ process });
    assert.deepEqual(config.process.user, { uid: 0, gid: 0, additionalGids: [], umask: 0o022 });
    assert.equal(config.rootfs, "/bundle");
    assert.deepEqual(config.undone, []);
    assert.equal(config.userNamespace, undefined);
  });

  it("is told to be wrong with the place and what should be there", () => {
    const cases: [unknown, RegExp][] = [
      [{}, /config.json: process is missing/],
      [{ process: { ...process, args: [] } }, /config.json: process.args must not be empty/],
      [{ process: { ...process, args: "true" } }, /config.json: process.args must be a list/],
      [{ process: { ...process, args: ["a", 1] } }, /process.args\[1\] must be a string/],
      [{ process: { ...process, env: ["a\0b"] } }, /process.env\[0\] must be a string without NUL/],
      [{ process: { ...process, cwd: "x" } }, /process.cwd must be an absolute path/],
      [{ process: { ...process, user: { uid: -1 } } }, /process.user.uid must be a whole number/],
      [{ process: { ...process, user: { uid: 2 ** 32 - 1 } } }, /process.user.uid must be/],
      [{ process: [] }, /config.json: process must be an object/],
      [{ process, hooks: { poststop: [{ path: "x" }] } }, /poststop\[0\].path must be absolute/],
      [{ process, annotations: { a: 1 } }, /config.json: annotations.a must be a string/],
    ];
    for (const [config, message] of cases) assert.throws(() => parse(config), message);
    assert.throws(() => parseConfig("{", "/"), /config.json is not JSON/);
  });

  it("is summed up by what is left undone; empty wishes are none", () => {
    const config = parse({
      process: { ...process, capabilities: { bounding: [] }, selinuxLabel: "" },
      root: { path: "rootfs" },
      mounts: [{}],
      linux: {
        namespaces: [{ type: "pid" }, { type: "mount" }],
        seccomp: { defaultAction: "x" },
        resources: {},
        devices: null,
      },
    });
    assert.equal(config.rootfs, "/bundle/rootfs");
    assert.deepEqual(config.undone, [
      "the root file system rootfs",
      "namespaces (pid, mount)",
      "1 mount",
      "capabilities",
      "the seccomp filter",
    ]);
  });

  it("gives exec its defaults, on top of which come the options", () => {
    const own = parse({ process: { ...process, env: ["A=1"], user: { uid: 5, gid: 6 } } }).process;
    const exec = commands.find(({ name }) => name === "exec");
    const read = (args: string[], ...command: string[]) =>
      execProcess(parseOptions(args, exec?.options ?? []).options, own, command);
    const plain = read([], "id");
    assert.deepEqual([plain.args, plain.env, plain.cwd], [["id"], ["A=1"], "/"]);
    const special = read(["--env", "B=2", "--cwd=/tmp", "-u", "7:8", "-g", "9", "-t"], "x", "-y");
    assert.deepEqual(special.env, ["A=1", "B=2"]);
    assert.deepEqual([special.args, special.cwd, special.terminal], [["x", "-y"], "/tmp", true]);
    assert.deepEqual(special.user, { uid: 7, gid: 8, additionalGids: [9], umask: 0o022 });
    assert.equal(read(["--user", "7"], "x").user.gid, 6);
    assert.throws(() => read(["--user", "nobody"], "x"), /--user takes numbers, not "nobody"/);
    assert.throws(() => read([]), /process args cannot be empty/);
    assert.throws(() => read(["--cwd", "tmp"], "x"), /process.cwd must be an absolute path/);
  });
});

describe("who a process of the host runtime is", () => {
  const root: Self = { uid: 0, gid: 0, groups: [0], maySetGroups: true };
  const user: Self = { uid: 1000, gid: 1000, groups: [1000, 27], maySetGroups: false };
  const wish = (uid: number, gid: number, ...additionalGids: number[]) => ({
    uid,
    gid,
    additionalGids,
    umask: 0,
  });

  it("is anybody for root, with no other groups than those asked for", () => {
    assert.deepEqual(identify(wish(5, 6, 7), undefined, root), {
      ids: { uid: 5, gid: 6 },
      groups: [7],
    });
    assert.deepEqual(identify(wish(0, 0), undefined, root).groups, []);
  });

  it("is oneself for all others", () => {
    assert.deepEqual(identify(wish(1000, 1000, 27, 1000), undefined, user), {
      ids: undefined,
      groups: undefined,
    });
    const own = /only root can change that, and this is user 1000, group 1000/;
    assert.throws(() => identify(wish(0, 1000), undefined, user), own);
    assert.throws(() => identify(wish(1000, 0), undefined, user), own);
    assert.throws(() => identify(wish(1000, 1000, 4), undefined, user), /additional group 4/);
  });

  it("is who the IDs of a user namespace stand for, and never the host's root by mistake", () => {
    const mappings = [
      { containerId: 0, hostId: 1000, size: 1 },
      { containerId: 1, hostId: 100_000, size: 10 },
    ];
    const namespace = { users: mappings, groups: mappings };
    assert.deepEqual(identify(wish(0, 0), namespace, user).ids, undefined);
    assert.deepEqual(identify(wish(10, 1, 2), namespace, root), {
      ids: { uid: 100_009, gid: 100_000 },
      groups: [100_001],
    });
    assert.throws(() => identify(wish(11, 0), namespace, root), /user 11 has no mapping/);
    assert.throws(() => identify(wish(0, 0), { users: [], groups: [] }, root), /no mapping/);
  });

  it("keeps its groups where a user namespace does not let them be set", () => {
    const inside = { ...root, maySetGroups: false };
    assert.equal(identify(wish(0, 0), undefined, inside).groups, undefined);
    assert.throws(() => identify(wish(0, 0, 5), undefined, inside), /additional groups cannot/);
  });

  it("has the home that the user database says", () => {
    const passwd = "root:x:0:0:root:/root:/bin/sh\nx:x:10:10::/home/x:/bin/sh\nempty:x:11:11::::\n";
    assert.deepEqual(
      [0, 10, 11, 1].map((uid) => homeOf(uid, passwd)),
      ["/root", "/home/x", "/", "/"],
    );
  });
});

describe("what the host runtime tells host-init", () => {
  it("has the layout that it reads", () => {
    const order = encodeOrder(
      {
        gated: true,
        terminal: false,
        ids: { uid: 1, gid: 2 },
        groups: [3],
        umask: 0o22,
        limits: [{ resource: 7, soft: 8n, hard: INFINITY }],
        oomScoreAdj: -5,
        noNewPrivileges: false,
        listenPid: false,
        cwd: "/é",
        args: ["a", ""],
        env: ["B=c"],
      },
      true,
    );
    const view = Buffer.from(order);
    const header = Array.from({ length: 10 }, (_, i) => view.readInt32LE(4 * i));
    assert.deepEqual(header, [1 + 4 + 8 + 32, 0o22, 1, 2, -5, 1, 1, 2, 1, 0]);
    assert.deepEqual(
      [40, 48, 56].map((at) => view.readBigUInt64LE(at)),
      [7n, 8n, INFINITY],
    );
    assert.equal(view.readUInt32LE(64), 3);
    assert.equal(view.subarray(68).toString(), "/é\0a\0\0B=c\0");
  });

  it("is answered with faults that have runc's words", () => {
    const say = (...parts: (string | number)[]) =>
      describeFailure(decodeAnswer(Buffer.from(parts.join("\0"))));
    assert.equal(
      say("find", 2, "No such file or directory", "nope"),
      'exec: "nope": executable file not found in $PATH',
    );
    assert.equal(
      say("find", 2, "No such file or directory", "/x/y"),
      'exec: "/x/y": stat /x/y: no such file or directory',
    );
    assert.equal(say("find", 13, "Permission denied", "/x"), 'exec: "/x": permission denied');
    assert.equal(say("exec", 8, "Exec format error", "/x"), "exec /x: exec format error");
    assert.equal(
      say("setgroups", 1, "Operation not permitted", ""),
      "setgroups: operation not permitted",
    );
  });

  it("has limits by number; more than 2^63 is no limit", () => {
    assert.deepEqual(numberLimit({ type: "RLIMIT_NOFILE", soft: 10, hard: 2 ** 64 }), {
      resource: 7,
      soft: 10n,
      hard: INFINITY,
    });
    assert.throws(() => numberLimit({ type: "RLIMIT_X", soft: 0, hard: 0 }), /no resource limit/);
    assert.throws(() => numberLimit({ type: "RLIMIT_CPU", soft: 2, hard: 1 }), /above the hard/);
    const text =
      "Max cpu time  unlimited  unlimited  seconds\nMax open files  1024  unlimited  files\n";
    assert.deepEqual(openFilesLimit(text), { resource: 7, soft: 1024n, hard: INFINITY });
    assert.equal(openFilesLimit(""), undefined);
  });

  it("hands on the sockets of an activation that is meant for the runtime", () => {
    const environment = { LISTEN_FDS: "2", LISTEN_PID: "77", LISTEN_FDNAMES: "a:b" };
    assert.deepEqual(readListenDescriptors(environment, 77), {
      count: 2,
      env: ["LISTEN_FDS=2", "LISTEN_PID=0000000000", "LISTEN_FDNAMES=a:b"],
    });
    for (const other of [{}, { LISTEN_PID: "78" }, { LISTEN_FDS: "0" }, { LISTEN_FDS: "x" }]) {
      const changed = Object.keys(other).length > 0 ? { ...environment, ...other } : {};
      assert.deepEqual(readListenDescriptors(changed, 77), { count: 0, env: [] });
    }
  });
});

describe("the host runtime's small formats", () => {
  it("signals: numbers and names in all ways to write them", () => {
    const numbers = ["9", "KILL", "SIGKILL", "sigkill", "RTMIN", "SIGRTMIN+3", "rtmax-1", "0"];
    assert.deepEqual(numbers.map(signalNumber), [9, 9, 9, 9, 34, 37, 63, 0]);
    for (const wrong of ["", "FOO", "65", "-1", "9x", "RTMIN+40", "RTMAX+1"]) {
      assert.throws(() => signalNumber(wrong), {
        message: `unknown signal ${JSON.stringify(wrong)}`,
      });
    }
  });

  it("messages: as logrus writes them", () => {
    const time = new Date(Date.UTC(2024, 1, 3, 4, 5, 6, 789));
    assert.equal(
      formatRecord("text", "error", 'no "x"', time),
      'time="2024-02-03T04:05:06Z" level=error msg="no \\"x\\""',
    );
    assert.equal(
      formatRecord("json", "warning", "a\nb", time),
      '{"level":"warning","msg":"a\\nb","time":"2024-02-03T04:05:06Z"}',
    );
  });

  it("IDs: what runc allows, and no way out of the directory", () => {
    for (const id of ["a", "A-1_b.c+d", "f".repeat(64)]) checkId(id);
    for (const id of ["", ".", "..", "a/b", "../a", "a b", "ä", "x".repeat(256)]) {
      assert.throws(() => checkId(id), { message: "invalid container ID format" });
    }
  });

  it("the place for state: root's, or the user's own", () => {
    const host = "         0          0 4294967295\n";
    const inside = "         0       1000          1\n";
    assert.equal(defaultRoot(0, host, "/run/user/0"), "/run/conmon-ts/host-runtime");
    assert.equal(defaultRoot(0, inside, "/run/user/1000"), "/run/user/1000/conmon-ts/host-runtime");
    assert.equal(defaultRoot(0, inside, undefined), "/run/conmon-ts/host-runtime");
    assert.equal(defaultRoot(5, host, "/run/user/5"), "/run/user/5/conmon-ts/host-runtime");
    assert.throws(() => defaultRoot(5, host, undefined), /XDG_RUNTIME_DIR is not set/);
  });

  it("a state that is damaged: the message says where it is", (t) => {
    const root = makeScratch(t).folder("root");
    mkdirSync(join(root, "half"), { mode: 0o700 });
    const path = join(root, "half/state.json");
    writeFileSync(path, '{"id": "ha');
    const message = new RegExp(`^${path} is damaged: .*JSON`);
    assert.throws(() => new Store(root).load("half"), { name: "Failure", message });
  });
});

describe("processes as the host runtime sees them", () => {
  it("are read from stat whatever their name is", () => {
    const rest = "S 12 34 56 0 -1 0 0 0 0 0 70 7 0 0 20 0 1 0 987654 4096 33";
    fc.assert(
      fc.property(fc.string({ maxLength: 15 }), (name) => {
        assert.deepEqual(parseStat(`4321 (${name}) ${rest}`), {
          pid: 4321,
          state: "S",
          parent: 12,
          session: 56,
          cpuTicks: 77,
          startTime: "987654",
          residentPages: 33,
        });
      }),
    );
  });

  const one = (pid: number, parent: number, session: number, state = "S"): ProcessStat => ({
    pid,
    parent,
    session,
    state,
    startTime: String(pid),
    cpuTicks: 0,
    residentPages: 0,
  });
  const pids = (all: ProcessStat[], ...leaders: number[]) =>
    findMembers(
      leaders.map((pid) => ({ pid, startTime: String(pid) })),
      all,
    ).map(({ pid }) => pid);

  it("belong together by session and by descent", () => {
    const all = [
      one(1, 0, 1),
      one(10, 1, 10),
      one(11, 10, 10),
      one(12, 1, 10), // An orphan in the session.
      one(13, 12, 13), // A session of its own, below the orphan.
      one(14, 13, 13, "Z"),
      one(20, 1, 20),
    ];
    assert.deepEqual(pids(all, 10), [10, 11, 12, 13]);
    assert.deepEqual(
      pids(
        all.filter(({ pid }) => pid !== 10),
        10,
      ),
      [11, 12, 13],
      "the leader is gone",
    );
    assert.deepEqual(pids(all, 10, 20), [10, 11, 12, 13, 20]);
  });

  it("do not belong to a leader whose pid somebody else has by now", () => {
    const stranger = { ...one(10, 1, 10), startTime: "later" };
    assert.deepEqual(pids([one(1, 0, 1), stranger, one(11, 10, 10)], 10), []);
  });
});
