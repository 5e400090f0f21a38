import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, test } from "node:test";
import {
  type CheckedOptions,
  checkOptions,
  type SessionEnvironment,
} from "../../src/session/checks.ts";
import { ConmonError } from "../../src/session/errors.ts";
import { OPTION_TABLE } from "../../src/session/option-table.ts";
import { parseOptions } from "../../src/session/options.ts";
import { runtimeCommand } from "../../src/session/runtime-command.ts";

const CID = "0123456789abcdef";

/** A host on which /usr/bin/runc and /srv/runc can be executed. */
const HOST: SessionEnvironment = {
  workingDirectory: "/srv",
  variables: new Map(),
  isExecutable: (path) => path === "/usr/bin/runc" || path === "/srv/runc",
  realPath: (path) => path,
};

/** What the logs have where no `--log-opt` says otherwise. */
const LOG_DEFAULTS = {
  ...{ recordSize: 16384, maxAge: undefined, compress: "none", maxTotalSize: undefined },
  ...{ onError: "drop", allowlistDirs: [] },
  rate: { bytesPerSecond: undefined, linesPerSecond: undefined, onLimit: "block" },
};

const CREATE = ["-c", CID, "-u", "uuid", "-r", "/usr/bin/runc", "-l", "none"];
const EXEC = [...CREATE, "-e", "--exec-process-spec", "/spec"];
const EXEC_1 = [...EXEC, "--api-version", "1"];

function check(argv: string[], host: Partial<SessionEnvironment> = {}): CheckedOptions {
  return checkOptions(parseOptions(argv), { ...HOST, ...host });
}

function assertRefused(argv: string[], message: string, host?: Partial<SessionEnvironment>): void {
  assert.throws(
    () => check(argv, host),
    (error) => {
      assert.ok(error instanceof ConmonError, String(error));
      assert.equal(error.message, message);
      assert.equal(error.status, 1);
      return true;
    },
    argv.join(" "),
  );
}

/**
 * One fault after the other in the order in which they are looked for: each command line has its own
 * fault, and `more` brings it into every one before, to see that the earlier fault wins.
 */
const FAULTS: { message: string; argv: string[]; more: string[] }[] = [
  {
    message: "conmon: log-max-files must be non-negative, got -3",
    argv: [...CREATE, "--log-max-files=-3"],
    more: ["--log-max-files=-3"],
  },
  {
    message: "conmon: log-max-files must be at least 1 when log-rotate is enabled, got 0",
    argv: [...CREATE, "--log-rotate", "--log-max-files=0"],
    more: ["--log-rotate", "--log-max-files=0"],
  },
  {
    message: "conmon: Container ID not provided. Use --cid",
    argv: ["-u", "uuid", "-r", "/usr/bin/runc", "-l", "none"],
    more: ["--cid="],
  },
  {
    message: "[conmon:e]: No such log level loud",
    argv: [...CREATE, "--log-level", "loud"],
    more: ["--log-level", "loud"],
  },
  {
    message: "[conmon:e]: Cannot use 'exec' and 'restore' at the same time",
    argv: [...EXEC, "--restore", "/ckpt"],
    more: ["-e", "--restore", "/ckpt"],
  },
  {
    message: "[conmon:e]: Attach can only be specified with exec",
    argv: [...CREATE, "--api-version", "1", "--exec-attach"],
    more: [],
  },
  {
    message: "[conmon:e]: Attach can only be specified for a non-legacy exec session",
    argv: [...EXEC, "--exec-attach"],
    more: [],
  },
  {
    message: "[conmon:e]: Container UUID not provided. Use --cuuid",
    argv: ["-c", CID, "-r", "/usr/bin/runc", "-l", "none"],
    more: ["--cuuid="],
  },
  {
    message: "[conmon:e]: Runtime path not provided. Use --runtime",
    argv: ["-c", CID, "-u", "uuid", "-l", "none"],
    more: [],
  },
  {
    message: "[conmon:e]: Runtime path /no/runc is not valid",
    argv: [...CREATE, "-r", "/no/runc"],
    more: ["-r", "/no/runc"],
  },
  {
    message: "[conmon:e]: Exec process spec path not provided. Use --exec-process-spec",
    argv: [...CREATE, "-e"],
    more: ["--exec-process-spec="],
  },
  {
    message: "[conmon:e]: Delay before invoking exit command must be greater than or equal to 0",
    argv: [...CREATE, "--exit-delay=-1"],
    more: ["--exit-delay=-1"],
  },
  {
    message: "[conmon:e]: Log driver not provided. Use --log-path",
    argv: ["-c", CID, "-u", "uuid", "-r", "/usr/bin/runc"],
    more: [],
  },
  {
    message: "[conmon:e]: log-path must not be empty",
    argv: [...CREATE, "-l", ":"],
    more: ["-l", ":"],
  },
  {
    message: "[conmon:e]: --exit-dir must not be empty",
    argv: [...CREATE, "--exit-dir="],
    more: ["--exit-dir="],
  },
];

