/** From what the shim says of its caller to the session's options. */
import { accessSync, constants } from "node:fs";
import { realPath } from "../files/real-path.ts";
import type { Context } from "../shim/context.ts";
import { type CheckedOptions, checkOptions } from "./checks.ts";
import { ConmonError } from "./errors.ts";
import { type Build, helpText, versionText } from "./help.ts";
import { parseOptions } from "./options.ts";

/** Options to act on, or a text for the caller's stdout, which asked for nothing else. */
export type CommandLine = { options: CheckedOptions } | { answer: string };

/**
 * Reads and checks the caller's arguments.
 *
 * @param running the container is there already: what is on disk does not matter then. An upgrade may be
 *   replacing the runtime just now, and a log's directory may be gone.
 * @throws ConmonError with the first thing that is wrong
 */
export function readCommandLine(context: Context, build: Build, running: boolean): CommandLine {
  if (context.undecodable !== undefined) {
    throw new ConmonError(
      `option parsing failed: argument ${context.undecodable} is not valid UTF-8`,
      { prefix: "conmon: " },
    );
  }
  const given = parseOptions(context.arguments);
  if (given.help) return { answer: helpText() };
  if (given.version) return { answer: versionText(build) };
  const options = checkOptions(given, {
    workingDirectory: context.workingDirectory,
    variables: context.environment,
    isExecutable: (path) => running || isExecutable(path),
    realPath,
    running,
  });
  return { options };
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK);
    return true;
  } catch {
    return false;
  }
}
