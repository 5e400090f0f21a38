/** The shared conmond, where one is used. */
import { lstatSync, readFileSync, statSync } from "node:fs";
import { dirname } from "node:path";
import { socketPlaces } from "../daemon/socket-places.ts";
import {
  type Check,
  type Finding,
  fail,
  messageOf,
  ok,
  type Patient,
  skip,
  warn,
} from "./check.ts";

export const conmond: Check = { name: "conmond", look: lookAtConmond };

async function lookAtConmond({ environment, version }: Patient): Promise<Finding[]> {
  const places = socketPlaces(environment);
  if (places.length === 0)
    return [skip("no shared conmond is looked for: each container has its own")];
  const socket = places.find((path) => lstatSync(path, { throwIfNoEntry: false }) !== undefined);
  if (socket === undefined) {
    const how =
      environment.CONMOND === "auto"
        ? "the first container starts one"
        : "each container has its own";
    return [skip(`no shared conmond runs (${places.join(", ")}): ${how}`)];
  }
  const findings = [socketDirectory(dirname(socket)), lock(socket)];
  try {
    const { daemonStatus } = await import("../daemon/status.ts");
    const status = await daemonStatus(socket);
    findings.unshift(judge(status, version));
  } catch (error) {
    findings.unshift(
      fail(`${socket} cannot be connected to: ${messageOf(error)}`, `remove ${socket}`),
    );
  }
  return findings.filter((finding) => finding !== undefined);
}

function judge(
  {
    state,
    socket,
    pid,
    uid,
    version,
    outdated,
    sessions,
    answerMilliseconds,
  }: Awaited<ReturnType<typeof import("../daemon/status.ts").daemonStatus>>,
  wanted: string,
): Finding {
  if (state === "stopped") {
    return warn(
      `${socket} is left of a conmond that died`,
      "start another: conmonctl daemon start",
    );
  }
  const who = `conmond, process ${pid ?? "unknown"},`;
  if (state === "hangs") {
    return fail(`${who} listens at ${socket} and does not answer`, "conmonctl daemon restart");
  }
  if (uid !== process.geteuid?.()) {
    return warn(
      `${who} is user ${uid}'s, and refuses others`,
      "name another socket in CONMOND_SOCKET",
    );
  }
  if (outdated || (version !== undefined && version !== wanted)) {
    const is = outdated ? "is older than its files" : `is version ${version}, conmonctl ${wanted}`;
    return warn(`${who} ${is}`, "conmonctl daemon restart, which hands all containers over");
  }
  return ok(
    `${who} answers after ${answerMilliseconds} ms, with ${sessions ?? "uncounted"} sessions`,
  );
}

/** Who can write there can put another socket in the place. */
function socketDirectory(path: string): Finding | undefined {
  const { uid, mode } = statSync(path);
  const own = process.geteuid?.();
  if (uid === own && (mode & 0o077) === 0) return undefined;
  const why = uid === own ? "is open to others" : `belongs to user ${uid}`;
  return warn(`the socket's directory ${path} ${why}`, `chmod 700 ${path}, or choose another`);
}

/** A conmond holds the kernel's lock on the file; one without has been started by an older version. */
function lock(socket: string): Finding | undefined {
  const path = `${socket}.lock`;
  const status = statSync(path, { throwIfNoEntry: false, bigint: true });
  if (status === undefined) return undefined;
  const isHeld = readFileSync("/proc/locks", "latin1")
    .split("\n")
    .some((line) => line.includes("FLOCK") && line.includes(`:${status.ino} `));
  if (isHeld) return ok(`${path} is locked`);
  return warn(`${path} is not locked, as if no conmond were there`, "conmonctl daemon restart");
}
