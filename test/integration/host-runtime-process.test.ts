/** What a process of the host runtime has, and is. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { closeSync, mkdirSync, openSync, readdirSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeBundle, type OciConfig } from "../support/bundle.ts";
import { outputOf, prepare } from "../support/host-place.ts";
import { type CallOptions, HostRuntime } from "../support/host-runtime.ts";
import { unlessRootWith } from "../support/programs.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith("busybox", "setpriv");
const NOBODY = 65534;

describe("a process of the host runtime", { skip }, () => {
  it("has the arguments, variables, directory and nothing of the runtime's own", async (t) => {
    const place = prepare(t);
    const one = makeBundle(place.scratch, {
      args: ["sh", "-c", 'echo "$0|$1|$#"; pwd; umask; env', "zero", "ü 1", ""],
      env: ["EMPTY=", "WITH=a=b", "odd.name=1"],
      change: (config) => {
        config.process.cwd = "/usr";
      },
    });
    const lines = (await outputOf(place, one)).split("\n");
    assert.deepEqual(lines.slice(0, 3), ["zero|ü 1|2", "/usr", "0022"]);
    const mark = `CONMON_TS_TEST=${place.scratch.id}`;
    const variables = lines.slice(3, -1).filter((line) => !/^(PWD|OLDPWD|SHLVL|_)=/.test(line));
    // A shell does not hand on names that it cannot have itself.
    const expected = ["EMPTY=", "HOME=/root", "PATH=/bin", "TERM=xterm", "WITH=a=b", mark];
    assert.deepEqual(variables.filter((line) => !line.startsWith("odd")).sort(), expected.sort());
    // Not by a shell, which has some of its own.
    const list = makeBundle(place.scratch, { args: ["ls", "-l", "/proc/self/fd"] });
    const descriptors = [...(await outputOf(place, list)).matchAll(/ (\d+) -> (\S*)/g)];
    const others = descriptors.filter(([, , target]) => !/^\/proc\/\d+\/fd$/.test(target ?? ""));
    assert.deepEqual(
      others.map(([, fd]) => fd),
      ["0", "1", "2"],
    );
  });

  it("is its session's leader, and has the signals' defaults", async (t) => {
    const place = prepare(t);
    const one = makeBundle(place.scratch, {
      args: ["cat", "/proc/self/stat", "/proc/self/status"],
    });
    const output = await outputOf(place, one);
    const [pid, , , , group, session] = output.split(" ");
    assert.deepEqual([group, session], [pid, pid]);
    for (const name of ["SigBlk", "SigIgn"]) {
      assert.match(output, new RegExp(`^${name}:\\s+0+$`, "m"), name);
    }
  });

  it("has the caller's limit of open files, unless it asks for others", async (t) => {
    const place = prepare(t);
    const wrapper = ["sh", "-c", 'ulimit -S -n 777; "$@"; exit $?', "sh"];
    const show = "ulimit -S -n; ulimit -H -c";
    assert.match(await outputOf(place, place.bundle(show), { wrapper }), /^777\n/);
    const change = (config: OciConfig) => {
      config.process.rlimits = [
        { type: "RLIMIT_NOFILE", soft: 99, hard: 100 },
        { type: "RLIMIT_CORE", soft: 0, hard: 0 },
      ];
    };
    assert.equal(await outputOf(place, place.bundle(show, { change })), "99\n0\n");
  });

  it("has the user, groups, file mode mask and OOM score that it asks for", async (t) => {
    const place = prepare(t);
    const one = place.bundle(
      "id -u; id -g; id -G; umask; cat /proc/self/oom_score_adj; echo $HOME; grep NoNew /proc/self/status",
      {
        change: ({ process }) => {
          process.user = {
            uid: NOBODY,
            gid: NOBODY,
            additionalGids: [7, 8],
            umask: 0o77,
          } as typeof process.user;
          process.oomScoreAdj = 321;
        },
      },
    );
    assert.equal(
      await outputOf(place, one),
      `${NOBODY}\n${NOBODY}\n${NOBODY} 7 8\n0077\n321\n/nonexistent\nNoNewPrivs:\t1\n`,
    );
  });

  it("may only be what its user may be who is not root", async (t) => {
    const { scratch, bundle } = prepare(t);
    const runtimeDirectory = scratch.path("run-user");
    mkdirSync(runtimeDirectory, { mode: 0o700 });
    const ids = [`--reuid=${NOBODY}`, `--regid=${NOBODY}`, "--clear-groups"];
    const wrapper = ["setpriv", ...ids];
    execFileSync("chown", ["-R", `${NOBODY}:${NOBODY}`, scratch.directory]);
    const options: CallOptions = {
      wrapper,
      global: [],
      environment: { XDG_RUNTIME_DIR: runtimeDirectory },
    };
    const host = new HostRuntime(scratch);
    const asRoot = bundle("true");
    assert.equal(
      await host.fault(["create", `--bundle=${asRoot.directory}`, asRoot.id], options),
      `create failed: cannot run a process as user 0: only root can change that, and this is user ${NOBODY}, group ${NOBODY}`,
    );
    const own = bundle('id -u > "$FILE"; exec sleep 1000', {
      change: ({ process }) => {
        process.user = { uid: NOBODY, gid: NOBODY };
        process.rlimits = [{ type: "RLIMIT_NOFILE", soft: 50, hard: 2 ** 40 }];
      },
    });
    await host.create(own, options);
    const state = JSON.parse(await host.mustSucceed(["state", own.id], options));
    assert.equal(state.status, "created");
    assert.deepEqual(readdirSync(join(runtimeDirectory, "conmon-ts/host-runtime")), [own.id]);
    await host.mustSucceed(["start", own.id], options);
    assert.equal(await textOf(scratch.path("written")), `${NOBODY}\n`);
    await host.mustSucceed(["exec", own.id, "true"], options);
    assert.match(
      await host.fault(["exec", "--user=0", own.id, "true"], options),
      /as user 0: only root/,
    );
    await host.mustSucceed(["delete", "--force", own.id], options);
    assert.match(
      await host.fault(["list"], { wrapper, global: [] }),
      /XDG_RUNTIME_DIR is not set: --root has to say where to keep state/,
    );
  });

  it("becomes the host's user that a user namespace would have made it", async (t) => {
    const place = prepare(t);
    const mapping = [{ containerID: 0, hostID: NOBODY, size: 1 }];
    const one = place.bundle("id -u; id -g", {
      change: (config) => {
        config.linux.namespaces.push({ type: "user" });
        Object.assign(config.linux, { uidMappings: mapping, gidMappings: mapping });
      },
    });
    assert.equal(await outputOf(place, one), `${NOBODY}\n${NOBODY}\n`);
  });

  it("gets descriptors to preserve, and those of a socket activation with its own pid", async (t) => {
    const place = prepare(t);
    const files = ["a", "b", "c"].map((name) => {
      const path = place.scratch.path(name);
      writeFileSync(path, `${name}\n`);
      return openSync(path, "r");
    });
    const script =
      'cat <&3; cat <&4; cat <&5; echo "$LISTEN_FDS $LISTEN_FDNAMES"; [ "$LISTEN_PID" = $$ ] && echo mine';
    const one = place.bundle(script);
    // LISTEN_PID has to be the runtime's own.
    const wrapper = ["sh", "-c", 'export LISTEN_PID=$$; exec "$@"', "sh"];
    const output = openSync(place.file, "a");
    await place.host.mustSucceed(
      ["create", `--bundle=${one.directory}`, "--preserve-fds", "1", one.id],
      {
        wrapper,
        environment: { LISTEN_FDS: "2", LISTEN_FDNAMES: "x:y" },
        stdio: ["ignore", output, output, ...files],
      },
    );
    [...files, output].forEach(closeSync);
    await place.host.start(one);
    assert.equal(
      await textOf(place.file, (text) => text.includes("mine")),
      "a\nb\nc\n2 x:y\nmine\n",
    );
  });
});
