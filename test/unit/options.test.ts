import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ConmonError } from "../../src/session/errors.ts";
import { OPTION_TABLE, type OptionEntry } from "../../src/session/option-table.ts";
import { type Options, parseOptions } from "../../src/session/options.ts";

const NOTHING = parseOptions([]);

/** The specification's table, written down once more: what each option does to the options. */
const ROWS: [names: string, kind: OptionEntry["kind"], key: keyof Options][] = [
  ["-c --cid", "string", "cid"],
  ["-u --cuuid", "string", "cuuid"],
  ["-n --name", "string", "name"],
  ["-r --runtime", "string", "runtime"],
  ["-b --bundle", "string", "bundle"],
  ["-p --container-pidfile --pidfile", "string", "containerPidfile"],
  ["-P --conmon-pidfile", "string", "conmonPidfile"],
  ["-0 --persist-dir", "string", "persistDir"],
  ["--exit-dir", "string", "exitDir"],
  ["--exit-command", "string", "exitCommand"],
  ["--exit-command-arg", "list", "exitCommandArgs"],
  ["--exit-delay", "int", "exitDelay"],
  ["-l --log-path", "list", "logPaths"],
  ["--log-size-max", "int64", "logSizeMax"],
  ["--log-global-size-max", "int64", "logGlobalSizeMax"],
  ["--log-rotate", "flag", "logRotate"],
  ["--log-max-files", "int", "logMaxFiles"],
  ["--log-opt", "list", "logOptions"],
  ["--log-allowlist-dir", "list", "logAllowlistDirs"],
  ["--log-tag", "string", "logTag"],
  ["--log-label", "list", "logLabels"],
  ["--no-container-partial-message", "flag", "noContainerPartialMessage"],
  ["--no-sync-log", "flag", "noSyncLog"],
  ["--log-level", "string", "logLevel"],
  ["--syslog", "flag", "syslog"],
  ["-t --terminal", "flag", "terminal"],
  ["-i --stdin", "flag", "stdin"],
  ["--leave-stdin-open", "flag", "leaveStdinOpen"],
  ["-e --exec", "flag", "exec"],
  ["--exec-process-spec", "string", "execProcessSpec"],
  ["--exec-attach", "flag", "execAttach"],
  ["--api-version", "optional-int", "apiVersion"],
  ["--restore", "string", "restore"],
  ["--restore-arg --runtime-opt", "list", "runtimeOpts"],
  ["--runtime-arg", "list", "runtimeArgs"],
  ["-s --systemd-cgroup", "flag", "systemdCgroup"],
  ["--no-pivot", "flag", "noPivot"],
  ["--no-new-keyring", "flag", "noNewKeyring"],
  ["--socket-dir-path", "string", "socketDir"],
  ["--full-attach", "flag", "fullAttach"],
  ["--replace-listen-pid", "flag", "replaceListenPid"],
  ["--sdnotify-socket", "string", "sdnotifySocket"],
  ["--sync", "flag", "sync"],
  ["-T --timeout", "int", "timeout"],
  ["--version", "flag", "version"],
  ["-h --help -? --help-all", "flag", "help"],
];

function assertRefused(argv: string[], reason: string): void {
  assert.throws(
    () => parseOptions(argv),
    (error) => {
      assert.ok(error instanceof ConmonError);
      assert.equal(error.message, `conmon: option parsing failed: ${reason}`);
      assert.equal(error.status, 1);
      return true;
    },
    argv.join(" "),
  );
}

function spellingsWithValue(name: string, value: string): string[][] {
  return name.startsWith("--") ? [[name, value], [`${name}=${value}`]] : [[name, value]];
}

describe("each option of the table in every spelling", () => {
  for (const [names, kind, key] of ROWS) {
    for (const name of names.split(" ")) {
      test(`${name} sets ${key} and nothing else`, () => {
        const expect = (argv: string[], value: unknown): void =>
          assert.deepEqual(parseOptions(argv), { ...NOTHING, [key]: value }, argv.join(" "));
        if (kind === "flag") expect([name], true);
        if (kind === "optional-int") expect([name], 1);
        if (kind === "string") {
          for (const argv of spellingsWithValue(name, "--odd=value")) expect(argv, "--odd=value");
          expect([name, "first", name, "last"], "last");
          expect([name, ""], "");
        }
        if (kind === "list") {
          for (const argv of spellingsWithValue(name, "a b")) expect(argv, ["a b"]);
          expect([name, "1", name, "-2", name, "1"], ["1", "-2", "1"]);
        }
        if (kind === "int" || kind === "optional-int") {
          for (const argv of spellingsWithValue(name, "12")) expect(argv, 12);
          expect([name, "1", name, "7"], 7);
        }
        if (kind === "int64") {
          for (const argv of spellingsWithValue(name, "12")) expect(argv, 12n);
        }
      });
    }
  }

  test("the table has no option besides these", () => {
    const expected = ROWS.flatMap(([names]) => names.split(" ")).sort();
    const actual = OPTION_TABLE.flatMap(({ long, short }) =>
      short === undefined ? [`--${long}`] : [`--${long}`, `-${short}`],
    ).sort();
    assert.deepEqual(actual, expected);
  });

  test("what was not given is false, an empty list or undefined", () => {
    for (const [, kind, key] of ROWS) {
      const expected = kind === "flag" ? false : kind === "list" ? [] : undefined;
      assert.deepEqual(NOTHING[key], expected, key);
    }
  });
});

