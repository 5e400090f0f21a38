/** `conmonctl setup`: files of Podman's and CRI-O's, in directories of the tests' own. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from "node:fs";
import { dirname, join } from "node:path";
import { test } from "node:test";
import { processesWith } from "../support/processes.ts";
import { monitors, needProgram, unlessRootWith } from "../support/programs.ts";
import { jsonOf, privateEnvironment, runConmonctl } from "../support/run-conmonctl.ts";
import { makeScratch, type Scratch } from "../support/scratch.ts";

const skip = unlessRootWith("podman", "conmon", "runc", "unshare");

const PODMAN_FILE = "etc/containers/containers.conf.d/50-conmon-ts.conf";
const CRIO_FILE = "etc/crio/crio.conf.d/50-conmon-ts.conf";

/** A storage of the test's own, for a Podman that reads the system's files. */
function storage(scratch: Scratch): Record<string, string> {
  const path = scratch.path("storage.conf");
  const [runroot, graphroot] = [scratch.folder("runroot"), scratch.folder("storage")];
  writeFileSync(
    path,
    `[storage]\ndriver = "vfs"\nrunroot = "${runroot}"\ngraphroot = "${graphroot}"\n`,
  );
  return { CONTAINERS_STORAGE_CONF: path };
}

/** conmonctl for a system below the scratch directory. */
function setUp(scratch: Scratch, ...args: string[]) {
  const root = scratch.folder("root");
  return runConmonctl(scratch, ["setup", ...args, "--root-prefix", root], {
    environment: storage(scratch),
  });
}

function conmonOf(scratch: Scratch, path: string): string {
  const result = spawnSync("podman", ["info", "--format", "{{.Host.Conmon.Path}}"], {
    env: { ...privateEnvironment(scratch), ...storage(scratch), CONTAINERS_CONF: path },
    encoding: "utf8",
  });
  assert.equal(result.status, 0, result.stderr);
  return result.stdout.trim();
}

test("nothing is written without --apply", { skip }, (t) => {
  const scratch = makeScratch(t);
  const shown = setUp(scratch, "podman");
  assert.equal(shown.status, 0, shown.stderr);
  assert.match(shown.stdout, /^Would write .*50-conmon-ts\.conf:\n/);
  assert.ok(shown.stdout.includes(`conmon_path = ["${monitors.ours}", `), shown.stdout);
  assert.deepEqual(readdirSync(scratch.path("root")), []);
});

test(
  "Podman uses what has been written, and has it no more when that is removed",
  { skip },
  (t) => {
    const scratch = makeScratch(t);
    const path = scratch.path("root", PODMAN_FILE);
    const written = jsonOf(setUp(scratch, "podman", "--apply", "--json")) as Record<
      string,
      unknown
    >;
    assert.equal(written.applied, true);
    assert.deepEqual(written.check, {
      status: "ok",
      found: `Podman ${version()} uses ${monitors.ours}`,
    });
    assert.equal(statSync(path).mode & 0o777, 0o644);
    assert.equal(conmonOf(scratch, path), monitors.ours);

    const again = jsonOf(setUp(scratch, "podman", "--apply", "--json")) as Record<string, unknown>;
    assert.deepEqual([again.state, again.action, again.applied], ["current", "none", false]);

    const told = jsonOf(setUp(scratch, "podman", "--remove", "--dry-run", "--json")) as Record<
      string,
      unknown
    >;
    assert.deepEqual([told.action, told.applied, existsSync(path)], ["remove", false, true]);
    const removed = jsonOf(setUp(scratch, "podman", "--remove", "--json")) as Record<
      string,
      unknown
    >;
    assert.deepEqual([removed.action, removed.applied, existsSync(path)], ["remove", true, false]);
    const nothing = jsonOf(setUp(scratch, "podman", "--remove", "--json")) as Record<
      string,
      unknown
    >;
    assert.deepEqual([nothing.action, nothing.applied], ["none", false]);
  },
);

function version(): string {
  const { stdout } = spawnSync("podman", ["--version"], { encoding: "utf8" });
  return /(\d\S*)/.exec(stdout)?.[1] ?? "";
}

