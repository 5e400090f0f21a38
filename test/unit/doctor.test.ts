import assert from "node:assert/strict";
import { copyFileSync, cpSync, mkdirSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { test } from "node:test";
import { judgeCgroups } from "../../src/doctor/cgroups.ts";
import type { Check, Patient } from "../../src/doctor/check.ts";
import { judgeClock } from "../../src/doctor/clock.ts";
import { codeCache } from "../../src/doctor/code-cache.ts";
import { directories } from "../../src/doctor/directories.ts";
import { examine } from "../../src/doctor/examine.ts";
import { judgeOpenFiles, judgePipes } from "../../src/doctor/limits.ts";
import { parts } from "../../src/doctor/parts.ts";
import { nodePaths, shim } from "../../src/doctor/shim.ts";
import { judgeSpace, parseDf } from "../../src/doctor/space.ts";
import { parseCgroupMounts } from "../../src/events/cgroup.ts";
import { isStatic } from "../../src/programs/elf.ts";
import { installationAt, ownInstallation } from "../../src/programs/installation.ts";
import { ConsoleSocket } from "../../src/session/console-socket.ts";
import { monitors } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";

const patient: Patient = {
  installation: ownInstallation(),
  version: "0.0.0-test",
  environment: process.env,
};

test("a check that never ends, and one that throws, are findings", async () => {
  const checks: Check[] = [
    { name: "slow", look: () => new Promise(() => undefined) },
    { name: "broken", look: () => Promise.reject(new Error("out of cheese")) },
    {
      name: "good",
      look: async () => [
        { status: "ok", found: "a" },
        { status: "skip", found: "b" },
      ],
    },
    { name: "alone", alone: true, look: async () => ({ status: "ok", found: "c" }) },
  ];
  const results = await examine(checks, patient, 10);
  assert.deepEqual(results, [
    { check: "slow", status: "fail", found: "it could not be found out within 0.01 s" },
    { check: "broken", status: "fail", found: "it could not be found out: out of cheese" },
    { check: "good", status: "ok", found: "a" },
    { check: "good", status: "skip", found: "b" },
    { check: "alone", status: "ok", found: "c" },
  ]);
});

test("TMPDIR may be so long that the console socket fits, and no longer", async (t) => {
  const scratch = makeScratch(t);
  const never = () => assert.fail("nobody connects");
  const events = { onConnected: never, onTerminal: never, onFault: never };
  const openIn = (place: string) => ConsoleSocket.open(place, () => undefined, events).close();
  const look = async (TMPDIR: string) => {
    const findings = await examine([directories], { ...patient, environment: { TMPDIR } });
    return findings.at(-1)?.status;
  };
  // Two bytes each, of a path that is counted in bytes.
  const place = scratch.folder("ä".repeat(5));
  const longest = scratch.folder("ä".repeat(5), "x".repeat(85 - Buffer.byteLength(place)));
  openIn(longest);
  assert.equal(await look(longest), "ok");
  const longer = `${longest}x`;
  mkdirSync(longer);
  assert.throws(() => openIn(longer), /Failed to make the console socket/);
  assert.equal(await look(longer), "warn");
});

test("the parts of an installation, as it is built and as it is installed", () => {
  const built = installationAt("/opt/conmon-ts/dist");
  assert.equal(built.root, "/opt/conmon-ts");
  assert.equal(built.conmon, "/opt/conmon-ts/bin/conmon");
  assert.equal(built.conmonctl, "/opt/conmon-ts/dist/conmonctl.cjs");
  const installed = installationAt("/usr/lib/conmon-ts");
  assert.equal(installed.root, "/usr");
  assert.equal(installed.hostRuntime, "/usr/bin/conmon-host-runtime");
  assert.equal(installed.addon, "/usr/lib/conmon-ts/sys.node");
});

test("parts that are missing, broken, or of another version", async (t) => {
  const scratch = makeScratch(t);
  const root = scratch.folder("package");
  for (const name of ["bin", "dist"]) mkdirSync(join(root, name));
  const installation = installationAt(join(root, "dist"));
  const look = async (check: Check) => await examine([check], { ...patient, installation });
  for (const check of [parts, shim]) {
    for (const { status, found } of await look(check)) {
      assert.equal(status, "fail");
      assert.match(found, /missing|there is no program/);
    }
  }
  const own = ownInstallation();
  copyFileSync(own.conmond, installation.conmond);
  cpSync(join(own.root, "dist/code"), join(root, "dist/code"), { recursive: true });
  copyFileSync(own.conmon, installation.conmon);
  writeFileSync(installation.addon, "\x7fELF but not for long");
  writeFileSync(installation.framing, "\0asm, in a way");
  const found = (await look(parts)).map((result) => result.found);
  // conmond does not even say its version without the addon.
  assert.match(found[0] ?? "", /dist\/conmond\.cjs/);
  assert.match(found[1] ?? "", /^the native addon does not load: .*(ELF|file too short)/);
  assert.match(found[2] ?? "", /does not compile: /);
  copyFileSync(own.addon, installation.addon);
  assert.match((await look(parts))[0]?.found ?? "", /is version \S+, conmonctl 0\.0\.0-test$/);
  assert.match((await look(shim))[0]?.found ?? "", /is version \S+, conmonctl 0\.0\.0-test$/);
  const { version } = await versionOfParts();
  rmSync(installation.addon);
  const [first, second] = await examine([shim], { ...patient, version, installation });
  assert.deepEqual([first?.status, second?.status], ["ok", "fail"]);
});

async function versionOfParts(): Promise<{ version: string }> {
  const [result] = await examine([shim], patient);
  const version = /is version (\S+), /.exec(result?.found ?? "")?.[1];
  assert.ok(version, result?.found);
  return { version };
}

test("programs that another version of Node.js has compiled, or none, are told of", (t) => {
  const scratch = makeScratch(t);
  const dist = scratch.path("dist");
  cpSync(join(ownInstallation().root, "dist"), dist, { recursive: true });
  const own = { ...patient, installation: installationAt(dist) };
  assert.equal(codeCache(own).status, "ok");
  const other = codeCache(own, "1.2.3");
  assert.equal(other.status, "warn");
  assert.match(other.found, /^conmond, conmonctl, host-runtime: not compiled for this version/);
  const [cache = ""] = readdirSync(join(dist, "code")).filter((name) =>
    /^conmonctl-.*\.cache$/.test(name),
  );
  rmSync(join(dist, "code", cache));
  assert.match(codeCache(own).found, /^conmonctl: not compiled/);
});

test("the path of Node.js that is compiled into the shim is found", () => {
  const paths = nodePaths(monitors.ours);
  assert.ok(paths.includes(process.execPath), paths.join(", "));
  assert.ok(paths.includes("/usr/local/bin/node"));
});

test("static programs are told from others", (t) => {
  const scratch = makeScratch(t);
  assert.equal(isStatic(process.execPath), false);
  assert.equal(isStatic(monitors.sanitized), false);
  assert.equal(isStatic(monitors.ours), true);
  writeFileSync(scratch.path("script"), "#!/bin/sh\n");
  assert.equal(isStatic(scratch.path("script")), false);
});

test("cgroups", () => {
  const first =
    "30 24 0:26 / /nowhere/memory rw - cgroup cgroup rw,memory\n31 24 0:27 / /nowhere/cpu rw - cgroup cgroup rw,cpu\n";
  const second = "32 24 0:28 / /nowhere/unified rw - cgroup2 cgroup2 rw\n";
  const judge = (mounts: string, membership: string) =>
    judgeCgroups(parseCgroupMounts(mounts), membership).map(
      ({ status, found }) => `${status} ${found.split(":")[0]}`,
    );
  assert.deepEqual(judge("", ""), ["fail no cgroups are mounted"]);
  assert.equal(judge(first, "4:memory:/a\n")[0], "ok version 1, with a memory controller");
  assert.equal(
    judge(first + second, "4:memory:/a\n0::/a\n")[0],
    "ok version 1 and 2 (hybrid), with a memory controller",
  );
  const onlyCpu = first.split("\n")[1] ?? "";
  assert.match(
    judge(onlyCpu, "3:cpu:/a\n")[0] ?? "",
    /^warn version 1, without a memory controller/,
  );
});

test("limits", () => {
  assert.equal(judgeOpenFiles("1024", "unlimited").status, "ok");
  const few = judgeOpenFiles("256", "512");
  assert.deepEqual(
    [few.status, few.found],
    ["warn", "256 open files, 512 at most: enough for about 51 containers in a shared conmond"],
  );
  assert.equal(judgePipes(0).status, "ok");
  assert.equal(judgePipes(16384).status, "ok");
  assert.equal(judgePipes(64).status, "warn");
});

test("time zones", () => {
  assert.equal(judgeClock("UTC", 0, "+0000").status, "ok");
  assert.equal(judgeClock("Mars/Base", 0, "+0000").status, "warn");
  assert.deepEqual(judgeClock("Europe/Berlin", 60, "+0100"), {
    status: "ok",
    found: "the time zone is Europe/Berlin, +0100",
  });
  assert.equal(judgeClock("America/St_Johns", -210, "-0330").status, "ok");
  const bad = judgeClock("Europe/Berlin", 0, "+0100");
  assert.deepEqual(
    [bad.status, bad.found],
    [
      "warn",
      "the time zone is Europe/Berlin: Node.js takes it for +0000, other programs for +0100",
    ],
  );
});

test("free space", () => {
  const df =
    "Filesystem 1024-blocks Used Available Capacity Mounted on\n/dev/a b 1000 400 600 40% /mnt/x y\n";
  assert.deepEqual(parseDf(df), { total: 1000, free: 600, place: "/mnt/x y" });
  assert.equal(parseDf("nonsense"), undefined);
  const room = (free: number) => ({ total: 1_000_000, free, place: "/" });
  assert.equal(judgeSpace("/a", room(900_000), room(1)).status, "ok");
  assert.equal(judgeSpace("/a", room(1000), room(1)).status, "warn");
  assert.deepEqual(judgeSpace("/a", room(0), room(1)).found, "/a is full");
  assert.match(judgeSpace("/a", room(900_000), room(0)).found, /there are no inodes left$/);
  // btrfs has no table of inodes.
  assert.equal(judgeSpace("/a", room(900_000), { total: 0, free: 0, place: "/" }).status, "ok");
});
