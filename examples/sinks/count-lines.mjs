/**
 * A log plug-in for conmond that counts: how many lines and bytes a container wrote to each stream,
 * as one JSON object in a file that is always whole.
 *
 *     conmon -l k8s-file:/var/log/web.log -l plugin:/usr/local/lib/count-lines.mjs:/var/log/web.count ...
 *
 * @module
 */
import { renameSync, writeFileSync } from "node:fs";
import { isAbsolute } from "node:path";

/**
 * @param {string} options The file that the counts go to, absolute.
 * @param {import("../../src/logging/plugin-api.ts").PluginContainer} container
 * @returns {import("../../src/logging/plugin-api.ts").PluginSink}
 */
export default function open(options, container) {
  if (!isAbsolute(options)) {
    throw new Error(
      `say where the counts go, as in plugin:...:/var/log/web.count; got "${options}"`,
    );
  }
  const counts = {
    container: container.name ?? container.id,
    stdout: { lines: 0, bytes: 0 },
    stderr: { lines: 0, bytes: 0 },
    last: "",
  };

  function save() {
    writeFileSync(`${options}.new`, `${JSON.stringify(counts)}\n`);
    renameSync(`${options}.new`, options);
  }

  save(); // A place that cannot be written is told now, while the caller still listens.

  return {
    write(records) {
      for (const { stream, time, text, partial } of records) {
        const count = counts[stream];
        count.lines += partial ? 0 : 1;
        count.bytes += Buffer.byteLength(text) + (partial ? 0 : 1);
        counts.last = time;
      }
      save();
    },
  };
}
