import assert from "node:assert/strict";
import { rmSync } from "node:fs";
import { test } from "node:test";
import { lostLogWarning } from "../../src/containers/log-warning.ts";
import * as sys from "../../src/sys/mod.ts";
import { makeScratch } from "../support/scratch.ts";

test("a journal that nobody keeps is told of, and only that", (t) => {
  const scratch = makeScratch(t);
  const socket = scratch.path("socket");
  const warn = (...logs: string[]) => lostLogWarning("web", logs, socket);
  const warning = (reason: string) =>
    `until journald listens at ${socket} the journal gets nothing of what web writes (${reason}); \`run --log-driver k8s-file\` keeps it in a file`;
  assert.equal(warn("k8s-file:/var/log/journald", "none"), undefined);
  assert.equal(warn("k8s-file:/x", "journald"), warning("ENOENT"));
  const fd = sys.unixSocket("dgram");
  sys.bindUnix(fd, socket);
  scratch.atEnd(() => rmSync(socket));
  assert.equal(warn("journald"), undefined);
  sys.close(fd);
  assert.equal(warn("journald"), warning("ECONNREFUSED"));
});
