/** conmon(8), from the table of its options. */
import { LOG_DRIVER_SPELLINGS } from "../logging/log-drivers.ts";
import { OPTION_TABLE, type OptionEntry } from "../session/option-table.ts";
import { type Block, bold, italic, item, type Page, paragraph, verbatim } from "./roff.ts";

export function conmonPage(): Page {
  const options = OPTION_TABLE.filter(({ hidden }) => hidden !== true);
  return {
    name: "conmon",
    section: 8,
    summary: "monitor of one container",
    sections: [
      {
        title: "Synopsis",
        blocks: [
          verbatim(["conmon --cid ID --cuuid ID --runtime PATH --log-path DRIVER [OPTION...]"]),
        ],
      },
      { title: "Description", blocks: DESCRIPTION.map(paragraph) },
      { title: "Options", blocks: [paragraph(OPTIONS), ...options.map(optionItem)] },
      {
        title: "Log drivers",
        blocks: LOG_DRIVER_SPELLINGS.map(({ spelling, description }) =>
          item(bold(spelling), description),
        ),
      },
      { title: "Environment", blocks: ENVIRONMENT.map(([name, text]) => item(bold(name), text)) },
      { title: "Files", blocks: FILES.map(([name, text]) => item(italic(name), text)) },
      { title: "Exit status", blocks: [paragraph(EXIT_STATUS)] },
      {
        title: "See also",
        blocks: [paragraph("conmonctl(1), conmond(8), podman(1), runc(8), crun(1)")],
      },
    ],
  };
}

function optionItem({ short, long, kind, metavar, description }: OptionEntry): Block {
  const names = [...(short === undefined ? [] : [bold(`-${short}`)]), bold(`--${long}`)].join(", ");
  const value =
    metavar === undefined ? "" : ` ${italic(kind === "optional-int" ? `[${metavar}]` : metavar)}`;
  const repeatable = kind === "list" ? " May be given several times." : "";
  return item(`${names}${value}`, `${description}${repeatable}`);
}

const DESCRIPTION = [
  "Keeps one container: starts it through an OCI runtime, logs its output, serves attached clients and reports its end. Podman and CRI-O are its usual callers; people use conmonctl(1).",
  "What it is told by options is what conmon 2.2.1 understands, and --log-opt. It leaves as soon as the container has been made, and lives on in the background, unless --sync is given.",
  "Options, logs and clients are left to conmond(8): to one that is shared, where it is there for this user, else to a private one. Either may end at any time: the container runs on, and the next conmond goes on where that one was.",
];

const OPTIONS =
  "A long option's value may also follow after =, and short ones without a value can be put together.";

const ENVIRONMENT = [
  [
    "CONMOND_SOCKET",
    "The socket of the shared conmond; empty: a private one, always. Default: $XDG_RUNTIME_DIR/conmond/conmond.sock, and as root /run/conmond/conmond.sock.",
  ],
  ["CONMOND", "With auto a shared conmond is started where none is."],
  ["CONMON_LOG_OPTS", "Further values of --log-opt, separated by commas."],
  ["TMPDIR", "Where the socket for the container's terminal is made. Default: /tmp."],
  [
    "_OCI_SYNCPIPE, _OCI_STARTPIPE, _OCI_ATTACHPIPE",
    "Numbers of descriptors by which the caller and conmon talk.",
  ],
] as const;

const FILES = [
  ["BUNDLE/attach", "Where clients attach (SOCK_SEQPACKET)."],
  [
    "BUNDLE/ctl, BUNDLE/winsz",
    "Fifos for the size of the terminal, and for opening the logs anew.",
  ],
  ["BUNDLE/oom, PERSIST_DIR/oom", "Are there when the container has run out of memory."],
  ["PERSIST_DIR/exit, EXIT_DIR/ID", "The exit status, decimal."],
] as const;

const EXIT_STATUS =
  "0 when the container has been made, 1 when it has not; the reason is on stderr. With --sync the container's own status, or 128 and the number of the signal that ended it.";
