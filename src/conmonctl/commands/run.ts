import type { Command } from "commander";
import { type RunOptions, run } from "../../containers/mod.ts";
import {
  addContainerArguments,
  addContainerOptions,
  CONTAINER_HELP,
  type ContainerFlags,
  containerOptions,
} from "../container-options.ts";
import { detachKeysOption } from "../detach-keys.ts";
import { EXIT, warn } from "../failure.ts";
import { printJson } from "../output.ts";
import { interruptible, stayAttached } from "../stay-attached.ts";

interface RunFlags extends ContainerFlags {
  readonly detach?: true;
  readonly detachKeys: Uint8Array;
  readonly json?: true;
}

const EXAMPLES = `${CONTAINER_HELP}

Exit status: the container's; 125 if it cannot be started, 126 if its command cannot be executed, 127 if
there is no such command. With --detach 0 once it runs.

Examples:
  conmonctl run -- echo hello
  conmonctl run -it -- bash
  conmonctl run -d --name web --restart on-failure:5 --memory 256m /srv/bundles/web
  conmonctl run --rm --mount /data:/data:ro -e MODE=test --workdir /data -- ls -l`;

export function registerRun(program: Command): void {
  const command = program
    .command("run")
    .summary("start a container from a bundle, or a command")
    .description("Starts a container: from an OCI bundle, which is not written to, or a command.");
  addContainerArguments(command).option("-d, --detach", "do not wait for its end; print its ID");
  addContainerOptions(command)
    .addOption(detachKeysOption())
    .option("--json", "with --detach: print ID, name and pid")
    .addHelpText("after", EXAMPLES)
    .action(async (_bundle: string | undefined, _command: string[], flags: RunFlags) => {
      process.exitCode = await runContainer(containerOptions(command, flags), flags);
    });
}

async function runContainer(options: RunOptions, flags: RunFlags): Promise<number> {
  const detached = flags.detach === true;
  const attach = !detached;
  const container = await interruptible((signal) =>
    run({ ...options, signal, attach, follow: attach, onWarning: warn }),
  );
  if (!detached) return await stayAttached(container, flags);
  const { id, name, pid } = container;
  if (flags.json) printJson({ id, name, pid });
  else process.stdout.write(`${id}\n`);
  return EXIT.ok;
}
