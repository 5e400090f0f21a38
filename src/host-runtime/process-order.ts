/** From a process as the specification describes it to the order that host-init carries out. */
import { fchownSync, fstatSync } from "node:fs";
import type { UserNamespace } from "./config.ts";
import { homeOf, identify, readSelf } from "./identity.ts";
import { limitsFor } from "./limits.ts";
import type { Order } from "./order.ts";
import { type ProcessSpec, variable } from "./process-spec.ts";

/** As many digits as a pid may have: host-init writes over them. */
const ROOM_FOR_PID = "0000000000";

/** What systemd's socket activation has put into our own environment, if it is meant for us. */
export interface ListenDescriptors {
  readonly count: number;
  /** For the process's environment. */
  readonly env: readonly string[];
}

/**
 * Reads `LISTEN_FDS`, see sd_listen_fds(3).
 *
 * @param pid ours, which `LISTEN_PID` must be
 */
export function readListenDescriptors(
  environment: Readonly<Record<string, string | undefined>>,
  pid: number,
): ListenDescriptors {
  const { LISTEN_FDS: count, LISTEN_PID: reader, LISTEN_FDNAMES: names } = environment;
  if (count === undefined || !/^[1-9]\d{0,3}$/.test(count) || reader !== String(pid)) {
    return { count: 0, env: [] };
  }
  const named = names === undefined ? [] : [`LISTEN_FDNAMES=${names}`];
  return {
    count: Number(count),
    env: [`LISTEN_FDS=${count}`, `LISTEN_PID=${ROOM_FOR_PID}`, ...named],
  };
}

/**
 * @param gated whether it waits for `start`
 * @throws Failure for what this user may not do, or there is not
 */
export function makeOrder(
  spec: ProcessSpec,
  namespace: UserNamespace | undefined,
  listen: ListenDescriptors,
  gated: boolean,
): Order {
  const self = readSelf();
  const { ids, groups } = identify(spec.user, namespace, self);
  const home =
    variable(spec.env, "HOME") === undefined ? [`HOME=${homeOf(ids?.uid ?? self.uid)}`] : [];
  return {
    gated,
    terminal: spec.terminal,
    ids,
    groups,
    umask: spec.user.umask,
    limits: limitsFor(spec.limits),
    oomScoreAdj: spec.oomScoreAdj,
    noNewPrivileges: spec.noNewPrivileges,
    listenPid: listen.count > 0,
    cwd: spec.cwd,
    args: spec.args,
    env: [...withoutListen(spec.env, listen), ...home, ...listen.env],
  };
}

function withoutListen(env: readonly string[], listen: ListenDescriptors): readonly string[] {
  return listen.count === 0
    ? env
    : env.filter((entry) => !/^LISTEN_(FDS|PID|FDNAMES)=/.test(entry));
}

/**
 * Has another user's process own its pipes, so that it can open /dev/stdout anew. What is no pipe stays as it
 * is, and so do pipes that are not ours to give away.
 */
export function givePipes(order: Order): void {
  if (order.ids === undefined) return;
  for (const fd of [0, 1, 2]) {
    const status = fstatSync(fd);
    if (status.isFIFO() && status.uid !== order.ids.uid) chownIfAllowed(fd, order.ids.uid);
  }
}

function chownIfAllowed(fd: number, uid: number): void {
  try {
    fchownSync(fd, uid, -1);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (code !== "EPERM" && code !== "EINVAL") throw error;
  }
}
