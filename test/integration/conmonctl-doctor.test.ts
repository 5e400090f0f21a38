/** `conmonctl doctor` on this machine, and with things that are wrong. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { chmodSync, cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import * as sys from "../../src/sys/mod.ts";
import { startConmond } from "../support/conmond.ts";
import { projectRoot, unlessRootWith } from "../support/programs.ts";
import {
  type ConmonctlOptions,
  jsonOf,
  privateEnvironment,
  runConmonctl,
} from "../support/run-conmonctl.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";
import { mountTmpfs } from "../support/tmpfs.ts";

const skip = unlessRootWith("runc", "podman", "unshare");

interface Result {
  readonly check: string;
  readonly status: string;
  readonly found: string;
  readonly advice?: string;
}

function environment(scratch: Scratch): Record<string, string> {
  chmodSync(scratch.folder("run"), 0o700);
  const storage = scratch.path("storage.conf");
  const [runroot, graphroot] = [scratch.folder("runroot"), scratch.folder("storage")];
  writeFileSync(
    storage,
    `[storage]\ndriver = "vfs"\nrunroot = "${runroot}"\ngraphroot = "${graphroot}"\n`,
  );
  return { CONTAINERS_STORAGE_CONF: storage };
}

/** What it finds, which makes it end with `status`. */
function examine(
  scratch: Scratch,
  checks: readonly string[],
  status = 0,
  options: ConmonctlOptions = {},
): readonly Result[] {
  const result = runConmonctl(scratch, ["doctor", ...checks, "--json"], {
    ...options,
    environment: { ...environment(scratch), ...options.environment },
  });
  return (jsonOf(result, status) as { checks: Result[] }).checks;
}

test("all checks of this machine", { skip }, (t) => {
  const scratch = makeScratch(t);
  const results = examine(scratch, []);
  const names = [...new Set(results.map(({ check }) => check))];
  assert.deepEqual(names, [
    ...["node", "conmon", "parts", "runtime", "cgroups", "directories", "conmond"],
    ...["podman", "crio", "journald", "limits", "clock", "space"],
  ]);
  const statusOf = (check: string) =>
    results.filter((result) => result.check === check).map(({ status }) => status);
  assert.deepEqual(statusOf("parts"), ["ok", "ok", "ok", "ok"], JSON.stringify(results));
  assert.ok(!statusOf("conmon").includes("fail"));
  assert.ok(
    results.some(({ found }) => /^runc \S+ ran a container in \d+ ms$/.test(found)),
    JSON.stringify(results),
  );
  for (const { found, advice = "" } of results) {
    assert.ok(found !== "" && !/[.\n]$/.test(found) && !found.includes("undefined"), found);
    assert.ok(!advice.endsWith("."), advice);
  }
  assert.deepEqual(readdirSync(scratch.temporary), []);
});

test("an installation without its native addon is found out by its own doctor", { skip }, (t) => {
  const scratch = makeScratch(t);
  const root = scratch.folder("package");
  cpSync(join(projectRoot, "bin"), join(root, "bin"), { recursive: true });
  cpSync(join(projectRoot, "dist"), join(root, "dist"), { recursive: true });
  rmSync(join(root, "dist/sys.node"));
  const run = (...args: string[]) =>
    spawnSync(process.execPath, [join(root, "bin/conmonctl"), ...args], {
      encoding: "utf8",
      env: privateEnvironment(scratch),
    });
  const { status, stdout } = run("doctor", "parts", "conmon", "--json");
  const { checks } = JSON.parse(stdout) as { checks: Result[] };
  assert.equal(status, 1);
  const faults = checks.filter((result) => result.status === "fail").map(({ found }) => found);
  assert.match(faults[0] ?? "", /^conmon cannot have a private conmond do anything: /);
  assert.match(
    faults[1] ?? "",
    /conmond\.cjs: ended with status 1: the native addon sys\.node is missing: /,
  );
  assert.equal(faults[2], `the native addon ${join(root, "dist/sys.node")} is missing`);
  // Others either work or say in two lines why not.
  const other = run("daemon", "status");
  assert.match(other.stderr, /^conmonctl: .*\n(hint: .*\n)?$/);
});