test("what was written for other settings is replaced", { skip }, (t) => {
  const scratch = makeScratch(t);
  const path = scratch.path("root", PODMAN_FILE);
  setUp(scratch, "podman", "--apply");
  const result = jsonOf(setUp(scratch, "podman", "--apply", "--conmond", "auto", "--json"));
  assert.equal((result as Record<string, unknown>).state, "outdated");
  const text = readFileSync(path, "utf8");
  assert.match(text, /^conmon_env_vars = \["PATH=[^"]+", "CONMOND=auto"\]$/m);
  assert.deepEqual(readdirSync(dirname(path)), ["50-conmon-ts.conf"]);
  assert.deepEqual(readdirSync(dirname(dirname(path))), ["containers.conf.d"]);
});

test(
  "a file that somebody has written or changed is neither overwritten nor removed",
  { skip },
  (t) => {
    const scratch = makeScratch(t);
    const path = scratch.path("root", PODMAN_FILE);
    setUp(scratch, "podman", "--apply");
    const changed = `${readFileSync(path, "utf8")}pids_limit = 7\n`;
    for (const text of [changed, "# mine\n", ""]) {
      writeFileSync(path, text);
      for (const args of [["--apply"], ["--apply", "--conmond", "auto"], ["--remove"], []]) {
        const result = setUp(scratch, "podman", ...args);
        assert.equal(result.status, 1, result.stdout);
        assert.match(result.stderr, /^conmonctl: .*: it is left as it is\nhint: /);
        assert.equal(readFileSync(path, "utf8"), text);
      }
    }
  },
);

test("what is in the way and no file is somebody's, too", { skip }, (t) => {
  const scratch = makeScratch(t);
  const path = scratch.path("root", PODMAN_FILE);
  const obstacles = [
    () => mkdirSync(path),
    () => symlinkSync("nowhere", path),
    () => symlinkSync("50-conmon-ts.conf", path),
  ];
  mkdirSync(dirname(path), { recursive: true });
  for (const make of obstacles) {
    make();
    for (const args of [["--apply"], ["--remove"], []]) {
      const { status, stderr } = setUp(scratch, "podman", ...args);
      assert.equal(status, 1);
      assert.match(stderr, /^conmonctl: .*: it is left as it is\nhint: /);
    }
    rmSync(path, { recursive: true });
  }
});

test("a directory that is a file system of its own", { skip }, (t) => {
  const scratch = makeScratch(t);
  const path = scratch.path("root", PODMAN_FILE);
  const mount = scratch.path("script");
  writeFileSync(
    mount,
    `mkdir -p ${dirname(path)} && mount -t tmpfs tmpfs ${dirname(path)} && "$@" && ls -A ${dirname(path)}`,
  );
  const { status, stdout, stderr } = runConmonctl(
    scratch,
    ["setup", "podman", "--apply", "--root-prefix", scratch.folder("root")],
    { environment: storage(scratch), wrapper: ["unshare", "--mount", "sh", mount] },
  );
  assert.equal(status, 0, stderr);
  assert.match(stdout, /\n50-conmon-ts\.conf\n$/);
  assert.ok(!stdout.includes(".conmonctl-"));
});

test("a prefix that is empty, or leads nowhere, changes nothing", (t) => {
  const scratch = makeScratch(t);
  const said = (prefix: string) => {
    const { status, stderr } = runConmonctl(scratch, [
      ...["setup", "crio", "--apply", "--root-prefix", prefix],
    ]);
    return [status, stderr.split("\n")[0]];
  };
  assert.deepEqual(said(""), [2, "conmonctl: --root-prefix is empty"]);
  const nowhere = scratch.path("nowhere");
  assert.deepEqual(said("nowhere"), [1, `conmonctl: there is no directory ${nowhere}`]);
  assert.equal(existsSync(nowhere), false);
});

test("a set-up that does not work is taken back", { skip }, (t) => {
  const scratch = makeScratch(t);
  const path = scratch.path("root", PODMAN_FILE);
  // It can be executed, but does not say its version: Podman goes on to the next.
  const broken = scratch.path("not-conmon");
  writeFileSync(broken, "#!/bin/sh\nexit 1\n");
  chmodSync(broken, 0o755);
  const result = setUp(scratch, "podman", "--apply", "--conmon", broken);
  assert.equal(result.status, 1, result.stdout);
  assert.match(
    result.stderr,
    /uses \/usr\/bin\/conmon; .*50-conmon-ts\.conf has been taken back\n/,
  );
  assert.deepEqual(readdirSync(scratch.path("root")), []);

  setUp(scratch, "podman", "--apply");
  const before = readFileSync(path, "utf8");
  assert.equal(setUp(scratch, "podman", "--apply", "--conmon", broken).status, 1);
  assert.equal(readFileSync(path, "utf8"), before);
});

test("--test has Podman run a container", { skip }, (t) => {
  const scratch = makeScratch(t);
  const args = [
    "podman",
    "--apply",
    "--test",
    "--runtime",
    "runc",
    "--conmond",
    "private",
    "--json",
  ];
  const { trial } = jsonOf(setUp(scratch, ...args)) as { trial: Record<string, string> };
  assert.equal(trial.status, "ok", JSON.stringify(trial));
  assert.match(trial.found ?? "", /^Podman ran a container in \d+ ms$/);
  assert.deepEqual(readdirSync(scratch.temporary), []);
});

test("--test tells why no container can be run, and takes the file back", { skip }, (t) => {
  const scratch = makeScratch(t);
  const runtime = scratch.path("runtime");
  writeFileSync(runtime, "#!/bin/sh\necho out of cheese >&2\nexit 1\n");
  chmodSync(runtime, 0o755);
  const result = setUp(scratch, "podman", "--apply", "--test", "--runtime", runtime);
  assert.equal(result.status, 1, result.stdout);
  assert.match(result.stderr, /^conmonctl: `podman run` .*out of cheese.*taken back\n/);
  assert.deepEqual(readdirSync(scratch.path("root")), []);
});

test(
  "Podman reads it in its real place, after those before and before those behind",
  { skip },
  (t) => {
    const scratch = makeScratch(t);
    const conmonctl = `"${process.execPath}" "${join(dirname(monitors.ours), "conmonctl")}"`;
    const used = "podman info --format '{{.Host.Conmon.Path}}'";
    const script = scratch.path("script");
    writeFileSync(
      script,
      [
        "set -e",
        "mount -t tmpfs tmpfs /etc/containers",
        used,
        `${conmonctl} setup podman --apply >&2`,
        used,
        // Somebody's file whose name comes later.
        `printf '[engine]\\nconmon_path = ["/usr/bin/conmon"]\\n' > /etc/containers/containers.conf.d/90.conf`,
        used,
        `${conmonctl} setup podman --apply && exit 9`,
        "rm /etc/containers/containers.conf.d/90.conf",
        `${conmonctl} setup podman --remove >&2`,
        used,
      ].join("\n"),
    );
    const result = spawnSync(needProgram("unshare"), ["--mount", "sh", script], {
      env: { ...privateEnvironment(scratch), ...storage(scratch) },
      encoding: "utf8",
    });
    assert.equal(result.status, 0, result.stderr);
    assert.deepEqual(result.stdout.trim().split("\n"), [
      ...["/usr/bin/conmon", monitors.ours, "/usr/bin/conmon", "/usr/bin/conmon"],
    ]);
    assert.match(
      result.stderr,
      /hint: conmon_path is also set in \/etc\/containers\/containers\.conf\.d\/90\.conf\n/,
    );
  },
);

test("with CONTAINERS_CONF Podman reads no drop-ins, which is told", { skip }, (t) => {
  const scratch = makeScratch(t);
  const own = scratch.path("own.conf");
  writeFileSync(own, "[engine]\n");
  const script = scratch.path("script");
  writeFileSync(script, 'mount -t tmpfs tmpfs /etc/containers && exec "$@"');
  const result = runConmonctl(scratch, ["setup", "podman", "--apply"], {
    environment: { ...storage(scratch), CONTAINERS_CONF: own },
    wrapper: ["unshare", "--mount", "sh", script],
  });
  assert.equal(result.status, 1, result.stdout);
  assert.ok(
    result.stderr.includes(`hint: CONTAINERS_CONF is set, so that Podman reads ${own} only\n`),
  );
});

test("CRI-O: for all handlers, and for one", { skip }, (t) => {
  const scratch = makeScratch(t);
  const path = scratch.path("root", CRIO_FILE);
  const all = setUp(
    scratch,
    "crio",
    "--apply",
    "--monitor-cgroup",
    "pod",
    "--conmond",
    "/run/x.sock",
  );
  assert.equal(all.status, 0, all.stderr);
  assert.match(all.stdout, /CRI-O is not installed|is configured to use/);
  assert.match(all.stdout, /systemctl restart crio/);
  assert.deepEqual(parseToml(scratch, path), {
    crio: {
      runtime: {
        conmon: monitors.ours,
        conmon_cgroup: "pod",
        conmon_env: [
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "CONMOND_SOCKET=/run/x.sock",
        ],
      },
    },
  });
  assert.equal(setUp(scratch, "crio", "--apply", "--handler", "runc").status, 0);
  assert.deepEqual(parseToml(scratch, path), {
    crio: {
      runtime: {
        runtimes: {
          runc: {
            runtime_path: needProgram("runc"),
            runtime_type: "oci",
            runtime_root: "/run/runc",
            monitor_path: monitors.ours,
          },
        },
      },
    },
  });
  // CRI-O reads whatever is in the directory.
  assert.deepEqual(readdirSync(dirname(path)), ["50-conmon-ts.conf"]);
  assert.equal(setUp(scratch, "crio", "--remove").status, 0);
  assert.equal(existsSync(path), false);
});

/** By the parser that Podman and CRI-O have, and, where Python has one, by another. */
function parseToml(scratch: Scratch, path: string): unknown {
  conmonOf(scratch, path);
  const program =
    "import sys,json,tomllib; print(json.dumps(tomllib.load(open(sys.argv[1],'rb'))))";
  const result = spawnSync("python3", ["-c", program, path], { encoding: "utf8" });
  assert.equal(result.status, 0, `Python 3.11 is needed: ${result.stderr}`);
  return JSON.parse(result.stdout);
}

test("a path with quotes and backslashes survives", { skip }, (t) => {
  const scratch = makeScratch(t);
  const conmon = join(scratch.folder('odd "\\ name'), "conmon");
  spawnSync("cp", [monitors.ours, conmon]);
  const result = setUp(scratch, "podman", "--apply", "--conmon", conmon, "--json");
  assert.equal((jsonOf(result) as { check: { status: string } }).check.status, "ok");
});

for (const [args, status, message] of [
  [
    ["podman", "--conmond", "sometimes"],
    2,
    "--conmond is sometimes, which is neither auto, private nor an absolute path",
  ],
  [["podman", "--conmon", "/nowhere/conmon"], 1, "there is no program /nowhere/conmon"],
  [["podman", "--conmon", "conmon"], 2, "--conmon is conmon, which is no absolute path"],
  [
    ["crio", "--monitor-cgroup", "x"],
    2,
    '--monitor-cgroup is "x", which is neither pod nor a slice',
  ],
  [
    ["crio", "--handler", "no-such-runtime"],
    1,
    "the OCI runtime of handler no-such-runtime is not known",
  ],
  [["crio", "--runtime-path", "/usr/sbin/runc"], 2, "--runtime-path is for one handler"],
  [["podman", "--runtime", "runc"], 2, "setup podman: --runtime is for --test"],
] as const) {
  test(`${args.join(" ")}: ${message}`, (t) => {
    const scratch = makeScratch(t);
    const result = setUp(scratch, ...args);
    assert.equal(result.status, status);
    assert.equal(result.stderr.split("\n")[0], `conmonctl: ${message}`);
  });
}

test(
  "an ordinary user's file is in the own directory, and the own Podman reads it",
  { skip },
  async (t) => {
    const scratch = makeScratch(t);
    const home = scratch.folder("user");
    chmodSync(scratch.directory, 0o755);
    for (const name of ["config", "run", "tmp"]) mkdirSync(join(home, name), { mode: 0o700 });
    spawnSync("chown", ["-R", "65534:65534", home]);
    // Podman leaves a process behind, which keeps a user namespace for its next calls.
    scratch.atEnd(() => {
      for (const { pid } of processesWith(scratch.id)) process.kill(pid, "SIGKILL");
    });
    const result = runConmonctl(scratch, ["setup", "podman", "--apply", "--json"], {
      uid: 65534,
      environment: {
        HOME: home,
        XDG_CONFIG_HOME: join(home, "config"),
        XDG_RUNTIME_DIR: join(home, "run"),
        TMPDIR: join(home, "tmp"),
      },
    });
    const { path, check } = jsonOf(result) as { path: string; check: { status: string } };
    assert.equal(path, join(home, "config/containers/containers.conf.d/50-conmon-ts.conf"));
    assert.equal(check.status, "ok");
  },
);
