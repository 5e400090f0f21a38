import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import {
  type CgroupMount,
  directoryIn,
  findMemoryCgroup,
  parseCgroupMounts,
  parseMembership,
} from "../../src/events/cgroup.ts";
import { parseOomState } from "../../src/events/oom-counter.ts";
import { makeScratch } from "../support/scratch.ts";

describe("the cgroups of a process", () => {
  const cases: [string, string, string | undefined, string | undefined][] = [
    ["version 1", "11:cpu,cpuacct:/a\n4:memory:/b\n1:name=systemd:/c\n", "/b", undefined],
    ["version 2", "0::/user.slice/x.scope\n", undefined, "/user.slice/x.scope"],
    ["hybrid", "4:memory:/b\n0::/c\n", "/b", "/c"],
    ["hybrid, memory in version 2", "4:cpu:/b\n0::/c\n", undefined, "/c"],
    ["several controllers together", "4:cpu,memory,pids:/b\n", "/b", undefined],
    ["controllers of similar names", "4:xmemory:/a\n5:name=memory:/b\n", undefined, undefined],
    ["colons and blanks in a path", "4:memory:/a:b:/ c \n0::/d:e\n", "/a:b:/ c ", "/d:e"],
    ["nothing", "", undefined, undefined],
    ["nonsense", "\n::\nmemory:/x\n4:memory:relative\n0:x:/y\n", undefined, undefined],
  ];
  for (const [what, text, memory, unified] of cases) {
    it(`are read from a list with ${what}`, () => {
      assert.deepEqual(parseMembership(text), { memory, unified });
    });
  }
});

describe("cgroup mounts", () => {
  it("are picked out of a mountinfo, however many optional fields there are", () => {
    const text = [
      "31 23 0:28 / /sys/fs/cgroup rw,relatime - tmpfs tmpfs rw,mode=755",
      "32 31 0:29 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct",
      "35 31 0:32 /\\134a\\040b /mnt/m\\040x\\011y\\134 rw shared:1 master:2 - cgroup cgroup rw,memory",
      "41 31 0:38 /../../x /sys/fs/cgroup/unified rw shared:4 - cgroup2 cgroup2 rw,nsdelegate",
      "",
      "short",
    ].join("\n");
    const mounts = parseCgroupMounts(text).map(({ options, ...mount }) => ({
      ...mount,
      options: [...options],
    }));
    assert.deepEqual(mounts, [
      {
        version: 1,
        root: "/",
        point: "/sys/fs/cgroup/cpu,cpuacct",
        options: ["rw", "cpu", "cpuacct"],
      },
      { version: 1, root: "/\\a b", point: "/mnt/m x\ty\\", options: ["rw", "memory"] },
      {
        version: 2,
        root: "/../../x",
        point: "/sys/fs/cgroup/unified",
        options: ["rw", "nsdelegate"],
      },
    ]);
  });

  const cases: [root: string, path: string, directory: string | undefined][] = [
    ["/", "/a/b", "/mnt/a/b"],
    ["/", "/", "/mnt"],
    ["/a", "/a/b", "/mnt/b"],
    ["/a", "/a", "/mnt"],
    ["/a", "/ab", undefined],
    ["/a", "/", undefined],
    ["/..", "/../b/c", "/mnt/b/c"],
    ["/../x", "/../b", undefined],
  ];
  for (const [root, path, directory] of cases) {
    it(`of ${root} show ${path} ${directory === undefined ? "not at all" : `as ${directory}`}`, () => {
      const mount: CgroupMount = { version: 2, root, point: "/mnt", options: new Set() };
      assert.equal(directoryIn(mount, path), directory);
    });
  }
});

describe("the memory cgroup of a process", () => {
  /** A tree that looks like the proc and cgroup file systems. */
  function makeTree(t: TestContext, cgroup: string, mounts: string[], files: string[]) {
    const scratch = makeScratch(t);
    const write = (path: string, text: string): void => {
      mkdirSync(dirname(scratch.path(path)), { recursive: true });
      writeFileSync(scratch.path(path), text);
    };
    write("proc/7/cgroup", cgroup);
    write(
      "proc/self/mountinfo",
      mounts.map((text) => text.replace("@", scratch.directory)).join("\n"),
    );
    for (const file of files) write(file, "");
    return {
      find: () => findMemoryCgroup(7, scratch.path("proc")),
      path: (path: string) => join(scratch.directory, path),
    };
  }
  const first = "35 31 0:32 / @/v1 rw - cgroup cgroup rw,memory";
  const second = "41 31 0:38 / @/v2 rw - cgroup2 cgroup2 rw";

  it("is that of version 1 on a hybrid host", (t) => {
    const files = ["v1/a/memory.oom_control", "v2/b/memory.events"];
    const tree = makeTree(t, "4:memory:/a\n0::/b\n", [second, first], files);
    assert.deepEqual(tree.find(), { version: 1, directory: tree.path("v1/a") });
  });

  it("is that of version 2 on a hybrid host where version 1 has none", (t) => {
    const tree = makeTree(t, "4:memory:/a\n0::/b\n", [first, second], ["v2/b/memory.events"]);
    assert.deepEqual(tree.find(), { version: 2, directory: tree.path("v2/b") });
  });

  it("is found by a mount that shows it when another one does not", (t) => {
    const other = "42 31 0:38 /elsewhere @/other rw - cgroup2 cgroup2 rw";
    const tree = makeTree(t, "0::/b\n", [other, second], ["v2/b/memory.events"]);
    assert.deepEqual(tree.find(), { version: 2, directory: tree.path("v2/b") });
  });

  it("is missed with the reason where there is no controller", (t) => {
    const tree = makeTree(t, "4:cpu:/a\n0::/b\n", [first, second], ["v1/a/x", "v2/b/x"]);
    assert.throws(tree.find, /no memory controller .* process 7 .*no cgroup.*\/b/);
  });

  it("is not the root: an ending process seems to be there", (t) => {
    const tree = makeTree(t, "4:memory:/\n0::/\n", [first, second], ["v1/memory.oom_control"]);
    assert.throws(tree.find, /process 7 is in the root cgroup/);
  });
});

describe("the kernel's count", () => {
  it("is oom and oom_kill together in version 2, and nothing else", () => {
    const text = "low 1\nhigh 20\nmax 300\noom 4\noom_kill 5\noom_group_kill 600\n";
    assert.deepEqual(parseOomState(2, text), { count: 9, killsDisabled: false });
  });

  it("is oom_kill in version 1", () => {
    const text = "oom_kill_disable 0\nunder_oom 1\noom_kill 2\n";
    assert.deepEqual(parseOomState(1, text), { count: 2, killsDisabled: false });
  });

  it("is 0 in a kernel that does not have it", () => {
    const text = "oom_kill_disable 1\nunder_oom 0\n";
    assert.deepEqual(parseOomState(1, text), { count: 0, killsDisabled: true });
  });
});
