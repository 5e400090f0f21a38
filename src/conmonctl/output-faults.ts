/** What happens when stdout or stderr take no more. */
import { constants } from "node:os";
import { reasonOf } from "../containers/errors.ts";
import { EXIT } from "./failure.ts";

/**
 * What cannot be written ends in a message and the status 1, whatever the command itself makes of it. Whoever
 * has read enough, as `head` has, is no fault.
 */
export function watchOutputs(): void {
  process.stdout.once("error", (error) => {
    if (isReaderGone(error)) return;
    process.stderr.write(`conmonctl: cannot write to standard output: ${reasonOf(error)}\n`);
    process.on("exit", () => {
      process.exitCode = EXIT.failed;
    });
  });
  // The first listener is gone by the second error, and there is nobody who could be told of those of stderr.
  for (const stream of [process.stdout, process.stderr]) stream.on("error", () => {});
}

/** Whether an error says that nobody reads any more. */
export function isReaderGone(error: Error): boolean {
  return "code" in error && error.code === "EPIPE";
}

/** What a shell calls a program that was ended by that. */
export const READER_GONE_STATUS = 128 + constants.signals.SIGPIPE;