describe("the checks in their order", () => {
  for (const [index, { message, argv }] of FAULTS.entries()) {
    test(message, () => {
      assertRefused(argv, message);
      const later = FAULTS.slice(index + 1).filter(({ more }) => more.length > 0);
      for (const { more } of later) {
        // The last value of an option counts, so that these two cannot be wrong at once.
        if (message.endsWith("got -3") && more.includes("--log-max-files=0")) continue;
        // An empty log path would be one that is provided.
        if (message.endsWith("--log-path") && more.includes("-l")) continue;
        // Exec is what makes these two go away.
        if (message.endsWith("with exec") && more.includes("-e")) continue;
        // A path that is wrong is provided.
        if (message.endsWith("--runtime") && more.includes("-r")) continue;
        assertRefused([...argv, ...more], message);
      }
    });
  }

  test("attaching without exec is the first fault even with API version 0", () => {
    assertRefused(
      [...CREATE, "--exec-attach"],
      "[conmon:e]: Attach can only be specified with exec",
    );
  });

  test("no log path at all comes before anything about logs", () => {
    const argv = ["-c", "short", "-u", "u", "-r", "/usr/bin/runc", "--log-label", "x"];
    assertRefused(argv, "[conmon:e]: Log driver not provided. Use --log-path");
  });

  test("log drivers are read before any of them is checked", () => {
    const argv = ["-c", "short", "-u", "u", "-r", "/usr/bin/runc", "-l", "journald", "-l", "x:y"];
    assertRefused(argv, "[conmon:e]: No such log driver x");
  });

  test("the drivers' own checks see the options", () => {
    const journald = [...CREATE, "-l", "journald"];
    assertRefused(
      [...CREATE, "-l", "f", "--log-tag", "t"],
      "[conmon:e]: k8s-file doesn't support --log-tag",
    );
    assertRefused(
      [...journald, "-c", "123456789012"],
      "[conmon:e]: Container ID must be longer than 12 characters",
    );
    assertRefused(
      [...journald, "--log-label", "x"],
      "[conmon:e]: Container labels must be in format LABEL=VALUE (none or more than one '=' present in 'x')",
    );
    assertRefused(
      [...CREATE, "-l", "/tmp/f", "--log-allowlist-dir", "logs"],
      "[conmon:e]: Log file /tmp/f is not below any directory of --log-allowlist-dir",
    );
    assert.ok(check([...CREATE, "-l", "logs/f", "--log-allowlist-dir", "logs"]));
  });

  test("nothing on disk is a reason to refuse a container that is there already", () => {
    const host = { running: true, workingDirectory: "", isExecutable: () => true };
    const { logs } = check([...CREATE, "-l", "/tmp/f", "--log-allowlist-dir", "/logs"], host);
    assert.deepEqual(logs.allowlistDirs, ["/logs"]);
  });
});

