import type { Command } from "commander";
import { type Container, findContainer, State, start } from "../../containers/mod.ts";
import { detachKeysOption } from "../detach-keys.ts";
import { EXIT, Failure, warn } from "../failure.ts";
import { windowSize } from "../foreground.ts";
import { forEach } from "../several.ts";
import { interruptible, stayAttached } from "../stay-attached.ts";

const EXAMPLES = `
A container is started as it was at first: with its options, its name, its ID, and its log, which goes on.

Exit status: with --attach the container's; 125 if it cannot be started, 126 if its command cannot be executed,
127 if there is no such command.

Examples:
  conmonctl start web
  conmonctl start --attach job`;

interface StartFlags {
  readonly attach?: true;
  readonly stdin: boolean;
  readonly detachKeys: Uint8Array;
  readonly json?: true;
}

export function registerStart(program: Command): void {
  program
    .command("start")
    .summary("start containers again that have ended")
    .description("Starts containers again that have ended, and those that were made only.")
    .argument("<CONTAINER...>", "names, IDs or beginnings of IDs")
    .option("-a, --attach", "stay until its end, as run does; one container only")
    .option("--no-stdin", "with --attach: only look")
    .addOption(detachKeysOption())
    .option("--json", "print name and ID of each as JSON")
    .addHelpText("after", EXAMPLES)
    .action(async (names: string[], flags: StartFlags) => {
      if (flags.attach) process.exitCode = await startAttached(names, flags);
      else await startAll(names, flags);
    });
}

async function startAll(names: readonly string[], flags: StartFlags): Promise<void> {
  const state = new State();
  await forEach(names, flags, "starting", async (text) => {
    const { id, name } = await start(state, findContainer(state, text), {
      onWarning: warn,
    });
    return { id, name };
  });
}

async function startAttached(names: readonly string[], flags: StartFlags): Promise<number> {
  const [text = "", another] = names;
  if (another !== undefined) {
    throw new Failure("start: --attach is for one container", { status: EXIT.usage });
  }
  const state = new State();
  const container = findContainer(state, text);
  const size = container.terminal ? windowSize() : undefined;
  const options = {
    attach: true,
    follow: true,
    onWarning: warn,
    ...(size === undefined ? {} : { size }),
  };
  const started = await interruptible((signal) => start(state, container, { ...options, signal }));
  return await stayAttached(started, shownAs(container, flags));
}

/** It is as it was at first: with input or without, with a terminal or without. */
function shownAs(
  { stdin, terminal }: Container,
  { stdin: wanted, detachKeys }: StartFlags,
): Parameters<typeof stayAttached>[1] {
  return {
    detachKeys,
    ...(stdin && wanted ? { interactive: true } : {}),
    ...(terminal ? { tty: true } : {}),
  };
}
