/** conmonctl with the built-in runtime, which isolates nothing and needs neither root nor runc. */
import assert from "node:assert/strict";
import { execFileSync, type SpawnSyncReturns } from "node:child_process";
import { chmodSync, existsSync, mkdirSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { Conmonctl } from "../support/conmonctl.ts";
import { unlessRootWith } from "../support/programs.ts";
import { jsonOf, runConmonctl } from "../support/run-conmonctl.ts";
import { makeScratch } from "../support/scratch.ts";

const WARNING = "conmonctl: warning: the host runtime isolates nothing: job is a plain process";

/** A user namespace must be possible, which some kernels leave to root. */
const skip = unlessRootWith("unshare");

describe("conmonctl run --runtime host", () => {
  it("says once that nothing is isolated, on stderr and not in the log", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    const command = ["--runtime", "host", "--name", "job", "--memory", "1g", "--", "echo", "hi"];
    const { status, stdout, stderr } = await ctl.run("run", ...command);
    assert.deepEqual([status, stdout], [0, "hi\n"]);
    assert.equal(stderr, `${WARNING} of this machine; ignored: memory\n`);
    assert.equal(await ctl.succeed("logs", "job"), "hi");
  });

  it("says nothing if that was forbidden", (t) => {
    const environment = { CONMON_TS_HOST_RUNTIME: "quiet" };
    const args = ["run", "--rm", "--runtime", "host", "--", "echo", "hi"];
    const { stdout, stderr } = runConmonctl(makeScratch(t), args, { environment });
    assert.deepEqual([stdout, stderr], ["hi\n", ""]);
  });

  it(
    "is not shown to root when it is another user's, whose word root must not take",
    {
      skip: unlessRootWith("chown"),
    },
    (t) => {
      const scratch = makeScratch(t);
      const home = scratch.folder("user");
      chmodSync(scratch.directory, 0o755);
      for (const name of ["run", "tmp"]) mkdirSync(join(home, name), { mode: 0o700 });
      execFileSync("chown", ["-R", "65534:65534", home]);
      const environment = {
        HOME: home,
        CONMON_TS_STATE: join(home, "state"),
        CONMOND_SOCKET: "",
        TMPDIR: join(home, "tmp"),
        XDG_RUNTIME_DIR: join(home, "run"),
      };
      const asUser = (...args: string[]) =>
        runConmonctl(scratch, args, { uid: 65534, environment });
      const { stdout: id, stderr } = asUser("run", "-d", "--runtime", "host", "--", "sleep", "100");
      scratch.atEnd(() => void asUser("rm", "--force", id.trim()));
      assert.match(id, /^[0-9a-f]{64}\n$/, stderr);
      const seen = (result: SpawnSyncReturns<string>) =>
        (jsonOf(result) as { id: string }[]).some((container) => container.id === id.trim());
      assert.equal(seen(asUser("ps", "--json")), true);
      assert.equal(seen(runConmonctl(scratch, ["ps", "--json"])), false);
      assert.equal(runConmonctl(scratch, ["stop", id.trim()]).status, 3);
    },
  );

  it("knows the end where all of the user's inotify instances are in use", { skip }, (t) => {
    const scratch = makeScratch(t);
    // Of a user namespace of its own, so that nobody else is concerned.
    const limited = 'echo 0 > /proc/sys/user/max_inotify_instances && exec "$@"';
    const { status, stdout, stderr } = runConmonctl(
      scratch,
      ["run", "--rm", "--runtime", "host", "--", "sh", "-c", "echo hi; sleep 0.2; exit 3"],
      {
        environment: { CONMOND_SOCKET: "", XDG_RUNTIME_DIR: scratch.folder("run") },
        wrapper: ["unshare", "--user", "--map-root-user", "sh", "-c", limited, "sh"],
      },
    );
    assert.deepEqual([status, stdout], [3, "hi\n"], stderr);
  });

  it("works where node is not in PATH", (t) => {
    const scratch = makeScratch(t);
    const PATH = scratch.folder("empty");
    assert.equal(existsSync(join(PATH, "node")), false);
    const args = ["run", "--rm", "--runtime", "host", "--", "sh", "-c", "echo $PATH; exit 3"];
    const { status, stdout, stderr } = runConmonctl(scratch, args, { environment: { PATH } });
    assert.equal(status, 3, stderr);
    assert.equal(stdout.includes(PATH), false, "the container has a PATH of its own");
  });
});
