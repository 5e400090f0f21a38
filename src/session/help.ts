/** What `--help` and `--version` print. */
import { LOG_DRIVER_SPELLINGS } from "../logging/log-drivers.ts";
import type { OptionEntry } from "./option-table.ts";
import { OPTION_TABLE } from "./option-table.ts";

/**
 * The conmon that we stand in for. Podman and CRI-O judge by the third word of the version text what
 * a monitor can do.
 */
const CONMON_VERSION = "2.2.1";

/** Which build is speaking. */
export interface Build {
  /** The version of conmon-ts, such as `0.1.0`. */
  readonly version: string;
  /** The commit that it was built from, or another word where that is not known. */
  readonly commit: string;
}

/** The text of `--version`: three lines, the first two in conmon's own form. */
export function versionText({ version, commit }: Build): string {
  return `conmon version ${CONMON_VERSION}\ncommit: ${commit}\nconmon-ts ${version}\n`;
}

/** The width of a line of `--help`, in characters. */
const WIDTH = 80;
/** Where the descriptions begin. */
const INDENT = 32;

/** The text of `--help`: every option that is not hidden, and the log drivers. */
export function helpText(): string {
  const options = OPTION_TABLE.filter(({ hidden }) => hidden !== true);
  return [
    "Usage: conmon --cid ID --cuuid ID --runtime PATH --log-path DRIVER [OPTION...]",
    "",
    "Keeps one container: starts it through an OCI runtime, logs its output, serves",
    "attached clients and reports its end. Podman and CRI-O are its usual callers.",
    "",
    "Options (those marked with * can be given several times):",
    ...options.map((entry) => row(spellings(entry), entry.description)),
    "",
    "Log drivers (several can be given):",
    ...LOG_DRIVER_SPELLINGS.map(({ spelling, description }) => row(spelling, description)),
    "",
  ].join("\n");
}

function spellings({ short, long, kind, metavar }: OptionEntry): string {
  const letter = short === undefined ? "   " : `-${short},`;
  const value =
    kind === "optional-int" ? ` [${metavar}]` : metavar === undefined ? "" : ` ${metavar}`;
  return `${letter} --${long}${value}${kind === "list" ? " *" : ""}`;
}

function row(left: string, description: string): string {
  const lines = wrap(description, WIDTH - INDENT).map((line) => " ".repeat(INDENT) + line);
  const head = `  ${left}`;
  if (head.length + 2 > INDENT) return [head, ...lines].join("\n");
  return head + lines.join("\n").slice(head.length);
}

function wrap(text: string, width: number): string[] {
  const lines: string[] = [];
  let line = "";
  for (const word of text.split(" ")) {
    if (line !== "" && line.length + 1 + word.length > width) {
      lines.push(line);
      line = "";
    }
    line += line === "" ? word : ` ${word}`;
  }
  return [...lines, line];
}
