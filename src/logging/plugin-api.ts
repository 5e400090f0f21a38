/**
 * The interface of a log plug-in: a module whose default export is an {@link OpenPlugin}. See
 * docs/sinks.md.
 *
 * @module
 */

/** The container whose output a plug-in gets. */
export interface PluginContainer {
  /** As `--cid` has it. */
  readonly id: string;
  /** As `--name` has it, if it was given. */
  readonly name: string | undefined;
  /** As `--log-tag` has it, if it was given. */
  readonly tag: string | undefined;
  /** As `--log-label` has them: `LABEL=VALUE`. */
  readonly labels: Readonly<Record<string, string>>;
}

/** A line of the container's output, or a piece of one. */
export interface PluginRecord {
  readonly stream: "stdout" | "stderr";
  /** When its first byte was read, in UTC: `2006-01-02T15:04:05.000000000Z`. `Date` understands it. */
  readonly time: string;
  /** Without the newline. Bytes that are no UTF-8 have become U+FFFD. */
  readonly text: string;
  /**
   * No newline followed: the line is longer than 16384 bytes and goes on in the stream's next record, or
   * the stream ended in mid-line, or what came next was lost because the plug-in was too slow.
   */
  readonly partial: boolean;
}

/** What a plug-in makes of one container's output. No two of its methods run at the same time. */
export interface PluginSink {
  /**
   * Takes records, at least one, in the order in which they were read. When it returns, or its promise
   * is fulfilled, they are taken for logged, and the next ones come. Whatever it throws ends it.
   */
  write(records: readonly PluginRecord[]): void | Promise<void>;
  /** The container has ended and everything was written. The last that is called. */
  close?(): void | Promise<void>;
}

/**
 * Opens a plug-in's sink for one container.
 *
 * @param options What stands behind the module's path in `plugin:/PATH:OPTIONS`; `""` if nothing does.
 * @throws whatever says why it cannot; then the container is not started
 */
export type OpenPlugin = (
  options: string,
  container: PluginContainer,
) => PluginSink | Promise<PluginSink>;
