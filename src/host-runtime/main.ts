/** The entry of the runtime. */
import { runProgram } from "./program.ts";

void runProgram(process.argv.slice(2)).then(async (status) => {
  // The event loop must not turn any more: it would reap a process that is to be the monitor's.
  const { leaveAtOnce } = await import("../sys/mod.ts");
  leaveAtOnce(status);
});