describe("letters behind one dash", () => {
  test("flags can share it", () => {
    assert.deepEqual(parseOptions(["-its"]), {
      ...{ ...NOTHING, stdin: true, terminal: true, systemdCgroup: true },
    });
  });

  test("one of them may take the next argument as its value, wherever it stands", () => {
    for (const letters of ["-ci", "-ic"]) {
      const options = parseOptions([letters, "ID", "-e"]);
      assert.deepEqual(options, { ...NOTHING, cid: "ID", stdin: true, exec: true });
    }
  });

  test("two of them cannot", () => {
    assertRefused(["-cu", "a", "b"], "Error parsing option -u");
    assertRefused(["-cc", "a", "b"], "Error parsing option -c");
  });

  test("a value cannot be glued to its letter", () => {
    assertRefused(["-Tx", "1"], "Unknown option -Tx");
    assertRefused(["-c=x"], "Missing argument for -c");
    assertRefused(["-c=x", "y"], "Unknown option -c=x");
  });

  test("an unknown one among them is reported with its whole argument", () => {
    assertRefused(["-x"], "Unknown option -x");
    assertRefused(["-itx"], "Unknown option -itx");
    assertRefused(["-é"], "Unknown option -é");
    assertRefused(["-i😀"], "Unknown option -i😀");
  });
});

describe("what is no option", () => {
  test("positional arguments are passed over, a lone dash and an empty one among them", () => {
    assert.deepEqual(parseOptions(["a", "-", "", "-i", "b"]), { ...NOTHING, stdin: true });
  });

  test("after -- nothing is an option any more", () => {
    assert.deepEqual(parseOptions(["-i", "--", "--foo", "-t"]), { ...NOTHING, stdin: true });
  });

  test("-- can be the value of an option, as anything can", () => {
    const options = parseOptions(["-c", "--cid", "-u", "--", "-i"]);
    assert.deepEqual(options, { ...NOTHING, cid: "--cid", cuuid: "--", stdin: true });
  });

  test("unknown names are refused, with what was attached to them", () => {
    assertRefused(["--foo"], "Unknown option --foo");
    assertRefused(["--foo=bar"], "Unknown option --foo=bar");
    assertRefused(["---cid", "x"], "Unknown option ---cid");
    assertRefused(["--="], "Unknown option --=");
    assertRefused(["--__proto__"], "Unknown option --__proto__");
  });

  test("names can be neither shortened nor lengthened", () => {
    assertRefused(["--ci", "x"], "Unknown option --ci");
    assertRefused(["--cidx", "x"], "Unknown option --cidx");
    assertRefused(["--CID", "x"], "Unknown option --CID");
  });

  test("a flag with a value is unknown", () => {
    assertRefused(["--sync=1"], "Unknown option --sync=1");
    assertRefused(["--exec="], "Unknown option --exec=");
    assertRefused(["--help=x"], "Unknown option --help=x");
  });
});

describe("values", () => {
  test("a missing one is reported with the option as it was spelled", () => {
    assertRefused(["--cid"], "Missing argument for --cid");
    assertRefused(["-i", "-c"], "Missing argument for -c");
    assertRefused(["-itc"], "Missing argument for -c");
    assertRefused(["--timeout"], "Missing argument for --timeout");
  });

  test("everything after the first equals sign belongs to the value", () => {
    assert.equal(parseOptions(["--cid=a=b="]).cid, "a=b=");
    assert.equal(parseOptions(["--cid="]).cid, "");
  });

  test("the two names of an option fill one list in the order given", () => {
    const argv = ["--restore-arg", "a", "--runtime-opt=b", "--restore-arg=c"];
    assert.deepEqual(parseOptions(argv).runtimeOpts, ["a", "b", "c"]);
  });

  test("options of one call do not show up in the next", () => {
    parseOptions(["-l", "none"]);
    assert.deepEqual(parseOptions([]).logPaths, []);
  });
});

