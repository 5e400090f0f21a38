/** What containers can be asked to be. */
import type { TerminalSize } from "./control.ts";

/** When a container is started again after its end. */
export type RestartPolicy =
  | { readonly when: "no" }
  | {
      readonly when: "on-failure";
      /** How many times in a row; `null`: without limit. */
      readonly most: number | null;
    }
  | { readonly when: "always" };

/** Something of the host's, or memory, at a place in the container. */
export interface MountOption {
  readonly type: "bind" | "tmpfs";
  /** A path of the host; not for tmpfs. */
  readonly source?: string;
  /** Absolute path in the container. */
  readonly destination: string;
  readonly readOnly?: boolean;
  /** Of tmpfs, in bytes. */
  readonly size?: number;
}

/** How a container's process is to be; what is not given is as the bundle has it, or as the default says. */
export interface ProcessOptions {
  /** The command with its arguments. */
  readonly command?: readonly string[];
  /** `NAME=VALUE`, or `NAME` for the caller's own value; in addition to what there is. */
  readonly env?: readonly string[];
  /** Absolute path. */
  readonly workingDirectory?: string;
  /** `USER[:GROUP]`, names or numbers; names are looked up in the container's root. */
  readonly user?: string;
  /** It has a terminal. Default: false. */
  readonly terminal?: boolean;
  /** How large its terminal is at the beginning. Default: 0 rows and columns. */
  readonly size?: TerminalSize;
}

/** How a run of a container is begun. */
export interface BeginOptions {
  /** Connect to it before it begins, so that not a byte is missed. Default: false. */
  readonly attach?: boolean;
  /**
   * With `attach`: further runs of a container that is restarted wait a moment for `nextRun` to be called, so that
   * nothing of them is missed either. Default: false.
   */
  readonly follow?: boolean;
  /** How large its terminal is at the beginning. Default: 0 rows and columns. */
  readonly size?: TerminalSize;
  /** Is told before the container begins that nobody takes what is logged to journald. Default: nobody is. */
  readonly onWarning?: (text: string) => void;
  /** Gives up as long as it has not begun. */
  readonly signal?: AbortSignal;
}

/** What {@link run} starts. */
export interface RunOptions extends ProcessOptions, BeginOptions {
  /** The directory of an OCI bundle, which is not written to. Without one there has to be a command. */
  readonly bundle?: string;
  /** The root directory, if there is no bundle. Default: one made of the host's own /usr, /bin, /lib and /etc. */
  readonly rootfs?: string;
  /** Default: two words by chance. */
  readonly name?: string;
  /** A name, a path, or `host`. Default: the first of runc and crun that is installed. */
  readonly runtime?: string;
  /**
   * Attached clients can write to its standard input. What `run` starts without `attach` has it open whoever comes and
   * goes; else it ends when a client ends it, or leaves. Default: false.
   */
  readonly stdin?: boolean;
  /** In bytes. Default: no limit. */
  readonly memory?: number;
  /** As 1.5. Default: no limit. */
  readonly cpus?: number;
  readonly mounts?: readonly MountOption[];
  /** Default: as the bundle has it; without one the beginning of the ID. */
  readonly hostname?: string;
  /** Default: as the bundle has it; without one `none`, a network of its own with nothing in it. */
  readonly network?: "none" | "host";
  /** conmon's `--log-path`s. Default: one, `k8s-file`. */
  readonly logDrivers?: readonly string[];
  /**
   * `NAME=VALUE`: `path`, `max-size`, `rotate`, `tag`, `label`, and what conmon's `--log-opt` takes. A log without
   * `path` and `max-size` is rotated at 16 MiB and keeps one old file, since it is in memory; `max-size=0`: no limit.
   */
  readonly logOptions?: readonly string[];
  /** Seconds after which it is killed. Default: never. */
  readonly timeout?: number;
  /** Remove it after its end. Default: false. */
  readonly remove?: boolean;
  /** Default: no. */
  readonly restart?: RestartPolicy;
  /** The state directory. Default: `$CONMON_TS_STATE`, else that of the user or of root. */
  readonly state?: string;
  /**
   * Is told what the user should know before the container begins: that the `host` runtime isolates nothing, which
   * without it becomes the first line of the container's log; and what {@link BeginOptions} tells of.
   */
  readonly onWarning?: (text: string) => void;
  /** Gives up, and takes away what has been made, as long as the container has not been started. */
  readonly signal?: AbortSignal;
}