describe("checks that depend on the mode", () => {
  test("exec with API version 0 needs no UUID and takes the container's ID for one", () => {
    const argv = [
      "-c",
      CID,
      "-r",
      "/usr/bin/runc",
      "-l",
      "none",
      "-e",
      "--exec-process-spec",
      "/s",
    ];
    assert.equal(check(argv).cuuid, CID);
    assert.equal(check([...argv, "-u", "mine"]).cuuid, "mine");
    const message = "[conmon:e]: Container UUID not provided. Use --cuuid";
    assertRefused([...argv, "--api-version"], message);
  });

  test("the runtime must be executable where the caller is", () => {
    assert.equal(check([...CREATE, "-r", "runc"]).runtime, "/srv/runc");
    for (const path of ["", "crun", "../runc"]) {
      assertRefused([...CREATE, "-r", path], `[conmon:e]: Runtime path ${path} is not valid`);
    }
    assertRefused([...CREATE, "-r", ""], "[conmon:e]: Runtime path  is not valid", {
      isExecutable: () => true,
    });
  });

  test("a working directory that is gone is a fault", () => {
    const message = "[conmon:e]: Failed to get working directory";
    assertRefused(CREATE, message, { workingDirectory: "" });
    assertRefused(
      [...CREATE, "-e"],
      "[conmon:e]: Exec process spec path not provided. Use --exec-process-spec",
      { workingDirectory: "" },
    );
  });

  test("attaching to an exec needs the attach pipe", () => {
    const argv = [...EXEC_1, "--exec-attach"];
    assertRefused(argv, "[conmon:e]: --attach specified but _OCI_ATTACHPIPE was not");
    const { launch } = check(argv, { variables: new Map([["_OCI_ATTACHPIPE", "5"]]) });
    assert.equal(launch.kind === "exec" && launch.attach, true);
  });

  test("no path may be empty, since it would mean the working directory", () => {
    const names = [
      ...["bundle", "container-pidfile", "conmon-pidfile", "persist-dir", "exit-dir"],
      ...["exit-command", "restore", "socket-dir-path", "sdnotify-socket", "log-allowlist-dir"],
    ];
    for (const name of names) {
      assertRefused([...CREATE, `--${name}=`], `[conmon:e]: --${name} must not be empty`);
    }
  });

  test("LISTEN_PID must begin with a positive number", () => {
    for (const text of ["", "abc", "0", "-3", "99999999999999999999", "00"]) {
      assertRefused(CREATE, `[conmon:e]: Invalid LISTEN_PID ${text.slice(0, 10)}`, {
        variables: new Map([["LISTEN_PID", text]]),
      });
    }
    for (const text of ["1", "12x", " +7", "007"]) {
      assert.ok(check(CREATE, { variables: new Map([["LISTEN_PID", text]]) }));
    }
  });

  test("LISTEN_PID is replaced only where there is one", () => {
    const argv = [...CREATE, "--replace-listen-pid"];
    const variables = new Map([["LISTEN_PID", "1"]]);
    assert.equal(check(argv, { variables }).replaceListenPid, true);
    assert.equal(check(argv).replaceListenPid, false);
    assert.equal(check(CREATE, { variables }).replaceListenPid, false);
  });
});

