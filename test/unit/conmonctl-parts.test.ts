/** Functions behind `conmonctl setup` and `conmonctl daemon`. */
import assert from "node:assert/strict";
import { test } from "node:test";
import { duration } from "../../src/conmonctl/commands/daemon.ts";
import { paintFor } from "../../src/conmonctl/paint.ts";
import { daemonArguments, successorArguments } from "../../src/daemon/arguments.ts";
import { parseUnixSockets } from "../../src/daemon/process-facts.ts";
import { socketPlaces } from "../../src/daemon/socket-places.ts";
import { reasonOf, runBounded } from "../../src/programs/bounded-run.ts";
import { monitorPaths } from "../../src/setup/crio.ts";
import { formatToml } from "../../src/setup/toml.ts";
import { inTime } from "../support/waiting.ts";

test("colours are for terminals that have them and users who want them", () => {
  const red = (isTTY: boolean, environment: NodeJS.ProcessEnv) =>
    paintFor({ isTTY }, environment).red("x");
  assert.equal(red(true, { TERM: "xterm" }), "\x1b[31mx\x1b[0m");
  assert.equal(red(true, { TERM: "xterm", NO_COLOR: "" }), "\x1b[31mx\x1b[0m");
  assert.equal(red(true, { TERM: "xterm", NO_COLOR: "1" }), "x");
  assert.equal(red(true, { TERM: "dumb" }), "x");
  assert.equal(red(false, { TERM: "xterm" }), "x");
});

test("a successor has the arguments of the one before, and those chosen now", () => {
  const before = [
    "node",
    "conmond.cjs",
    "--socket",
    "/s",
    "--idle-exit",
    "5",
    "--log-level=info",
    "--replace",
  ];
  assert.deepEqual(successorArguments(before, {}), ["--idle-exit", "5", "--log-level=info"]);
  assert.deepEqual(successorArguments(before, { logLevel: "debug", idleExit: "9" }), [
    ...["--log-level", "debug", "--idle-exit", "9"],
  ]);
  assert.deepEqual(successorArguments(["node", "x", "--on-demand"], {}), ["--idle-exit", "60"]);
  assert.deepEqual(successorArguments(["node", "x", "--on-demand"], { idleExit: "7" }), [
    "--idle-exit",
    "7",
  ]);
  assert.deepEqual(daemonArguments({ maxSessions: "3" }), ["--max-sessions", "3"]);
});

test("where a shared conmond is looked for", () => {
  assert.deepEqual(socketPlaces({ CONMOND_SOCKET: "/x/s" }), ["/x/s"]);
  assert.deepEqual(socketPlaces({ CONMOND_SOCKET: "", XDG_RUNTIME_DIR: "/r" }), []);
  const [first] = socketPlaces({ XDG_RUNTIME_DIR: "/r" });
  assert.equal(first, "/r/conmond/conmond.sock");
});

test("/proc/net/unix", () => {
  const text = `Num       RefCount Protocol Flags    Type St Inode Path
ffff8881: 00000002 00000000 00010000 0005 01 4711 /run/conmond/conmond.sock
ffff8882: 00000003 00000000 00000000 0005 03   12 /a path/with spaces
0000000000000000: 00000003 00000000 00000000 0001 03 13
`;
  assert.deepEqual(parseUnixSockets(text), [
    { type: "0005", state: "01", inode: "4711", path: "/run/conmond/conmond.sock" },
    { type: "0005", state: "03", inode: "12", path: "/a path/with spaces" },
    { type: "0001", state: "03", inode: "13", path: "" },
  ]);
});

test("times are said with two units", () => {
  assert.deepEqual([0, 59, 60, 3725, 90_061].map(duration), [
    "0 s",
    "59 s",
    "1 min",
    "1 h 2 min",
    "1 d 1 h",
  ]);
});

test("what `crio config` says of monitors; what is in comments is not set", () => {
  const text = `[crio.runtime]
# conmon = "/old"
conmon = "/opt/conmon"
[crio.runtime.runtimes.runc]
\tmonitor_path = "/opt/conmon"
# monitor_path = ""
[crio.runtime.runtimes.crun]
monitor_path = "/usr/bin/conmon"
`;
  assert.deepEqual(monitorPaths(text), ["/opt/conmon", "/usr/bin/conmon"]);
  assert.deepEqual(monitorPaths('conmon = ""\n'), []);
});

test("TOML", () => {
  const text = formatToml([
    {
      path: ["a", "b.c"],
      comments: ["Why."],
      values: { x: 'q"\\\x7f\n', y: ["1", "2"], z: undefined },
    },
    { path: ["d"], values: {} },
  ]);
  assert.equal(text, '# Why.\n[a."b.c"]\nx = "q\\"\\\\\\u007F\\n"\ny = ["1", "2"]\n\n[d]\n');
});

test("programs are run for a bounded time, with all that they have started", async () => {
  // Time enough for the first word.
  const program = runBounded("sh", ["-c", "echo begun; sleep 1000 & sleep 1000"], {
    milliseconds: 2000,
  });
  const hanging = await inTime(program, "the end of what hangs");
  assert.deepEqual(
    [hanging.status, hanging.fault, hanging.stdout],
    [undefined, "did not end within 2 s", "begun\n"],
  );
  // Who leaves somebody behind that keeps the pipes is not waited for.
  const left = await runBounded("sh", ["-c", "echo out; exec 0</dev/null; sleep 20 & exit 3"]);
  assert.deepEqual([left.status, left.stdout], [3, "out\n"]);
  assert.ok(left.milliseconds < 15_000);
  const missing = await runBounded("/nowhere/program", []);
  assert.match(missing.fault ?? "", /^cannot be run: .*ENOENT/);
});

test("the reason that a program gives", () => {
  const result = { status: 1, stdout: "", fault: "ended with status 1", milliseconds: 1 };
  assert.equal(reasonOf({ ...result, stderr: "" }), "ended with status 1");
  assert.equal(reasonOf({ ...result, stderr: "a\nb\n" }), "ended with status 1: b");
  const trace = "x.js:1\n\nTypeError [CODE]: it went wrong\n    at x.js:1\n\nNode.js v20\n";
  assert.equal(reasonOf({ ...result, stderr: trace }), "ended with status 1: it went wrong");
});