describe("numbers", () => {
  const ACCEPTED: [text: string, value: number][] = [
    ["0", 0],
    ["00", 0],
    ["-0", 0],
    ["5", 5],
    ["+5", 5],
    ["-5", -5],
    ["0x10", 16],
    ["0Xff", 255],
    ["-0x10", -16],
    ["010", 8],
    ["  \t\n7", 7],
    ["2147483647", 2147483647],
    ["-2147483648", -2147483648],
    [`0x${"0".repeat(1000)}1`, 1],
  ];
  for (const [text, value] of ACCEPTED) {
    test(`${JSON.stringify(text.slice(0, 20))} is ${value}`, () => {
      assert.equal(parseOptions(["--timeout", text]).timeout, value);
      assert.equal(parseOptions([`--log-size-max=${text}`]).logSizeMax, BigInt(value));
    });
  }

  for (const text of [
    "",
    "abc",
    "5 ",
    "5s",
    "08",
    "0x",
    "0xg",
    "--5",
    "+-5",
    "1.5",
    "1e3",
    "٣",
    "-",
    "5\n",
  ]) {
    test(`${JSON.stringify(text)} is none`, () => {
      assertRefused(["-T", text], `Cannot parse integer value “${text}” for -T`);
      assertRefused(
        [`--log-size-max=${text}`],
        `Cannot parse integer value “${text}” for --log-size-max`,
      );
    });
  }

  test("an int beyond 32 bits is out of range", () => {
    for (const text of ["2147483648", "-2147483649", "0x80000000", "99999999999999999999"]) {
      for (const name of ["--timeout", "--exit-delay", "--log-max-files", "--api-version"]) {
        assertRefused([`${name}=${text}`], `Integer value “${text}” for ${name} out of range`);
      }
    }
  });

  test("a size beyond 64 bits is out of range, and the largest of 64 bits is not", () => {
    const { logSizeMax, logGlobalSizeMax } = parseOptions([
      ...["--log-size-max", "9223372036854775807"],
      ...["--log-global-size-max", "-9223372036854775808"],
    ]);
    assert.equal(logSizeMax, 2n ** 63n - 1n);
    assert.equal(logGlobalSizeMax, -(2n ** 63n));
    for (const text of ["9223372036854775808", "-9223372036854775809", "9".repeat(100_000)]) {
      const reason = `Integer value “${text}” for --log-size-max out of range`;
      assertRefused(["--log-size-max", text], reason);
    }
  });
});

describe("--api-version", () => {
  test("alone it means 1", () => {
    assert.equal(parseOptions(["--api-version"]).apiVersion, 1);
    assert.deepEqual(parseOptions(["--api-version", "-i"]), {
      ...{ ...NOTHING, apiVersion: 1, stdin: true },
    });
    assert.equal(parseOptions(["--api-version", "--", "0"]).apiVersion, 1);
  });

  test("a number after it is its value, other words are not", () => {
    assert.equal(parseOptions(["--api-version", "0"]).apiVersion, 0);
    assert.equal(parseOptions(["--api-version", "2", "0"]).apiVersion, 2);
    assert.equal(parseOptions(["--api-version", "two"]).apiVersion, 1);
    assert.equal(parseOptions(["--api-version", ""]).apiVersion, 1);
  });

  test("a negative number after it is taken for an option", () => {
    assertRefused(["--api-version", "-1"], "Unknown option -1");
    assert.equal(parseOptions(["--api-version=-1"]).apiVersion, -1);
  });

  test("what is attached to it must be a number", () => {
    assertRefused(["--api-version="], "Cannot parse integer value “” for --api-version");
    assertRefused(["--api-version=x"], "Cannot parse integer value “x” for --api-version");
  });
});

describe("--help and --version", () => {
  test("nothing after --help is read", () => {
    for (const help of ["--help", "-h", "-?", "--help-all", "-ih", "-hx"]) {
      assert.equal(parseOptions([help, "--foo"]).help, true, help);
    }
  });

  test("a fault before --help counts", () => {
    assertRefused(["--foo", "--help"], "Unknown option --foo");
    assertRefused(["-xh"], "Unknown option -xh");
  });

  test("a fault after --version counts", () => {
    assertRefused(["--version", "--foo"], "Unknown option --foo");
    assert.equal(parseOptions(["--version"]).version, true);
  });
});