describe("what is filled in", () => {
  test("the least that can be said gives these options", () => {
    assert.deepEqual(check(CREATE), {
      ...{ cid: CID, cuuid: "uuid", name: undefined, apiVersion: 0 },
      launch: { kind: "create", bundle: "/srv" },
      ...{ runtime: "/usr/bin/runc", runtimeArgs: [], runtimeOpts: [] },
      ...{ systemdCgroup: false, noPivot: false, noNewKeyring: false, replaceListenPid: false },
      ...{ terminal: false, stdin: false, leaveStdinOpen: false },
      containerPidfile: `/srv/pidfile-${CID}`,
      ...{ conmonPidfile: undefined, persistDir: undefined, exitDir: undefined },
      ...{ exitCommand: undefined, exitDelaySeconds: 0 },
      logs: {
        ...LOG_DEFAULTS,
        drivers: [{ driver: "none" }],
        ...{ maxSize: undefined, globalMaxSize: undefined, rotate: false, maxFiles: 1 },
        ...{ tag: undefined, labels: [], markPartials: true, sync: true },
      },
      ...{ logLevel: "warn", syslog: false },
      ...{ socketDir: "/var/run/crio", fullAttach: false, sdnotifySocket: undefined },
      ...{ sync: false, timeoutSeconds: undefined, warnings: [] },
    });
  });

  test("what was given stays", () => {
    const options = check([
      ...CREATE,
      ...[
        "-n",
        "web",
        "-t",
        "-i",
        "-s",
        "--leave-stdin-open",
        "--syslog",
        "--full-attach",
        "--sync",
      ],
      ...["--no-pivot", "--no-new-keyring", "--api-version", "--runtime-arg=--root=/x"],
      ...["--runtime-opt", "--y", "--exit-delay", "3", "-T", "9", "--log-level", "debug"],
    ]);
    const { name, apiVersion, runtimeArgs, runtimeOpts, exitDelaySeconds, timeoutSeconds } =
      options;
    assert.deepEqual([name, apiVersion, exitDelaySeconds, timeoutSeconds], ["web", 1, 3, 9]);
    assert.deepEqual([runtimeArgs, runtimeOpts], [["--root=/x"], ["--y"]]);
    const { terminal, stdin, systemdCgroup, leaveStdinOpen, syslog, fullAttach, sync } = options;
    const flags = { terminal, stdin, systemdCgroup, leaveStdinOpen, syslog, fullAttach, sync };
    for (const [flag, value] of Object.entries(flags)) assert.equal(value, true, flag);
    assert.ok(options.noPivot && options.noNewKeyring);
    assert.equal(options.logLevel, "debug");
  });

  test("every path is made absolute against the caller's working directory", () => {
    const options = check([
      ...[...CREATE, "-b", "b", "-p", "p/../q", "-P", "./P", "-0", "keep", "--exit-dir", "x"],
      ...["--exit-command", "bin/cleanup", "--exit-command-arg", "a", "--exit-command-arg", "b"],
      ...["--socket-dir-path", "s", "--sdnotify-socket", "n", "-l", "c.log", "-l", "k8s-file:/d"],
    ]);
    assert.deepEqual(options.launch, { kind: "create", bundle: "/srv/b" });
    assert.equal(options.containerPidfile, "/srv/p/../q");
    assert.equal(options.conmonPidfile, "/srv/./P");
    assert.equal(options.persistDir, "/srv/keep");
    assert.equal(options.exitDir, "/srv/x");
    assert.deepEqual(options.exitCommand, ["/srv/bin/cleanup", "a", "b"]);
    assert.equal(options.socketDir, "/srv/s");
    assert.equal(options.sdnotifySocket, "/srv/n");
    assert.deepEqual(options.logs.drivers, [
      { driver: "none" },
      { driver: "k8s-file", path: "/srv/c.log" },
      { driver: "k8s-file", path: "/d" },
    ]);
  });

  test("paths in the root directory have one slash", () => {
    const { containerPidfile, launch } = check(CREATE, { workingDirectory: "/" });
    assert.equal(containerPidfile, `/pidfile-${CID}`);
    assert.equal(launch.bundle, "/");
  });

  test("an abstract sd-notify socket is no path", () => {
    assert.equal(check([...CREATE, "--sdnotify-socket", "@n"]).sdnotifySocket, "@n");
  });

  test("an exec without a bundle has none, and with one it is absolute", () => {
    const launch = { kind: "exec", bundle: undefined, processSpec: "/spec", attach: false };
    assert.deepEqual(check(EXEC).launch, launch);
    assert.deepEqual(check([...EXEC, "-b", "x"]).launch, { ...launch, bundle: "/srv/x" });
    const relative = check([...EXEC, "--exec-process-spec", "s.json"]).launch;
    assert.deepEqual(relative, { ...launch, processSpec: "/srv/s.json" });
  });

  test("a restore has its checkpoint and a bundle", () => {
    const { launch } = check([...CREATE, "--restore", "ckpt"]);
    assert.deepEqual(launch, { kind: "restore", bundle: "/srv", checkpoint: "/srv/ckpt" });
  });

  test("log levels have several names, in any case", () => {
    const names = {
      error: ["error", "fatal", "panic", "ERROR", "Panic"],
      warn: ["warn", "warning", "WARNING"],
      info: ["info", "Info"],
      debug: ["debug", "DEBUG"],
      trace: ["trace", "tRaCe"],
    };
    for (const [level, spellings] of Object.entries(names)) {
      for (const spelling of spellings) {
        assert.equal(check([...CREATE, "--log-level", spelling]).logLevel, level);
      }
    }
    assertRefused([...CREATE, "--log-level", ""], "[conmon:e]: No such log level ");
  });

  test("limits of 0 and less are none, and sizes beyond what a number can count are as large as can be", () => {
    for (const text of ["0", "-1", "-9223372036854775808"]) {
      const { logs } = check([
        ...CREATE,
        `--log-size-max=${text}`,
        `--log-global-size-max=${text}`,
      ]);
      assert.deepEqual([logs.maxSize, logs.globalMaxSize], [undefined, undefined]);
    }
    for (const text of ["0", "-5"]) {
      assert.equal(check([...CREATE, `--timeout=${text}`]).timeoutSeconds, undefined);
    }
    const sizes = ["--log-size-max=8192", "--log-global-size-max=9223372036854775807"];
    const { logs } = check([...CREATE, ...sizes]);
    assert.deepEqual([logs.maxSize, logs.globalMaxSize], [8192, Number.MAX_SAFE_INTEGER]);
  });

  test("log settings go with the log", () => {
    const { logs } = check([
      ...[...CREATE, "-l", "journald", "--log-rotate", "--log-max-files", "4", "--log-tag", "t"],
      ...["--log-label", "A=b", "--no-container-partial-message", "--no-sync-log"],
    ]);
    assert.deepEqual(logs, {
      ...LOG_DEFAULTS,
      drivers: [{ driver: "none" }, { driver: "journald" }],
      ...{ maxSize: undefined, globalMaxSize: undefined, rotate: true, maxFiles: 4 },
      ...{ tag: "t", labels: ["A=b"], markPartials: false, sync: false },
    });
  });

  test("--log-opt and $CONMON_LOG_OPTS go with the log, and max-files asks for backups", () => {
    const variables = new Map([["CONMON_LOG_OPTS", "max-files=7,compress=gzip,on-error=block"]]);
    const { logs, warnings } = check([...CREATE, "--log-opt", "on-error=drop"], { variables });
    const { rotate, maxFiles, compress, onError } = logs;
    assert.deepEqual([rotate, maxFiles, compress, onError], [true, 7, "gzip", "drop"]);
    assert.deepEqual(warnings, []);
    const more = check([...CREATE, "--log-rotate", "--log-max-files=2", "--log-opt=max-files=3"]);
    assert.equal(more.logs.maxFiles, 3);
    assertRefused(
      [...CREATE, "--log-opt", "compress=lzma"],
      "[conmon:e]: --log-opt compress=lzma: compress must be none or gzip",
    );
  });

  test("a log option that has no effect is told", () => {
    assert.deepEqual(check([...CREATE, "--log-opt=compress=gzip"]).warnings, [
      "log option compress has no effect without --log-rotate or log option max-files",
    ]);
  });

  test("without rotation no backup need be kept", () => {
    assert.equal(check([...CREATE, "--log-max-files", "0"]).logs.maxFiles, 0);
  });

  test("warnings come beside the options", () => {
    assert.deepEqual(check([...CREATE, "--no-container-partial-message"]).warnings, [
      "--no-container-partial-message has no effect without journald log driver",
    ]);
  });
});

