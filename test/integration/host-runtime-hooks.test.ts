/** Hooks of containers of the host runtime. */
import assert from "node:assert/strict";
import { existsSync, readFileSync } from "node:fs";
import { describe, it } from "node:test";
import type { OciConfig } from "../support/bundle.ts";
import { gone, prepare } from "../support/host-place.ts";
import { processesWith, waitUntilGone } from "../support/processes.ts";
import { unlessRootWith } from "../support/programs.ts";
import { textOf } from "../support/waiting.ts";

const skip = unlessRootWith("busybox");

describe("hooks of the host runtime", { skip }, () => {
  const hook = (script: string, more: object = {}) => ({
    path: "/bin/sh",
    args: ["sh", "-c", script],
    env: ["PATH=/bin", "OWN=1"],
    ...more,
  });
  const withHooks = (hooks: Record<string, unknown[]>) => ({
    change: (config: OciConfig) => {
      config.hooks = hooks;
    },
  });

  it("are run in the order of a container's life, with its state on stdin", async (t) => {
    const place = prepare(t);
    const { scratch, host, bundle, file } = place;
    const kinds = [
      "prestart",
      "createRuntime",
      "createContainer",
      "startContainer",
      "poststart",
      "poststop",
    ];
    const note = (kind: string) => hook(`echo "${kind} $OWN $(cat)" >> ${scratch.path("hooks")}`);
    const one = bundle(
      'echo ran > "$FILE"',
      withHooks(Object.fromEntries(kinds.map((kind) => [kind, [note(kind)]]))),
    );
    await host.create(one);
    const { pid } = await host.state(one);
    await host.start(one);
    await textOf(file);
    await gone(place, one);
    await host.mustSucceed(["delete", one.id]);
    const lines = readFileSync(scratch.path("hooks"), "utf8").trim().split("\n");
    const seen = lines.map((line) => {
      const [, kind, own, json] = /^(\S+) (\S+) (.*)$/.exec(line) ?? [];
      const state = JSON.parse(json ?? "");
      return [kind, own, state.id === one.id, state.status, state.pid];
    });
    const statuses = ["creating", "creating", "creating", "created", "running", "stopped"];
    const expected = kinds.map((kind, i) => [kind, "1", true, statuses[i], i === 5 ? 0 : pid]);
    assert.deepEqual(seen, expected);
  });

  it("that fail before the start make it fail, with what they said", async (t) => {
    const { scratch, host, bundle, file } = prepare(t);
    const bad = hook("echo out; echo err >&2; exit 3");
    const stop = hook(`echo stopped >> ${file}`);
    const one = bundle("true", withHooks({ createRuntime: [hook("true"), bad], poststop: [stop] }));
    assert.equal(
      await host.fault(["create", `--bundle=${one.directory}`, one.id]),
      "create failed: error running createRuntime hook #1: /bin/sh: exit status 3, stdout: out, stderr: err",
    );
    assert.equal(readFileSync(file, "utf8"), "stopped\n");
    assert.deepEqual([host.ids(), processesWith(scratch.id)], [[], []]);

    const slow = bundle("true", withHooks({ prestart: [hook("exec sleep 1000", { timeout: 1 })] }));
    assert.match(
      await host.fault(["create", `--bundle=${slow.directory}`, slow.id]),
      /prestart hook #0: \/bin\/sh took more than 1 s/,
    );

    const late = bundle("true", withHooks({ startContainer: [hook("exit 1")] }));
    await host.create(late);
    assert.match(
      await host.fault(["start", late.id]),
      /startContainer hook #0: \/bin\/sh: exit status 1/,
    );
    assert.equal((await host.state(late)).status, "created");
  });

  it("that fail after the start are a warning", async (t) => {
    const { host, bundle } = prepare(t);
    const one = bundle(
      "exec sleep 1000",
      withHooks({ poststart: [hook("exit 1")], poststop: [hook("exit 2")] }),
    );
    await host.create(one);
    const started = await host.call(["start", one.id]);
    assert.equal(started.status, 0);
    assert.match(
      started.stderr,
      /level=warning msg="error running poststart hook #0: .*exit status 1/,
    );
    const deleted = await host.call(["delete", "--force", one.id]);
    assert.equal(deleted.status, 0);
    assert.match(
      deleted.stderr,
      /level=warning msg="error running poststop hook #0: .*exit status 2/,
    );
  });

  it("that kill the runtime leave no process that nobody knows", async (t) => {
    const { scratch, host, bundle } = prepare(t);
    const one = bundle("true", withHooks({ prestart: [hook("kill -9 $PPID")] }));
    const { signal } = await host.call(["create", `--bundle=${one.directory}`, one.id]);
    assert.equal(signal, "SIGKILL");
    assert.deepEqual(await waitUntilGone(() => processesWith(scratch.id)), []);
    assert.equal((await host.state(one)).status, "stopped");
    await host.mustSucceed(["delete", one.id]);
  });

  it("that kill the one who starts leave the container for the next one to start", async (t) => {
    const { scratch, host, bundle, file } = prepare(t);
    const once = scratch.path("once");
    const one = bundle(
      'echo ran >> "$FILE"; exec sleep 1000',
      withHooks({ startContainer: [hook(`[ -e ${once} ] || { touch ${once}; kill -9 $PPID; }`)] }),
    );
    await host.create(one);
    assert.equal((await host.call(["start", one.id])).signal, "SIGKILL");
    assert.equal((await host.state(one)).status, "created");
    assert.equal(existsSync(file), false);
    await host.start(one);
    assert.equal(await textOf(file), "ran\n");
  });
});
