/** The command line of a shared conmond. */
import { Command, Option } from "commander";
import { LEVELS, type Level } from "../session/own-messages.ts";
import { build } from "./build.ts";
import { openLog } from "./log.ts";
import { defaultSocketPath, serveShared } from "./shared.ts";

/**
 * Runs conmond as its arguments say; they begin with the interpreter and the script.
 *
 * @param use what is done with the program, for those who only describe it
 */
export async function runCommandLine(
  argv: readonly string[],
  use: (program: Command) => Promise<unknown> = (program) => program.parseAsync(argv),
): Promise<void> {
  const program = new Command("conmond")
    .description("Supervises the containers of all conmon processes that connect to its socket.")
    .version(build.version)
    .option(
      "--socket <path>",
      "where to listen (default: $CONMOND_SOCKET, $XDG_RUNTIME_DIR/conmond/conmond.sock, or as root /run/conmond/conmond.sock)",
    )
    .addOption(
      new Option("--log-level <level>", "what is logged on stderr, as JSON lines")
        .choices([...LEVELS])
        .default("info"),
    )
    .action(async ({ socket, logLevel }: { socket?: string; logLevel: Level }) => {
      const path = socket ?? (process.env.CONMOND_SOCKET || defaultSocketPath(process.env));
      serveShared(path, await openLog(logLevel));
    });
  try {
    await use(program);
  } catch (error) {
    process.stderr.write(`conmond: ${(error as Error).message}\n`);
    process.exitCode = 1;
  }
}
