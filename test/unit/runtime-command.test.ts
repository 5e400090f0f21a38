import assert from "node:assert/strict";
import { test } from "node:test";
import { checkOptions } from "../../src/session/checks.ts";
import { parseOptions } from "../../src/session/options.ts";
import { runtimeCommand } from "../../src/session/runtime-command.ts";

const GIVEN = ["-c", "cid", "-u", "u", "-r", "/runc", "-l", "none", "-b", "/b", "-p", "/pid"];
const EXTRA = ["--runtime-arg=--root", "--runtime-arg=/r", "--runtime-opt=-x", "--restore-arg=y"];
const FLAGS = ["-s", "--no-pivot", "--no-new-keyring"];

function command(argv: string[], consoleSocket?: string): string {
  const options = checkOptions(parseOptions([...GIVEN, ...argv]), {
    workingDirectory: "/work",
    variables: new Map(),
    isExecutable: () => true,
    realPath: (path) => path,
  });
  return runtimeCommand(options, consoleSocket).join(" ");
}

test("create names the bundle, the pidfile and the container", () => {
  assert.equal(command([]), "/runc create --bundle /b --pid-file /pid cid");
});

test("create with everything keeps the order that runtimes are used to", () => {
  assert.equal(
    command([...FLAGS, ...EXTRA, "-t"], "/tmp/term"),
    "/runc --systemd-cgroup --root /r create --bundle /b --pid-file /pid --no-pivot " +
      "--no-new-keyring -x y --console-socket /tmp/term cid",
  );
});

test("restore detaches and names the checkpoint", () => {
  assert.equal(
    command(["--restore", "/ckpt"]),
    "/runc restore --bundle /b --pid-file /pid --detach --image-path /ckpt --work-path /b cid",
  );
});

test("restore with everything has the options of create before --detach", () => {
  assert.equal(
    command([...FLAGS, ...EXTRA, "--restore", "/ckpt"], "/tmp/term"),
    "/runc --systemd-cgroup --root /r restore --bundle /b --pid-file /pid --no-pivot " +
      "--no-new-keyring --detach --image-path /ckpt --work-path /b -x y " +
      "--console-socket /tmp/term cid",
  );
});

test("exec names the process and leaves out what only makes sense for a container", () => {
  const exec = ["-e", "--exec-process-spec", "/spec"];
  assert.equal(command(exec), "/runc exec --pid-file /pid --process /spec --detach cid");
  assert.equal(
    command([...exec, ...FLAGS, ...EXTRA, "-t"], "/tmp/term"),
    "/runc --root /r exec --pid-file /pid --process /spec --detach -x y " +
      "--console-socket /tmp/term cid",
  );
});

test("arguments stay whole, whatever is in them", () => {
  const options = checkOptions(parseOptions([...GIVEN, "--runtime-opt", "a b", "--runtime-opt="]), {
    workingDirectory: "/",
    variables: new Map(),
    isExecutable: () => true,
    realPath: (path) => path,
  });
  assert.deepEqual(runtimeCommand(options).slice(-3), ["a b", "", "cid"]);
});
