import type { Command } from "commander";
import {
  attachTo,
  findContainer,
  resizeTerminal,
  State,
  signalContainer,
  waitForEnd,
} from "../../containers/mod.ts";
import { detachKeysOption } from "../detach-keys.ts";
import { Failure } from "../failure.ts";
import { inForeground, leave } from "../foreground.ts";

const EXAMPLES = `
Signals that conmonctl gets are handed on to the container, unless it has a terminal: there Ctrl-C is typed
like any other key.

Exit status: the container's; 0 after detaching.

Examples:
  conmonctl attach shell
  conmonctl attach --no-stdin web
  conmonctl attach --detach-keys ctrl-a,d shell`;

interface AttachFlags {
  readonly detachKeys: Uint8Array;
  readonly stdin: boolean;
}

export function registerAttach(program: Command): void {
  program
    .command("attach")
    .summary("see a container's output and type into it")
    .description("Shows what a container writes from now on, and hands it our input.")
    .argument("<CONTAINER>", "name, ID or beginning of an ID")
    .addOption(detachKeysOption())
    .option("--no-stdin", "only look")
    .addHelpText("after", EXAMPLES)
    .action(async (name: string, flags: AttachFlags) => {
      process.exitCode = await attach(name, flags);
    });
}

async function attach(text: string, flags: AttachFlags): Promise<number> {
  const state = new State();
  const container = findContainer(state, text);
  const { name, bundle, terminal } = container;
  const connection = attachTo(state, container);
  // From now on, since Podman removes the exit file soon after the end.
  const detached = new AbortController();
  const ended = waitForEnd(state, container, detached.signal);
  ended.catch(() => {}); // It is awaited below, if at all.
  const end = await inForeground({
    connection,
    stdin: flags.stdin && container.stdin,
    terminal,
    detachKeys: flags.detachKeys,
    resize: (size) => resizeTerminal(bundle, size),
    signal: (signal) => signalContainer(state, container, signal),
  });
  if (end !== "ended") detached.abort();
  if (end !== "ended") return leave(end, name, `conmonctl attach ${name}`);
  const status = await ended;
  if (status !== null && status !== undefined) return status & 0xff;
  const hint = container.owner === "podman" ? { hint: `podman inspect ${name} may know` } : {};
  throw new Failure(`${name} has ended, and nobody knows how`, hint);
}
