/** The command line of a shared conmond. */
import { resolve } from "node:path";
import { Command, InvalidArgumentError, Option } from "commander";
import { LEVELS, type Level } from "../session/own-messages.ts";
import { build } from "./build.ts";
import { Door } from "./door.ts";
import { succeed } from "./hand-over/successor.ts";
import { leaveAtOnce } from "./leave.ts";
import { type Log, openLog } from "./log.ts";
import { activatedSocket } from "./service-manager.ts";
import { defaultSocketPath, SharedConmond } from "./shared.ts";

/** What can be given. */
interface Options {
  readonly socket?: string;
  readonly replace?: true;
  readonly idleExit?: number;
  readonly maxSessions?: number;
  readonly logLevel: Level;
}

const MORE_HELP = `
Started by systemd with a socket (LISTEN_FDS, one with ListenSequentialPacket=) it accepts on that one, leaves
it open at its end, and tells $NOTIFY_SOCKET when it is ready; see contrib/systemd.

Signals: SIGTERM and SIGINT end it as soon as what is in flight has been logged, after 3 s at the latest; a
second one ends it at once. Its sessions go on with the conmond that their conmon finds next.

Exit status: 0 it was told to end, replaced or idle; 1 it could not start; 70 an error of its own.`;

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
      "where to listen, in a directory that only this user can enter (default: $CONMOND_SOCKET, $XDG_RUNTIME_DIR/conmond/conmond.sock, or as root /run/conmond/conmond.sock)",
    )
    .option(
      "--replace",
      "take the place of the conmond that listens there, if there is one: it hands socket and sessions over and ends; one that does not answer within 5 s is killed",
    )
    .option(
      "--idle-exit <seconds>",
      "end when there was no session for so long (default: never)",
      (text) => wholeNumber(text, 1, 2_000_000),
    )
    .option(
      "--max-sessions <number>",
      "refuse more, whose conmon then starts a private conmond (default: as many as there are descriptors for)",
      (text) => wholeNumber(text, 1, 1_000_000),
    )
    .addOption(
      new Option("--log-level <level>", "what is logged on stderr, as JSON lines")
        .choices([...LEVELS])
        .default("info"),
    )
    .addHelpText("after", MORE_HELP)
    .action(start);
  try {
    await use(program);
  } catch (error) {
    process.stderr.write(`conmond: ${(error as Error).message}\n`);
    // At once: a predecessor that has offered its place goes on when it sees that we are gone.
    leaveAtOnce(1);
  }
}

async function start(options: Options): Promise<void> {
  const { idleExit: idleExitSeconds, maxSessions } = options;
  const log = await openLog(options.logLevel);
  const settings = { log, idleExitSeconds, maxSessions };
  const activated = activatedSocket(process.env);
  if (activated !== undefined) {
    checkActivation(options, activated.path);
    new SharedConmond(Door.ofServiceManager(activated.fd, activated.path), settings);
    return;
  }
  const path = resolve(
    options.socket ?? (process.env.CONMOND_SOCKET || defaultSocketPath(process.env)),
  );
  const { door, confirm } = await findPlace(path, options, log);
  new SharedConmond(door, settings);
  confirm();
}

async function findPlace(path: string, { replace }: Options, log: Log) {
  if (replace) return await succeed(path, log);
  return { door: await Door.open(path), confirm: () => undefined };
}

function checkActivation({ socket, replace }: Options, path: string): void {
  if (replace)
    throw new Error("--replace is not for a conmond that systemd starts: restart the service");
  if (socket !== undefined && resolve(socket) !== path) {
    throw new Error(`--socket is ${socket}, but systemd listens on ${path}: leave --socket out`);
  }
}

function wholeNumber(text: string, least: number, most: number): number {
  const number = Number(text);
  if (/^\d+$/.test(text) && number >= least && number <= most) return number;
  throw new InvalidArgumentError(`It has to be a whole number from ${least} to ${most}.`);
}
