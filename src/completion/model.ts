/** What can be completed, taken from a commander program. */
import type { Argument, Command, Option } from "commander";

/**
 * What a word can be.
 * - `choice`: one of `choices`
 * - `container`: a name or an ID, which are asked for when they are needed
 * - `file`, `directory`: a path
 * - `command`: a program; where it is variadic, its arguments follow
 * - `none`: nobody knows
 */
export type WordKind = "choice" | "container" | "file" | "directory" | "command" | "none";

/** A value of an option, or an argument. */
export interface Word {
  readonly kind: WordKind;
  /** As the help calls it, without brackets. */
  readonly name: string;
  /** Of a `choice`, and of a `file` that can be one of these as well. */
  readonly choices: readonly string[];
}

export interface CompletedOption {
  /** With dashes, such as `-d`, `--detach`. */
  readonly spellings: readonly string[];
  readonly description: string;
  /** Undefined for a flag. */
  readonly value: Word | undefined;
  /** May be given several times. */
  readonly repeatable: boolean;
}

export interface CompletedArgument extends Word {
  readonly required: boolean;
  readonly variadic: boolean;
  readonly description: string;
}

/** A command of the program, or the program itself. */
export interface CompletedCommand {
  /** Without the program's name: empty for the program itself. */
  readonly path: readonly string[];
  readonly name: string;
  readonly aliases: readonly string[];
  readonly description: string;
  readonly options: readonly CompletedOption[];
  readonly arguments: readonly CompletedArgument[];
  readonly commands: readonly CompletedCommand[];
}

/** What commander calls its own command. */
const HELP = "help";

/** Commands and options that are hidden from the help are left out. */
export function completedCommand(command: Command, path: readonly string[] = []): CompletedCommand {
  const help = command.createHelp();
  const visible = help.visibleCommands(command);
  // commander adds this one to those that have commands.
  const named = visible.filter((child) => child.name() !== HELP);
  const commands = visible.map((child) =>
    child.name() === HELP
      ? helpCommand(child, [...path, HELP], named)
      : completedCommand(child, [...path, child.name()]),
  );
  return {
    path,
    name: command.name(),
    aliases: command.aliases(),
    description: oneLine(command.summary() || command.description()),
    options: help.visibleOptions(command).map(completedOption),
    arguments: command.registeredArguments.map(completedArgument),
    commands,
  };
}

/** The command that shows the help of one of its siblings. */
function helpCommand(
  command: Command,
  path: readonly string[],
  siblings: readonly Command[],
): CompletedCommand {
  const choices = siblings.map((sibling) => sibling.name());
  const argument = { kind: "choice", name: "COMMAND", choices, description: "which" } as const;
  return {
    path,
    name: command.name(),
    aliases: [],
    description: oneLine(command.description()),
    options: [],
    arguments: [{ ...argument, required: false, variadic: false }],
    commands: [],
  };
}

/** Whether its last arguments are a command line, whose options are not its own: those come before all arguments. */
export function takesCommandLine(command: CompletedCommand): boolean {
  const last = command.arguments.at(-1);
  return last?.kind === "command" && last.variadic;
}

/**
 * How many arguments are passed over by `--` at the least: what comes after it is a command line, where nothing else
 * has to be.
 */
export function skippedByDashes(command: CompletedCommand): number {
  const before = command.arguments.slice(0, -1);
  return takesCommandLine(command) && !before.some(({ required }) => required) ? before.length : 0;
}

/** The command and all those below it. */
export function allCommands(command: CompletedCommand): CompletedCommand[] {
  return [command, ...command.commands.flatMap(allCommands)];
}

function completedOption(option: Option): CompletedOption {
  const takesValue = option.required || option.optional;
  const name = /[<[](.*?)(?:\.\.\.)?[>\]]/.exec(option.flags)?.[1] ?? "";
  return {
    spellings: [option.short, option.long].filter((spelling) => spelling !== undefined),
    description: oneLine(option.description),
    value: takesValue ? wordOf(name, option.argChoices) : undefined,
    // An option that collects has a parser of its own, which nobody can look into.
    repeatable: option.variadic || option.parseArg !== undefined,
  };
}

function completedArgument(argument: Argument): CompletedArgument {
  return {
    ...wordOf(argument.name(), argument.argChoices),
    required: argument.required,
    variadic: argument.variadic,
    description: oneLine(argument.description),
  };
}

/** Values that can be something else as well, so that commander is not told of them. */
const SUGGESTED: Readonly<Record<string, readonly string[]>> = {
  RUNTIME: ["runc", "crun", "host"],
  DRIVER: ["k8s-file", "json-file", "journald", "none"],
  POLICY: ["no", "on-failure", "always"],
  SIGNAL: ["HUP", "INT", "QUIT", "KILL", "USR1", "USR2", "TERM", "CONT", "STOP"],
};

function wordOf(name: string, choices: readonly string[] = SUGGESTED[name] ?? []): Word {
  const kind = kindOf(name);
  if (choices.length > 0) return { kind: kind === "file" ? "file" : "choice", name, choices };
  return { kind, name, choices: [] };
}

/** Names of values are chosen so that they tell what they are. */
function kindOf(name: string): WordKind {
  if (/^(CONTAINER|ID)$/i.test(name)) return "container";
  if (/^(BUNDLE|DIR|DIRECTORY)$/i.test(name)) return "directory";
  if (/^(FILE|PATH|RUNTIME)$/i.test(name)) return "file";
  return /^COMMAND$/i.test(name) ? "command" : "none";
}

function oneLine(text: string): string {
  return text.replace(/\s+/g, " ").trim();
}
