/** Errors of conmonctl: a line, perhaps a line with a hint, and the same status for the same thing everywhere. */
import assert from "node:assert/strict";
import { mkdirSync, writeFileSync } from "node:fs";
import { describe, it } from "node:test";
import { Conmonctl } from "../support/conmonctl.ts";
import { unlessRootWith } from "../support/programs.ts";
import { runConmonctl } from "../support/run-conmonctl.ts";
import { makeScratch } from "../support/scratch.ts";

const FORM = /^conmonctl: [^\n]+\n(hint: [^\n]+\n)?$/;

/** What makes no sense, whatever there is on the machine. */
const USAGE = [
  "frobnicate",
  "help frobnicate",
  "help daemon frobnicate",
  "ps --nothing",
  "ps --json=3",
  "stop",
  "stop --time soon x",
  "logs --tail x y",
  "logs --since whenever y",
  "logs --grep ( y",
  "logs --stream stdin y",
  "resize x wide high",
  "stats --interval 0",
  "events --until never",
  "run",
  "run one two",
  "create",
  "create one two",
  "create --restart sometimes -- true",
  "run --memory much -- true",
  "run --restart sometimes -- true",
  "run --network mine -- true",
  "run --log-opt no-such=1 -- true",
  "run --log-driver punched-cards -- true",
  "run --user nobody-by-that-name -- true",
  "run --mount /nowhere:/x -- true",
  "run --workdir here -- true",
  "run --runtime host --workdir here -- true",
  "run --env =value -- true",
  "attach --detach-keys ctrl- x",
  "completion tcsh",
  "setup podman --conmond sometimes",
  "setup podman --apply --dry-run",
  "setup crio --handler a/b",
  "daemon stop --timeout soon",
  "daemon start --log-level loud",
  "doctor luck",
];

/** Commands that are about a container, of which there is none. */
const ABOUT_ONE = [
  ...[
    "attach x",
    "exec x true",
    "logs x",
    "logs -f x",
    "stop x",
    "kill x",
    "wait x",
    "rm x",
    "start x",
  ],
  ...[
    "inspect x",
    "stats --no-stream x",
    "events --no-follow x",
    "resize x 80 24",
    "reopen-logs x",
  ],
];

describe("conmonctl help", () => {
  it("shows the same as --help", (t) => {
    const scratch = makeScratch(t);
    for (const words of ["", "run", "list", "daemon", "daemon stop"]) {
      const path = words.split(" ").filter((word) => word !== "");
      const shown = runConmonctl(scratch, ["help", ...path]);
      assert.equal(shown.status, 0);
      assert.equal(shown.stdout, runConmonctl(scratch, [...path, "--help"]).stdout);
    }
  });
});

it("conmonctl refuses bytes that Node.js would change", (t) => {
  const wrapper = ["sh", "-c", `exec "$@" "$(printf 'a\\377')"`, "sh"];
  const { status, stdout, stderr } = runConmonctl(makeScratch(t), ["help"], { wrapper });
  assert.deepEqual([status, stdout], [2, ""]);
  assert.match(stderr, /^conmonctl: the command line has bytes that are no UTF-8\nhint: /);
});

