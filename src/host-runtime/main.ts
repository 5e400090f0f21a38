/** The entry of the runtime. */
import { writeFileSync } from "node:fs";
import { runProgram } from "./program.ts";

void main();

async function main(): Promise<void> {
  const status = await runProgram(process.argv.slice(2)).catch((error) => {
    // Not even the log can be written, or stderr: nothing is left but the status.
    writeFileSync(2, `${error.message}\n`);
    return 1;
  });
  // The event loop must not turn any more: it would reap a process that is to be the monitor's.
  const { leaveAtOnce } = await import("../sys/mod.ts");
  leaveAtOnce(status);
}
