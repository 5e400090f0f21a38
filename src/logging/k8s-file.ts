import { sharedCriFramer } from "./cri-framing.ts";
import { type RecordFileOptions, RecordFileSink } from "./record-file.ts";

/** How a {@link K8sFileSink} is to log. */
export type K8sFileOptions = RecordFileOptions;

/**
 * Logs to a file in the format of the Kubernetes CRI (see `CriFramer`), with limits and rotation as
 * `conmon` has them, and more.
 *
 * @example
 * ```ts
 * const sink = new K8sFileSink({ path: "/var/log/pods/web/0.log", maxSize: 10_000_000 });
 * sink.write("stdout", Buffer.from("ready\n"), { seconds: 1_700_000_000, nanoseconds: 0 });
 * await sink.sync();
 * sink.close();
 * ```
 */
export class K8sFileSink extends RecordFileSink {
  /** Opens the file, and throws as its base class does. */
  constructor(options: K8sFileOptions) {
    super("k8s-file", sharedCriFramer(), options);
  }
}