test("for people", { skip }, (t) => {
  const scratch = makeScratch(t);
  const { stdout, status } = runConmonctl(scratch, ["doctor", "limits", "clock"]);
  assert.equal(status, 0);
  assert.match(stdout, /^(ok {2}|warn) {2}limits {2}\d+ open files, /);
  assert.match(stdout, /\n\n(\d+ (ok|to be improved|failed)(, |\n$))+/);
  assert.ok(!stdout.includes("\x1b"));
});

test("a check that there is not", (t) => {
  const scratch = makeScratch(t);
  const { stderr, status } = runConmonctl(scratch, ["doctor", "teeth"]);
  assert.equal(status, 2);
  assert.match(stderr, /^conmonctl: .*'teeth' is invalid.*Allowed choices are node, conmon,/);
});

test("a shared conmond that answers, hangs, or has died", { skip }, async (t) => {
  const scratch = makeScratch(t);
  chmodSync(scratch.directory, 0o700);
  const { socket, pid } = await startConmond(scratch);
  const look = (status = 0) => {
    const options = { environment: { CONMOND_SOCKET: socket } };
    return examine(scratch, ["conmond"], status, options)[0];
  };
  assert.match(
    look()?.found ?? "",
    /^conmond, process \d+, answers after [\d.]+ ms, with 0 sessions$/,
  );
  process.kill(pid, "SIGSTOP");
  const hung = look(1);
  process.kill(pid, "SIGCONT");
  assert.deepEqual(
    [hung?.status, hung?.found, hung?.advice],
    [
      "fail",
      `conmond, process ${pid}, listens at ${socket} and does not answer`,
      "conmonctl daemon restart",
    ],
  );
  const stale = scratch.path("stale.sock");
  const listener = sys.unixSocket("seqpacket");
  sys.bindUnix(listener, stale);
  sys.close(listener);
  const [left] = examine(scratch, ["conmond"], 0, { environment: { CONMOND_SOCKET: stale } });
  assert.deepEqual(
    [left?.status, left?.found],
    ["warn", `${stale} is left of a conmond that died`],
  );
  rmSync(stale);
  const [none] = examine(scratch, ["conmond"], 0, { environment: { CONMOND_SOCKET: "" } });
  assert.equal(none?.status, "skip");
});

test("a socket's directory that others can write to", { skip }, async (t) => {
  const scratch = makeScratch(t);
  const { socket } = await startConmond(scratch);
  chmodSync(dirname(socket), 0o777);
  const results = examine(scratch, ["conmond"], 0, { environment: { CONMOND_SOCKET: socket } });
  const found = results.find(({ status }) => status === "warn");
  assert.equal(found?.found, `the socket's directory ${dirname(socket)} is open to others`);
});

test(
  "programs that hang, fail or are broken are told, and do not hang the doctor",
  { skip },
  (t) => {
    const scratch = makeScratch(t);
    const bin = scratch.folder("bin");
    const program = (name: string, script: string) => {
      writeFileSync(join(bin, name), `#!/bin/sh\n${script}\n`);
      chmodSync(join(bin, name), 0o755);
    };
    program("podman", "sleep 1000 & sleep 1000");
    program(
      "runc",
      'case "$*" in --version) echo runc version 9;; *) echo out of cheese >&2; exit 3;; esac',
    );
    program("crun", "kill -SEGV $$");
    program("df", "sleep 1000");
    const began = performance.now();
    const PATH = `${bin}:${process.env.PATH}`;
    const results = examine(scratch, ["runtime", "podman", "space"], 1, { environment: { PATH } });
    assert.ok(performance.now() - began < 20_000);
    const found = results.map((result) => `${result.status} ${result.found}`);
    assert.deepEqual(found.slice(0, 3), [
      "fail runc 9 cannot run a container: ended with status 3: out of cheese",
      `fail \`${join(bin, "crun")} --version\` was ended by SIGSEGV`,
      "fail `podman info` did not end within 10 s",
    ]);
    assert.match(found[3] ?? "", /^fail the file system of \S+ does not answer$/);
  },
);

