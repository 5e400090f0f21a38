/** What people write after conmonctl's options, and what is printed for them. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { collectMount, parseRestart, parseSize } from "../../src/conmonctl/arguments.ts";
import {
  cutLines,
  formatAge,
  formatBytes,
  formatTable,
  printable,
} from "../../src/conmonctl/output.ts";
import { logSettings } from "../../src/containers/log-settings.ts";
import { ContainerError, editDistance, signalNumber } from "../../src/containers/mod.ts";
import { programEnvironment } from "../../src/containers/programs.ts";
import { afterRun, FIRST_RUN, type Runs } from "../../src/containers/runs.ts";
import { startFailure } from "../../src/containers/runtime.ts";

test("sizes have units", () => {
  const sizes = { "65536": 65536, "512m": 2 ** 29, "2G": 2 ** 31, "1.5k": 1536, "1MiB": 2 ** 20 };
  for (const [text, bytes] of Object.entries(sizes)) assert.equal(parseSize(text), bytes, text);
  for (const wrong of ["", "0", "m", "-1", "1x", "1 m"]) {
    assert.throws(() => parseSize(wrong), /A size is expected/, wrong);
  }
});

test("mounts are long or short", () => {
  const short = { type: "bind", source: "/a", destination: "/b", readOnly: true };
  assert.deepEqual(collectMount("/a:/b:ro"), [short]);
  assert.deepEqual(collectMount("type=bind,src=/a,dst=/b,ro"), [short]);
  const tmpfs = { type: "tmpfs", destination: "/b", readOnly: false, size: 1024 };
  assert.deepEqual(collectMount("type=tmpfs,target=/b,size=1k", collectMount("/a:/b:ro")), [
    short,
    tmpfs,
  ]);
  for (const wrong of [
    "/a",
    "a:/b",
    "/a:/b:rx",
    "type=x,target=/b",
    "src=/a",
    "target=/b",
    "x=y,target=/b",
  ]) {
    assert.throws(() => collectMount(wrong), { code: "commander.invalidArgument" }, wrong);
  }
});

test("restart policies", () => {
  assert.deepEqual(parseRestart("on-failure:3"), { when: "on-failure", most: 3 });
  assert.deepEqual(parseRestart("on-failure"), { when: "on-failure", most: null });
  assert.deepEqual(parseRestart("always"), { when: "always" });
  for (const wrong of ["", "never", "always:1", "on-failure:x", "on-failure:1:2"]) {
    assert.throws(() => parseRestart(wrong), { code: "commander.invalidArgument" }, wrong);
  }
});

test("the pauses before restarts double, up to a minute, and are short again after a long run", () => {
  const start = Date.parse("2026-01-01T00:00:00Z");
  let runs: Runs = { ...FIRST_RUN, started: new Date(start).toISOString() };
  const pauses: number[] = [];
  for (let turn = 0; turn < 12; turn++) {
    const at = new Date(start + 1000);
    runs = afterRun(runs, { when: "always" }, { status: 1, at, wanted: false });
    pauses.push(Date.parse(runs.next ?? "") - at.getTime());
  }
  assert.deepEqual(
    pauses,
    [100, 200, 400, 800, 1600, 3200, 6400, 12800, 25600, 51200, 60000, 60000],
  );
  const late = new Date(start + 10_000);
  const after = afterRun(runs, { when: "always" }, { status: 1, at: late, wanted: false });
  assert.equal(Date.parse(after.next ?? "") - late.getTime(), 100);
});

test("what was stopped, has succeeded, or failed too often is not restarted", () => {
  const end = { status: 1, at: new Date(), wanted: false };
  const next = (policy: Parameters<typeof afterRun>[1], change = {}, runs = FIRST_RUN) =>
    afterRun(runs, policy, { ...end, ...change }).next;
  assert.equal(next({ when: "no" }), null);
  assert.equal(next({ when: "always" }, { wanted: true }), null);
  assert.equal(next({ when: "on-failure", most: null }, { status: 0 }), null);
  assert.notEqual(next({ when: "on-failure", most: 2 }, {}, { ...FIRST_RUN, inARow: 1 }), null);
  assert.equal(next({ when: "on-failure", most: 2 }, {}, { ...FIRST_RUN, inARow: 2 }), null);
});

test("log drivers and options become conmon's", () => {
  const options = ["path=/x", "max-size=1m", "rotate", "tag=t", "compress=gzip"];
  assert.deepEqual(logSettings(["json-file", "journald"], options, "/s/log"), {
    logs: ["json-file:/x", "journald"],
    arguments: [
      "--log-size-max",
      "1048576",
      "--log-rotate",
      "--log-tag",
      "t",
      "--log-opt",
      "compress=gzip",
    ],
  });
  for (const [driver, option] of [
    ["nope", "rotate"],
    ["nope:x", "rotate"],
    ["passthrough", "rotate"],
    ["k8s-file", "nope=1"],
    ["k8s-file", "max-size"],
    ["k8s-file", "max-size=x"],
  ] as const) {
    assert.throws(
      () => logSettings([driver], [option], "/l"),
      ContainerError,
      `${driver} ${option}`,
    );
  }
});

test("a log in the state directory, which is in memory, has a limit unless another one is given", () => {
  const limits = (drivers: string[], ...options: string[]) =>
    logSettings(drivers, options, "/s/log").arguments;
  const limited = ["--log-size-max", "16777216", "--log-rotate"];
  assert.deepEqual(limits([]), limited);
  assert.deepEqual(limits(["journald", "json-file"]), limited);
  assert.deepEqual(limits([], "rotate"), ["--log-rotate", "--log-size-max", "16777216"]);
  assert.deepEqual(limits([], "rotate=false"), ["--log-size-max", "16777216"]);
  assert.deepEqual(limits([], "max-size=0"), ["--log-size-max", "0"]);
  assert.deepEqual(limits([], "path=/elsewhere"), []);
  assert.deepEqual(limits(["k8s-file:/elsewhere"]), []);
  assert.deepEqual(limits(["journald"]), []);
});

test("two logs are not written into one file", () => {
  assert.throws(
    () => logSettings(["k8s-file", "json-file"], [], "/s/log"),
    /in one file, \/s\/log/,
  );
  const { logs } = logSettings(["k8s-file", "json-file:/other"], [], "/s/log");
  assert.deepEqual(logs, ["k8s-file:/s/log", "json-file:/other"]);
});

test("who is to blame for a failed start", () => {
  const kindOf = (said: string) => startFailure("cannot", said).code;
  const failed = "exec failed: unable to start container process: ";
  const missing = `${failed}exec: "x": executable file not found in $PATH`;
  assert.equal(kindOf(missing), "command-not-found");
  assert.equal(kindOf("executable file `x` not found in $PATH: No such file"), "command-not-found");
  assert.equal(kindOf(`${failed}exec: "/etc": permission denied`), "not-executable");
  assert.equal(kindOf("open executable: Permission denied"), "not-executable");
  const directory = 'chdir to cwd ("/x") set in config.json failed: no such file or directory';
  assert.equal(kindOf(`${failed}${directory}`), "not-started");
});

test("what is started here finds node, and all else where it did", () => {
  const node = process.execPath.slice(0, process.execPath.lastIndexOf("/"));
  const pathOf = (PATH?: string) => programEnvironment(PATH === undefined ? {} : { PATH }).PATH;
  assert.equal(pathOf("/nowhere:/elsewhere"), `/nowhere:/elsewhere:${node}`);
  assert.equal(pathOf(`/nowhere:${node}`), `/nowhere:${node}`);
  assert.equal(pathOf(), node);
});

test("signals have names and numbers", () => {
  assert.deepEqual(["TERM", "sigterm", "15", "9"].map(signalNumber), [15, 15, 15, 9]);
  // What systemd in a container is stopped with.
  assert.deepEqual(["RTMIN+3", "SIGRTMIN", "rtmax-1"].map(signalNumber), [37, 34, 63]);
  for (const wrong of ["", "0", "65", "NOPE", "RTMIN+31", "RTMAX+1"])
    assert.throws(() => signalNumber(wrong), { code: "invalid" });
});

test("the distance of two words is how many letters were mistyped", () => {
  const distances = {
    "web web": 0,
    "web wbe": 1,
    "web webb": 1,
    "web wed": 1,
    "web db": 2,
    "a ": 1,
  };
  for (const [pair, distance] of Object.entries(distances)) {
    const [one = "", other = ""] = pair.split(" ");
    assert.equal(editDistance(one, other), distance, pair);
    assert.equal(editDistance(other, one), distance, pair);
  }
});

test("tables have columns, and nothing in them steers the terminal", () => {
  const columns = [
    { title: "NAME", value: (row: { name: string }) => row.name },
    { title: "N", value: (row: { n?: string }) => row.n ?? "", right: true },
  ];
  const rows = [
    { name: "a\x1b[31m\n", n: "1" },
    { name: "longer", n: "100" },
  ];
  assert.equal(
    formatTable(columns, rows),
    "NAME             N\na\\x1b[31m\\x0a    1\nlonger         100",
  );
  assert.equal(printable("ä→\u009b"), "ä→\\x9b");
});

test("lines are cut where the terminal ends, and colours end with them", () => {
  assert.equal(cutLines("abcdef\nabc", 4), "abc…\nabc");
  assert.equal(cutLines("äöüß", 4), "äöüß");
  assert.equal(cutLines("\x1b[1mabcdef\x1b[0m", 4), "\x1b[1mabc…\x1b[0m");
  assert.equal(cutLines("\x1b[1mab\x1b[0mcdef", 4), "\x1b[1mab\x1b[0mc…");
  assert.equal(cutLines("abcdef", undefined), "abcdef");
});

test("sizes and ages are for people", () => {
  assert.deepEqual([0, 1023, 1024, 1.5 * 2 ** 20, 2 ** 40].map(formatBytes), [
    "0 B",
    "1023 B",
    "1.0 KiB",
    "1.5 MiB",
    "1.0 TiB",
  ]);
  assert.deepEqual([-5, 1000, 59_999, 60_000, 7_300_000, 172_800_000].map(formatAge), [
    "0 seconds",
    "1 second",
    "59 seconds",
    "1 minute",
    "2 hours",
    "2 days",
  ]);
});
