/**
 * Loaded into a conmond by --require: at each SIGUSR2 it writes what it holds into a directory, $TMPDIR,
 * as N.heapsnapshot and then N.json, N from 0 up. See heap-probe.ts.
 */
"use strict";
const { renameSync, writeFileSync } = require("node:fs");
const { join } = require("node:path");
const v8 = require("node:v8");

let count = 0;

process.on("SIGUSR2", () => {
  // What is being closed is closed, and what follows from that has been done, a few turns later.
  setImmediate(() => setImmediate(() => setImmediate(probe)));
});

function probe() {
  const path = join(process.env.TMPDIR, String(count++));
  // Collects garbage first.
  v8.writeHeapSnapshot(`${path}.heapsnapshot`);
  const figures = {
    resources: process.getActiveResourcesInfo(),
    heap: process.memoryUsage().heapUsed,
    resident: process.memoryUsage.rss(),
    globalHandles: v8.getHeapStatistics().used_global_handles_size,
  };
  writeFileSync(`${path}.new`, JSON.stringify(figures));
  renameSync(`${path}.new`, `${path}.json`);
}
