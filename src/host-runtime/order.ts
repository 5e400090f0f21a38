/** The order that native/host-init carries out, and the answers it gives. Both sides have the same layout. */
import type { LimitNumbers } from "./limits.ts";

const FLAGS = {
  gated: 1,
  terminal: 2,
  user: 4,
  groups: 8,
  listenPid: 16,
  oomScore: 32,
  noNewPrivileges: 64,
} as const;

const HEADER_SIZE = 40;
const LIMIT_SIZE = 24;
const GROUP_SIZE = 4;

/** How a process is to be set up, in terms of the kernel. */
export interface Order {
  /** Wait for `start` before executing anything. */
  readonly gated: boolean;
  /** Stdin is a terminal, and becomes the controlling one. */
  readonly terminal: boolean;
  /** IDs of the host; undefined: as they are. */
  readonly ids: { readonly uid: number; readonly gid: number } | undefined;
  /** Additional groups of the host; undefined: as they are. */
  readonly groups: readonly number[] | undefined;
  readonly umask: number;
  readonly limits: readonly LimitNumbers[];
  readonly oomScoreAdj: number | undefined;
  readonly noNewPrivileges: boolean;
  /** Put the process's own pid into the LISTEN_PID of its environment. */
  readonly listenPid: boolean;
  readonly cwd: string;
  readonly args: readonly string[];
  readonly env: readonly string[];
}

/** The order as bytes, in the machine's byte order, which is the little-endian one on all that Node.js is built for but s390x. */
export function encodeOrder(order: Order, littleEndian: boolean): Uint8Array {
  const { limits, groups = [], args, env } = order;
  const strings = Buffer.from(`${[order.cwd, ...args, ...env].join("\0")}\0`);
  const groupsAt = HEADER_SIZE + limits.length * LIMIT_SIZE;
  const stringsAt = groupsAt + groups.length * GROUP_SIZE;
  const bytes = new Uint8Array(stringsAt + strings.length);
  const view = new DataView(bytes.buffer);
  const header = [
    flagsOf(order),
    order.umask,
    order.ids?.uid ?? 0,
    order.ids?.gid ?? 0,
    // As an unsigned number it has the same bits.
    (order.oomScoreAdj ?? 0) >>> 0,
    limits.length,
    groups.length,
    args.length,
    env.length,
  ];
  header.forEach((value, i) => {
    view.setUint32(4 * i, value, littleEndian);
  });
  limits.forEach(({ resource, soft, hard }, i) => {
    [BigInt(resource), soft, hard].forEach((value, j) => {
      view.setBigUint64(HEADER_SIZE + LIMIT_SIZE * i + 8 * j, value, littleEndian);
    });
  });
  groups.forEach((group, i) => {
    view.setUint32(groupsAt + GROUP_SIZE * i, group, littleEndian);
  });
  bytes.set(strings, stringsAt);
  return bytes;
}

function flagsOf(order: Order): number {
  return (
    (order.gated ? FLAGS.gated : 0) |
    (order.terminal ? FLAGS.terminal : 0) |
    (order.ids === undefined ? 0 : FLAGS.user) |
    (order.groups === undefined ? 0 : FLAGS.groups) |
    (order.listenPid ? FLAGS.listenPid : 0) |
    (order.oomScoreAdj === undefined ? 0 : FLAGS.oomScore) |
    (order.noNewPrivileges ? FLAGS.noNewPrivileges : 0)
  );
}

/** A packet from host-init. */
export interface Answer {
  /** `"ready"`, or what it failed at. */
  readonly step: string;
  /** As in errno(3); 0 for what is no failure. */
  readonly errno: number;
  /** The error's text, such as "permission denied". */
  readonly reason: string;
  /** What it was tried on; may be empty. */
  readonly on: string;
}

export function decodeAnswer(packet: Uint8Array): Answer {
  const [step = "", errno = "", reason = "", on = ""] = Buffer.from(packet)
    .toString("utf8")
    .split("\0");
  // Error texts are in the middle of our sentences.
  const text = reason.charAt(0).toLowerCase() + reason.slice(1);
  return { step, errno: Number(errno), reason: text, on };
}

const ENOENT = 2;

/** The failure in words: those of runc where it has some, since Podman tells 126 and 127 by them. */
export function describeFailure({ step, errno, reason, on }: Answer): string {
  switch (step) {
    case "find":
      if (!on.includes("/")) return `exec: "${on}": executable file not found in $PATH`;
      return errno === ENOENT ? `exec: "${on}": stat ${on}: ${reason}` : `exec: "${on}": ${reason}`;
    case "exec":
      return `exec ${on}: ${reason}`;
    case "chdir":
      return `chdir to cwd ("${on}") set in config.json failed: ${reason}`;
    case "setrlimit":
      return `error setting rlimit type ${on}: ${reason}`;
    default:
      return `${step}: ${reason}`;
  }
}