describe("conmonctl", { skip: unlessRootWith("runc") }, () => {
  it("ends with 2 where the command line makes no sense", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    for (const line of USAGE) {
      const { status, stdout, stderr } = await ctl.run(...line.split(" "));
      assert.deepEqual([line, status, stdout], [line, 2, ""], stderr);
      assert.match(stderr, FORM, line);
    }
  });

  it("ends with 3 where there is no such container", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    for (const line of ABOUT_ONE) {
      const { status, stderr } = await ctl.run(...line.split(" "));
      assert.deepEqual([line, status], [line, 3], stderr);
      assert.match(stderr, FORM, line);
    }
    const [both] = [await ctl.run("stop", "x", "y", "--json")];
    assert.deepEqual([both.status, both.stdout], [3, "[]\n"]);
    assert.match(both.stderr, /^conmonctl: .* x\nhint: .*\nconmonctl: .* y\nhint: .*\n$/);
  });

  it("ends with 125 where nothing can be started", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    mkdirSync(scratch.path("bundle"));
    writeFileSync(scratch.path("bundle/config.json"), "{");
    for (const line of [
      "run /nowhere",
      "run ./bundle",
      "run --runtime no-such-runtime -- true",
      "run --rootfs /nowhere -- true",
    ]) {
      const { status, stderr } = await ctl.run(...line.split(" "));
      assert.deepEqual([line, status], [line, 125], stderr);
      assert.match(stderr, FORM, line);
    }
  });

  it("says which word it does not understand, in words of the user's", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    const said = async (...args: string[]) => {
      const { status, stderr } = await ctl.run(...args);
      assert.equal(status, 2, stderr);
      return stderr.split("\n")[0];
    };
    assert.equal(
      await said("resize", "web", "a", "b"),
      "conmonctl: 'a' is invalid for argument 'COLUMNS'. A whole number from 0 on is expected.",
    );
    for (const command of ["logs", "stop", "rm", "attach", "inspect"]) {
      assert.equal(await said(command, ""), "conmonctl: the name of a container is empty");
    }
  });

  it("says that nobody takes what is logged to journald, and runs the container", (t) => {
    const scratch = makeScratch(t);
    // Where there is no journald, whatever this machine has.
    const hide = 'mount -t tmpfs tmpfs /run && exec "$@"';
    const wrapper = ["unshare", "--mount", "sh", "-c", hide, "sh"];
    const ctl = (...args: string[]) => runConmonctl(scratch, args, { wrapper });
    const lost = /^conmonctl: warning: until journald listens at [^\n]+ job writes \([^\n]+\n$/;
    const hello = ["--", "echo", "hello"];
    const first = ctl("run", "--name", "job", "--log-driver", "journald", ...hello);
    assert.deepEqual([first.status, first.stdout], [0, "hello\n"], first.stderr);
    assert.match(first.stderr, lost);
    const again = ctl("start", "--attach", "job");
    assert.deepEqual([again.status, again.stdout], [0, "hello\n"], again.stderr);
    assert.match(again.stderr, lost);
    const apart = ctl("start", "job");
    assert.deepEqual([apart.status, apart.stdout], [0, "job\n"], apart.stderr);
    assert.match(apart.stderr, lost);
    assert.equal(ctl("run", "--rm", ...hello).stderr, "");
    assert.equal(ctl("rm", "--force", "job").status, 0);
  });

  it("ends with 1 where something cannot be done", async (t) => {
    const scratch = makeScratch(t);
    const ctl = new Conmonctl(scratch);
    await ctl.succeed("run", "-d", "--name", "x", "--", "sleep", "100");
    // Here as well, though the container is there.
    for (const line of ["exec -w here x true", "exec -d -e = x true"]) {
      const { status, stderr } = await ctl.run(...line.split(" "));
      assert.deepEqual([line, status], [line, 2], stderr);
      assert.match(stderr, FORM, line);
    }
    for (const line of ["rm x", "resize x 80 24", "run --name x -- true"]) {
      const { status, stderr } = await ctl.run(...line.split(" "));
      assert.deepEqual([line, status], [line, 1], stderr);
      assert.match(stderr, FORM, line);
    }
    await ctl.succeed("stop", "-t", "0", "x");
    for (const line of ["attach x", "exec x true", "kill x", "reopen-logs x"]) {
      const { status, stderr } = await ctl.run(...line.split(" "));
      assert.deepEqual([line, status], [line, 1], stderr);
      assert.match(stderr, FORM, line);
    }
  });

  it("does not let a name steer the terminal", async (t) => {
    const ctl = new Conmonctl(makeScratch(t));
    const { stderr } = await ctl.run("inspect", "a\x1b[2Jb\nconmonctl: c");
    assert.match(stderr, FORM);
    assert.match(stderr, /^conmonctl: there is no container a\\x1b\[2Jb\\x0aconmonctl: c\n/);
    const usage = await ctl.run("ps", "--a\x1b[2Jb\nc");
    assert.match(usage.stderr, FORM);
    assert.ok(!usage.stderr.includes("\x1b"));
  });
});