test(
  "directories that are open, or not there, and a state directory of another user",
  { skip },
  (t) => {
    const scratch = makeScratch(t);
    const state = scratch.folder("open");
    chmodSync(state, 0o755);
    const look = (CONMON_TS_STATE: string, TMPDIR = scratch.temporary) =>
      examine(scratch, ["directories"], 1, { environment: { CONMON_TS_STATE, TMPDIR } });
    const [open] = look(state);
    assert.deepEqual(
      [open?.found, open?.advice],
      [`the state directory ${state} is open to others (mode 0755)`, `chmod 700 ${state}`],
    );
    writeFileSync(scratch.path("file"), "");
    assert.match(look(scratch.path("file"))[0]?.found ?? "", /is no directory$/);
    const nowhere = look(state, scratch.path("nowhere")).at(-1);
    assert.deepEqual([nowhere?.status, nowhere?.advice], ["fail", "name another in TMPDIR"]);
    // Permissions allow root to make these.
    for (const [impossible, why] of [
      ["/proc/x", "/proc: no such file or directory"],
      ["/dev/null/x", "/dev/null: not a directory"],
    ] as const) {
      assert.equal(
        look(impossible)[0]?.found,
        `the state directory ${impossible} cannot be made in ${why}`,
      );
    }
    assert.match(look("/proc/x", "/proc").at(-1)?.found ?? "", /^\/proc cannot be written to: /);
    assert.deepEqual(readdirSync(scratch.temporary), []);
  },
);

test("a full file system", { skip }, (t) => {
  const scratch = makeScratch(t);
  const state = mountTmpfs(scratch, 64);
  chmodSync(state, 0o700);
  const look = (status: number) =>
    examine(scratch, ["space"], status, { environment: { CONMON_TS_STATE: state } }).find(
      ({ found }) => found.includes(state),
    );
  assert.match(look(0)?.found ?? "", /^0 MiB are free in /);
  assert.throws(() => writeFileSync(join(state, "file"), Buffer.alloc(128 * 1024)), /ENOSPC/);
  assert.deepEqual([look(1)?.status, look(1)?.found], ["fail", `${state} is full`]);
});

test("NODE_OPTIONS is told", { skip }, (t) => {
  const scratch = makeScratch(t);
  const results = examine(scratch, ["node"], 0, { environment: { NODE_OPTIONS: "--no-warnings" } });
  assert.match(results[1]?.found ?? "", /^NODE_OPTIONS is set/);
  assert.equal(results[1]?.status, "warn");
});

test("time zones, one that is there and one that is not", { skip }, (t) => {
  const scratch = makeScratch(t);
  const [known] = examine(scratch, ["clock"], 0, { environment: { TZ: "Asia/Kathmandu" } });
  assert.deepEqual([known?.status, known?.found], ["ok", "the time zone is Asia/Kathmandu, +0545"]);
  const [unknown] = examine(scratch, ["clock"], 0, { environment: { TZ: "Asia/Katmandoo" } });
  assert.equal(unknown?.found, "TZ is Asia/Katmandoo, which is no time zone: UTC is used");
});

test("Podman that uses us", { skip }, (t) => {
  const scratch = makeScratch(t);
  const root = scratch.folder("root");
  const setUp = ["setup", "podman", "--apply", "--root-prefix", root, "--json"];
  const applied = runConmonctl(scratch, setUp, { environment: environment(scratch) });
  const { path } = jsonOf(applied) as { path: string };
  const [other] = examine(scratch, ["podman"]);
  assert.deepEqual(
    [other?.status, other?.advice],
    ["warn", "to have it use this one: conmonctl setup podman --apply"],
  );
  const [ours] = examine(scratch, ["podman"], 0, { environment: { CONTAINERS_CONF: path } });
  assert.equal(ours?.status, "ok");
});

test("an ordinary user", { skip }, (t) => {
  const scratch = makeScratch(t);
  chmodSync(scratch.directory, 0o755);
  const home = scratch.folder("user");
  mkdirSync(join(home, "tmp"), { mode: 0o777 });
  chmodSync(join(home, "tmp"), 0o777);
  const results = examine(scratch, ["runtime", "cgroups", "directories", "conmond", "limits"], 1, {
    uid: 65534,
    wrapper: ["env", "-u", "XDG_RUNTIME_DIR", "-u", "CONMON_TS_STATE"],
    environment: { HOME: home, TMPDIR: join(home, "tmp") },
  });
  const texts = results.map(({ status, found }) => `${status} ${found}`);
  assert.ok(
    texts.some((text) => /^skip runc .*: only root can try it so$/.test(text)),
    texts.join("\n"),
  );
  assert.ok(texts.includes("fail there is no place for the state: XDG_RUNTIME_DIR is not set"));
  assert.ok(texts.some((text) => /a user's pipes may have/.test(text)));
});