describe("any command line at all", () => {
  test("gives options or a ConmonError of one line, never anything else", () => {
    const seed = process.env.CONMON_TEST_SEED ?? randomBytes(4).toString("hex");
    const random = seededRandom(Number.parseInt(seed, 16));
    const outcomes = { options: 0, errors: 0 };
    for (let round = 0; round < 20_000; round++) {
      const argv = randomArguments(random);
      const context = `CONMON_TEST_SEED=${seed}, round ${round}: ${JSON.stringify(argv)}`;
      try {
        const options = check(argv, { variables: new Map([["_OCI_ATTACHPIPE", "3"]]) });
        for (const word of runtimeCommand(options, "/console")) assert.equal(typeof word, "string");
        outcomes.options++;
      } catch (error) {
        assert.ok(error instanceof ConmonError, `${context}: ${error}`);
        assert.match(error.message, /^(conmon: |\[conmon:e\]: )./, context);
        outcomes.errors++;
      }
    }
    assert.ok(outcomes.options > 100 && outcomes.errors > 100, JSON.stringify({ seed, outcomes }));
  });
});

/** xorshift32: the same numbers for the same seed, so that a failure can be had again. */
function seededRandom(seed: number): (below: number) => number {
  let state = seed | 1;
  return (below) => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return (state >>> 0) % below;
  };
}

const ODD_WORDS = [
  ...["", "-", "--", "---", "=", "--=", "-=", "0", "-1", "1", "08", "0x", " 7", "9".repeat(30)],
  ...["\0", "\n", "\ud800", "é😀", "__proto__", "--__proto__", "--constructor", "..", "/", "a:b"],
  ...["none", "journald", ":", "k8s-file:", "k8s-file:x", ":x", "A=b", "debug", "@x", "runc"],
];

function randomArguments(random: (below: number) => number): string[] {
  const words = random(3) > 0 ? [...CREATE] : [];
  for (let count = random(8); count > 0; count--) {
    const { long, short } = OPTION_TABLE[random(OPTION_TABLE.length)] ?? { long: "cid" };
    const odd = ODD_WORDS[random(ODD_WORDS.length)] ?? "";
    const shapes = [odd, `--${long}`, `--${long}=${odd}`, `-${short ?? odd}`, `-it${short ?? ""}`];
    words.push(shapes[random(shapes.length)] ?? "");
    if (random(2) > 0) words.push(odd);
  }
  return words;
}
