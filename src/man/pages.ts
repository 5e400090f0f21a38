/** All manual pages. */
import type { Command } from "commander";
import { makeProgram } from "../conmonctl/program.ts";
import { runCommandLine } from "../conmond/command-line.ts";
import { commandPage } from "./command-page.ts";
import { conmonPage } from "./conmon-page.ts";
import { bold, italic, item, type Page, type Section } from "./roff.ts";

/** One page for each program, and one for each command of conmonctl. */
export async function manualPages(): Promise<Page[]> {
  const program = makeProgram();
  return [
    commandPage(program, {
      section: 1,
      sections: CONMONCTL,
      seeAlso: ["conmon(8)", "conmond(8)", "podman(1)", "runc(8)", "crun(1)"],
    }),
    ...commandsBelow(program).map((command) => commandPage(command, { section: 1 })),
    commandPage(await conmondProgram(), {
      section: 8,
      sections: CONMOND,
      seeAlso: ["conmonctl-daemon(1)", "conmon(8)"],
    }),
    conmonPage(),
  ];
}

/** Those that the help shows. */
function commandsBelow(command: Command): Command[] {
  const children = command
    .createHelp()
    .visibleCommands(command)
    .filter((child) => child.name() !== "help");
  return children.flatMap((child) => [child, ...commandsBelow(child)]);
}

async function conmondProgram(): Promise<Command> {
  const found: Command[] = [];
  await runCommandLine([], async (program) => {
    found.push(program);
  });
  const [program] = found;
  if (program === undefined) throw new Error("conmond's command line has no program");
  return program;
}

const CONMONCTL: readonly Section[] = [
  {
    title: "Environment",
    blocks: [
      item(
        bold("CONMON_TS_STATE"),
        "Where it is remembered which containers there are. Default: /run/conmon-ts for root, $XDG_RUNTIME_DIR/conmon-ts for others.",
      ),
      item(bold("CONMOND_SOCKET, CONMOND"), "Which conmond is used, see conmon(8)."),
      item(bold("NO_COLOR"), "No colours, even on a terminal."),
      item(bold("CONMONCTL_DEBUG"), "Show where in the program an error comes from."),
    ],
  },
  {
    title: "Files",
    blocks: [
      item(italic("/run/conmon-ts"), "The state."),
      item(
        italic("/etc/containers/containers.conf.d/50-conmon-ts.conf"),
        "Written by conmonctl-setup-podman(1).",
      ),
      item(
        italic("/etc/crio/crio.conf.d/50-conmon-ts.conf"),
        "Written by conmonctl-setup-crio(1).",
      ),
    ],
  },
];

const CONMOND: readonly Section[] = [
  {
    title: "Files",
    blocks: [item(italic("/run/conmond/conmond.sock"), "Where root's conmond listens.")],
  },
];
