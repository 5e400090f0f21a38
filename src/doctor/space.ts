/** Room for logs and state. */
import { tmpdir } from "node:os";
import { stateDirectory } from "../containers/state.ts";
import { runBounded } from "../programs/bounded-run.ts";
import { type Check, type Finding, fail, ok, type Patient, skip, warn } from "./check.ts";

/** Less than that is little: a log may grow by it in a second. */
const LITTLE_BYTES = 256 * 1024 * 1024;

/** Where logs usually are. */
const LOGS = ["/var/lib/containers", "/var/log/pods", "/var/log/crio", "/var/log"];

export const space: Check = { name: "space", look: lookAtSpace };

async function lookAtSpace({ environment }: Patient): Promise<readonly Finding[]> {
  const state = stateDirectory(environment);
  const home = environment.HOME && `${environment.HOME}/.local/share/containers`;
  const candidates = [...LOGS, home, state, state === undefined ? undefined : "/run", tmpdir()];
  const paths = candidates.filter((path) => path !== undefined && path !== "");
  const rows = await Promise.all([...new Set(paths)].map((path) => free(String(path))));
  const byPlace = new Map<string, Finding>();
  for (const row of rows) {
    if (row !== undefined && !byPlace.has(row.place)) byPlace.set(row.place, row.finding);
  }
  return [...byPlace.values()];
}

/**
 * By a program, which can be left behind if the file system does not answer.
 *
 * @returns undefined where there is no such path
 */
async function free(path: string): Promise<{ place: string; finding: Finding } | undefined> {
  const [blocks, inodes] = await Promise.all([runDf("-Pk", path), runDf("-Pi", path)]);
  const fault = blocks.fault ?? inodes.fault;
  if (fault?.startsWith("did not end")) {
    return {
      place: path,
      finding: fail(`the file system of ${path} does not answer`, "see its mount"),
    };
  }
  const room = parseDf(blocks.stdout);
  if (/No such file/.test(blocks.stderr)) return undefined;
  if (fault !== undefined || room === undefined) {
    return { place: path, finding: skip(`${path}: \`df\` ${fault ?? "says nothing"}`) };
  }
  return { place: room.place, finding: judgeSpace(path, room, parseDf(inodes.stdout)) };
}

function runDf(option: string, path: string) {
  // In English, as its errors are read here.
  const environment = { ...process.env, LC_ALL: "C" };
  return runBounded("df", [option, path], { milliseconds: 5000, environment });
}

/** A line of `df -P`: what is there, and what is free, in its unit. */
export interface Room {
  readonly place: string;
  readonly total: number;
  readonly free: number;
}

/** Reads the second line of `df -P`; undefined where it makes no sense. */
export function parseDf(text: string): Room | undefined {
  const [, line = ""] = text.split("\n");
  const found = /^.* (\d+) +\d+ +(-?\d+) +\S+ (.*)$/.exec(line);
  if (found === null) return undefined;
  return { total: Number(found[1]), free: Number(found[2]), place: found[3] ?? "" };
}

/**
 * @param room in KiB
 * @param inodes in pieces; a file system without a limit says 0 of 0
 */
export function judgeSpace(path: string, room: Room, inodes: Room | undefined): Finding {
  const mebibytes = Math.round(room.free / 1024);
  const advice = "remove what is not needed; limit logs with --log-size-max";
  if (inodes !== undefined && inodes.total > 0 && inodes.free <= 0) {
    return fail(`no file can be made in ${path}: there are no inodes left`, advice);
  }
  if (room.free <= 0) return fail(`${path} is full`, advice);
  const found = `${mebibytes} MiB are free in ${path}`;
  return room.free * 1024 < LITTLE_BYTES ? warn(found, advice) : ok(found);
}
