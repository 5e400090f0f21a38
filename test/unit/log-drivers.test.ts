import assert from "node:assert/strict";
import { openSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { describe, test } from "node:test";
import {
  checkLogDrivers,
  distinctLogDrivers,
  type LogDriver,
  type LogDriverContext,
  logOpenError,
  parseLogDriver,
} from "../../src/logging/log-drivers.ts";
import { ConmonError } from "../../src/session/errors.ts";

const file = (path: string): LogDriver => ({ driver: "k8s-file", path });
const plugin = (path: string, options = ""): LogDriver => ({ driver: "plugin", path, options });
const JOURNALD: LogDriver = { driver: "journald" };
const PASSTHROUGH: LogDriver = { driver: "passthrough" };
const NONE: LogDriver = { driver: "none" };

function assertRefused(act: () => unknown, reason: string): void {
  assert.throws(act, (error) => {
    assert.ok(error instanceof ConmonError, String(error));
    assert.equal(error.message, `[conmon:e]: ${reason}`);
    return true;
  });
}

describe("values of --log-path", () => {
  const SPELLINGS: [value: string, driver: LogDriver][] = [
    ["/var/log/x.log", file("/var/log/x.log")],
    ["x.log", file("x.log")],
    [":x.log", file("x.log")],
    ["::x.log", file("x.log")],
    [":/var/log/x.log", file("/var/log/x.log")],
    ["k8s-file:x.log", file("x.log")],
    ["k8s-file:/a:b", file("/a:b")],
    ["/a:b", file("/a:b")],
    ["./journald:b", file("./journald:b")],
    ["journald", JOURNALD],
    ["journald:", JOURNALD],
    ["journald:x", JOURNALD],
    [":journald", file("journald")],
    ["k8s-file:journald", file("journald")],
    ["passthrough", PASSTHROUGH],
    ["passthrough:", PASSTHROUGH],
    [":passthrough", file("passthrough")],
    ...["none", "off", "null"].flatMap((name): [string, LogDriver][] => [
      [name, NONE],
      [`${name}:`, NONE],
      [`${name}:x`, NONE],
      [`:${name}`, file(name)],
    ]),
    ["json", file("json")],
    ["json-file:x.json", { driver: "json-file", path: "x.json" }],
    ["json-file:/a:b", { driver: "json-file", path: "/a:b" }],
    [":json-file", file("json-file")],
    ["plugin:/a/b.js", plugin("/a/b.js")],
    ["plugin:/a/b.js:", plugin("/a/b.js")],
    ["plugin:/a/b.js:x=1:y=/c", plugin("/a/b.js", "x=1:y=/c")],
    ["Journald", file("Journald")],
    [":k8s-file", file("k8s-file")],
  ];
  for (const [value, driver] of SPELLINGS) {
    test(`${value} is ${JSON.stringify(driver)}`, () => {
      assert.deepEqual(parseLogDriver(value), driver);
    });
  }

  test("nothing but colons is empty", () => {
    for (const value of ["", ":", "::"]) {
      assertRefused(() => parseLogDriver(value), "log-path must not be empty");
    }
  });

  test("k8s-file needs a name", () => {
    for (const value of ["k8s-file", "k8s-file:", "k8s-file::"]) {
      assertRefused(() => parseLogDriver(value), "k8s-file requires a filename");
    }
  });

  test("json-file needs a name, as k8s-file does", () => {
    for (const value of ["json-file", "json-file:", "json-file::"]) {
      assertRefused(() => parseLogDriver(value), "json-file requires a filename");
    }
  });

  test("a plug-in is named by an absolute path", () => {
    for (const [value, path] of [
      ["plugin", ""],
      ["plugin:", ""],
      ["plugin:sink.js", "sink.js"],
      ["plugin:./sink.js:/x", "./sink.js"],
    ] as const) {
      const reason = `plugin requires the absolute path of a module, got "${path}"`;
      assertRefused(() => parseLogDriver(value), reason);
    }
  });

  test("an unknown name before a colon is no driver", () => {
    assertRefused(() => parseLogDriver("json:/x"), "No such log driver json");
    assertRefused(() => parseLogDriver("foo:"), "No such log driver foo");
    assertRefused(() => parseLogDriver("JOURNALD:"), "No such log driver JOURNALD");
    assertRefused(() => parseLogDriver("toString:x"), "No such log driver toString");
  });
});

describe("several drivers", () => {
  test("each place is logged to once, in the order given", () => {
    const drivers = [JOURNALD, file("/a/b"), NONE, file("/a/./b"), JOURNALD, file("/c"), NONE];
    assert.deepEqual(distinctLogDrivers(drivers), [JOURNALD, file("/a/b"), NONE, file("/c")]);
  });

  test("a file has one format, and a plug-in may serve several times with other options", () => {
    const json: LogDriver = { driver: "json-file", path: "/a" };
    const [one, two] = [plugin("/p.js", "1"), plugin("/p.js", "2")];
    assert.deepEqual(distinctLogDrivers([file("/a"), json, one, two, one]), [file("/a"), one, two]);
  });

  test("a file of a driver's name is not that driver", () => {
    assert.deepEqual(distinctLogDrivers([file("journald"), JOURNALD]), [
      file("journald"),
      JOURNALD,
    ]);
  });
});

const CONTEXT: LogDriverContext = {
  cid: "0123456789abc",
  tag: undefined,
  labels: [],
  allowlistDirs: [],
  noContainerPartialMessage: false,
  realPath: (path) => path,
};

function check(drivers: LogDriver[], context: Partial<LogDriverContext> = {}): string[] {
  return checkLogDrivers(drivers, { ...CONTEXT, ...context });
}

describe("drivers and the options that go with them", () => {
  test("a file takes neither tag nor label, unless journald is there to take them", () => {
    const labels = ["A=b"];
    assertRefused(() => check([file("/x")], { tag: "t" }), "k8s-file doesn't support --log-tag");
    assertRefused(() => check([file("/x")], { labels }), "k8s-file doesn't support --log-label");
    assertRefused(
      () => check([NONE, file("/x")], { tag: "", labels }),
      "k8s-file doesn't support --log-tag",
    );
    assert.deepEqual(check([file("/x"), JOURNALD], { tag: "t", labels }), []);
    assert.deepEqual(check([NONE], { tag: "t", labels: ["nonsense"] }), []);
  });

  test("a plug-in takes tag and labels, a JSON file does not", () => {
    const json: LogDriver = { driver: "json-file", path: "/x" };
    assertRefused(() => check([json], { tag: "t" }), "json-file doesn't support --log-tag");
    assertRefused(
      () => check([json], { labels: ["A=b"] }),
      "json-file doesn't support --log-label",
    );
    assert.deepEqual(check([json, plugin("/p.js")], { tag: "t", labels: ["A=b"] }), []);
    assertRefused(
      () => check([plugin("/p.js")], { labels: ["a=b"] }),
      "Container label names must contain only uppercase letters, numbers and underscore (in 'a=b')",
    );
  });

  test("journald wants more than 12 bytes of container ID", () => {
    const reason = "Container ID must be longer than 12 characters";
    assertRefused(() => check([JOURNALD], { cid: "012345678901", labels: ["x"] }), reason);
    assert.deepEqual(check([JOURNALD], { cid: "0123456789012" }), []);
    assert.deepEqual(check([file("/x")], { cid: "short" }), []);
  });

  test("labels have one equals sign and a name of capitals, digits and underscores", () => {
    const refused: [string, string][] = [
      ["=v", "Container labels must be in format LABEL=VALUE (no LABEL present in '=v')"],
      ["=v=", "Container labels must be in format LABEL=VALUE (no LABEL present in '=v=')"],
      ...["L", "", "L=a=b", "low=a="].map((label): [string, string] => [
        label,
        `Container labels must be in format LABEL=VALUE (none or more than one '=' present in '${label}')`,
      ]),
      ...["label=v", "A B=v", "Ä=v", "A%B=", "A\n=v"].map((label): [string, string] => [
        label,
        `Container label names must contain only uppercase letters, numbers and underscore (in '${label}')`,
      ]),
    ];
    for (const [label, reason] of refused) {
      assertRefused(() => check([JOURNALD], { labels: ["OK_1=x", label] }), reason);
    }
    assert.deepEqual(check([JOURNALD], { labels: ["A=", "A_1=ü b", "0=x"] }), []);
  });

  test("the first label that is wrong is the one that is reported", () => {
    assertRefused(
      () => check([JOURNALD], { labels: ["a=b", "c"] }),
      "Container label names must contain only uppercase letters, numbers and underscore (in 'a=b')",
    );
  });

  test("what has no effect is worth a warning", () => {
    const partial = "--no-container-partial-message has no effect without journald log driver";
    const noContainerPartialMessage = true;
    assert.deepEqual(check([file("/x")], { noContainerPartialMessage }), [partial]);
    assert.deepEqual(check([file("/x"), JOURNALD], { noContainerPartialMessage }), []);
    const nothingLeft = "log driver passthrough leaves nothing for the other log drivers";
    assert.deepEqual(check([PASSTHROUGH, file("/x")]), [nothingLeft]);
    assert.deepEqual(check([PASSTHROUGH, JOURNALD]), [nothingLeft]);
    assert.deepEqual(check([PASSTHROUGH, plugin("/p.js")]), [nothingLeft]);
    assert.deepEqual(check([PASSTHROUGH, NONE]), []);
  });
});

describe("--log-allowlist-dir", () => {
  /** A host with these symbolic links, given with their targets, and these directories. */
  function realPathOn(links: Record<string, string>, directories: string[]) {
    return (path: string): string | undefined => {
      const target = links[path] ?? path;
      return Object.values(links).includes(target) || directories.includes(target)
        ? target
        : undefined;
    };
  }
  const realPath = realPathOn({}, ["/", "/a", "/a/b", "/a/bc", "/a/b/c"]);

  const allows = (path: string, dirs: string[], real = realPath): void =>
    assert.deepEqual(check([file(path)], { allowlistDirs: dirs, realPath: real }), [], path);
  const refuses = (path: string, dirs: string[], real = realPath): void =>
    assertRefused(
      () => check([NONE, file(path)], { allowlistDirs: dirs, realPath: real }),
      `Log file ${path} is not below any directory of --log-allowlist-dir`,
    );

  test("without it a log file may be anywhere", () => {
    allows("/anywhere", []);
  });

  test("a log file must be below one of the directories, at any depth", () => {
    allows("/a/b/x", ["/a/b"]);
    allows("/a/b/c/x", ["/nowhere", "/a/b/"]);
    allows("/x", ["/"]);
    refuses("/a/x", ["/a/b"]);
    refuses("/a/b", ["/a/b"]);
  });

  test("a directory's name may not merely begin like an allowed one", () => {
    refuses("/a/bc/x", ["/a/b"]);
    refuses("/a/bc", ["/a/b"]);
  });

  test("no way leads out with two dots, and detours that stay inside are fine", () => {
    const dots = realPathOn({ "/a/b/..": "/a", "/a/b/c/..": "/a/b" }, ["/a", "/a/b", "/a/b/c"]);
    refuses("/a/b/../x", ["/a/b"], dots);
    allows("/a/b/c/../x", ["/a/b"], dots);
    refuses("/a/b/missing/../../x", ["/a/b"]);
    allows("/a/b/missing/../x", ["/a/b"]);
  });

  test("symbolic links are followed, for directories and for an existing log file", () => {
    refuses("/a/b/x", ["/a/b"], realPathOn({ "/a/b/x": "/etc/passwd" }, ["/a/b"]));
    refuses("/a/b/out/x", ["/a/b"], realPathOn({ "/a/b/out": "/etc" }, ["/a/b"]));
    allows("/link/x", ["/a/b"], realPathOn({ "/link": "/a/b" }, []));
    allows("/a/b/x", ["/link"], realPathOn({ "/link": "/a/b" }, []));
  });

  test("it holds for the JSON file as well", () => {
    assertRefused(
      () => check([{ driver: "json-file", path: "/x" }], { allowlistDirs: ["/a/b"], realPath }),
      "Log file /x is not below any directory of --log-allowlist-dir",
    );
  });

  test("only files are looked at", () => {
    assert.deepEqual(check([JOURNALD, PASSTHROUGH, NONE], { allowlistDirs: ["/a"] }), [
      "log driver passthrough leaves nothing for the other log drivers",
    ]);
  });

  test("a file that is not allowed comes before a tag that is not", () => {
    assertRefused(
      () => check([file("/x")], { allowlistDirs: ["/a/b"], realPath, tag: "t" }),
      "Log file /x is not below any directory of --log-allowlist-dir",
    );
  });
});

describe("a log file that cannot be opened", () => {
  test("is reported with its path and the system's reason", () => {
    const path = join(tmpdir(), "no", "such", "directory", "ctr.log");
    let cause: unknown;
    try {
      openSync(path, "a");
    } catch (error) {
      cause = error;
    }
    const error = logOpenError(path, cause);
    assert.equal(
      error.message,
      `[conmon:e]: Failed to open log file ${path}: no such file or directory`,
    );
    assert.equal(error.cause, cause);
  });

  test("is reported with whatever else is known where there is no error number", () => {
    assert.equal(logOpenError("/x", new Error("odd")).reason, "Failed to open log file /x: odd");
    assert.equal(logOpenError("/x", "odder").reason, "Failed to open log file /x: odder");
    const positive = Object.assign(new Error("open"), { errno: 13 });
    assert.match(logOpenError("/x", positive).reason, /: permission denied$/);
  });
});
