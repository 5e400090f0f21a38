/** The entry of conmonctl. */
import { runProgram } from "./program.ts";

void runProgram(process.argv).then((status) => {
  process.exitCode = status;
});
