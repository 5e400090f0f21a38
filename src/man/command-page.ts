/** The manual page of a command, from what its `--help` is made of. */
import type { Argument, Command, Option } from "commander";
import {
  type Block,
  bold,
  italic,
  item,
  type Page,
  paragraph,
  type Section,
  verbatim,
} from "./roff.ts";

/** What pages have besides what the help says. */
export interface PageExtras {
  readonly section: 1 | 8;
  /** Sections after the options. */
  readonly sections?: readonly Section[];
  /** Other pages, such as `conmon(8)`. */
  readonly seeAlso?: readonly string[];
}

/** Makes the page of a command; the name is that of all its parents and its own, with dashes. */
export function commandPage(command: Command, extras: PageExtras): Page {
  const help = command.createHelp();
  const words = wordsOf(command);
  const after = sectionsOf(helpAfterOptions(command));
  const more = extras.sections ?? [];
  const commands = help.visibleCommands(command).filter((child) => child.name() !== "help");
  return {
    name: words.join("-"),
    section: extras.section,
    summary: summaryOf(command),
    sections: [
      { title: "Synopsis", blocks: synopsis(command, words) },
      {
        title: "Description",
        blocks: [paragraph(command.description()), ...aliases(command), ...after.description],
      },
      { title: "Commands", blocks: commands.map((child) => commandItem(child)) },
      { title: "Arguments", blocks: help.visibleArguments(command).map(argumentItem) },
      { title: "Options", blocks: help.visibleOptions(command).map(optionItem) },
      // Of one title those of the page say more than the help does.
      ...after.sections.filter(({ title }) => !more.some((section) => section.title === title)),
      ...more,
      { title: "Examples", blocks: after.examples },
      { title: "See also", blocks: seeAlso(command, words, commands, extras.seeAlso ?? []) },
    ],
  };
}

/** The program's name, then that of each command down to this one. */
function wordsOf(command: Command): string[] {
  const parent = command.parent;
  return parent === null ? [command.name()] : [...wordsOf(parent), command.name()];
}

function synopsis(command: Command, words: readonly string[]): Block[] {
  const usages = command
    .usage()
    .split("\n")
    .map((usage) => usage.trim());
  const program = words.join(" ");
  const lines = usages.map((usage) =>
    usage.startsWith(`${words[0]} `) ? usage : `${program} ${usage}`,
  );
  return [verbatim(lines)];
}

function aliases(command: Command): Block[] {
  const names = command.aliases();
  return names.length === 0 ? [] : [paragraph(`Another name for it is ${names.join(", ")}.`)];
}

function commandItem(child: Command): Block {
  const name = wordsOf(child).join("-");
  return item(`${bold(`${name}(1)`)}`, sentence(child.summary() || child.description()));
}

function argumentItem(argument: Argument): Block {
  const name = argument.variadic ? `${argument.name()}...` : argument.name();
  return item(italic(name), sentence(argument.description, argument.argChoices));
}

function optionItem(option: Option): Block {
  const value = /[<[].*[>\]]/.exec(option.flags)?.[0] ?? "";
  const spellings = [option.short, option.long].flatMap((spelling) => spelling ?? []);
  const term = spellings.map(bold).join(", ");
  const inner = value.replace(/^<(.*)>$/, "$1");
  const text = sentence(option.description, option.argChoices);
  const preset = defaultOf(option);
  return item(
    value === "" ? term : `${term} ${italic(inner)}`,
    preset === undefined ? text : `${text} Default: ${preset}.`,
  );
}

function defaultOf({ defaultValue, defaultValueDescription }: Option): string | undefined {
  if (defaultValueDescription !== undefined) return defaultValueDescription;
  return typeof defaultValue === "string" || typeof defaultValue === "number"
    ? String(defaultValue)
    : undefined;
}

/** Descriptions are parts of sentences, as a rule. */
function sentence(text: string, choices: readonly string[] = []): string {
  const one = text.replace(/\s+/g, " ").trim();
  const first = /^[a-z]+\b(?![-:.=(,])/.test(one)
    ? one.charAt(0).toUpperCase() + one.slice(1)
    : one;
  const whole = first === "" || /[.!?]$/.test(first) ? first : `${first}.`;
  return choices.length === 0 ? whole : `${whole} One of ${choices.join(", ")}.`.trim();
}

/** In the form of a summary: without a capital at its beginning and a full stop at its end. */
function summaryOf(command: Command): string {
  const text = (command.summary() || command.description()).replace(/\s+/g, " ").replace(/\.$/, "");
  return text.charAt(0).toLowerCase() + text.slice(1);
}

function seeAlso(
  command: Command,
  words: readonly string[],
  commands: readonly Command[],
  others: readonly string[],
): Block[] {
  const parents = command.parent === null ? [] : [`${words.slice(0, -1).join("-")}(1)`];
  const siblings = (command.parent?.parent ? command.parent.commands : [])
    .filter((sibling) => sibling !== command && sibling.name() !== "help")
    .map((sibling) => `${wordsOf(sibling).join("-")}(1)`);
  // A page that lists its commands names them already.
  const all = [...parents, ...(commands.length > 0 ? [] : siblings), ...others];
  return all.length === 0 ? [] : [paragraph(all.join(", "))];
}

/** What has been added to the help of a command behind its options. */
function helpAfterOptions(command: Command): string {
  let shown = "";
  const { writeOut = () => undefined } = command.configureOutput();
  command.configureOutput({
    writeOut: (text) => {
      shown += text;
    },
  });
  command.outputHelp();
  command.configureOutput({ writeOut });
  const help = command.helpInformation();
  const at = shown.indexOf(help);
  return at < 0 ? "" : shown.slice(at + help.length);
}

interface AddedHelp {
  readonly description: readonly Block[];
  readonly sections: readonly Section[];
  readonly examples: readonly Block[];
}

/** Paragraphs that begin with `Exit status:` and the like are sections of their own. */
function sectionsOf(text: string): AddedHelp {
  const description: Block[] = [];
  const sections: Section[] = [];
  const examples: Block[] = [];
  for (const part of text.trim().split(/\n{2,}/)) {
    const [, title, rest = ""] =
      /^(Examples|Exit status|Signals|Environment|Files|JSON):\s*\n?([\s\S]*)$/.exec(part) ?? [];
    if (title === "Examples")
      examples.push(verbatim(rest.split("\n").map((row) => row.replace(/^ {2}/, ""))));
    else if (title !== undefined) sections.push({ title, blocks: blocksOf(rest) });
    else if (/^\s/.test(part)) description.push(verbatim(part.split("\n")));
    else if (part !== "") description.push(paragraph(unwrapped(part)));
  }
  return { description, sections, examples };
}

/** Lines such as `  NAME  what it is` are items. */
function blocksOf(text: string): Block[] {
  const lines = text.split("\n");
  const first = lines.findIndex((line) => ITEM.test(line));
  if (first < 0) return [paragraph(unwrapped(text))];
  const items = lines.slice(first).map((line) => {
    const [, name = "", what = line] = ITEM.exec(line) ?? [];
    return item(bold(name), sentence(what));
  });
  const before = unwrapped(lines.slice(0, first).join("\n"));
  return before === "" ? items : [paragraph(sentence(before)), ...items];
}

const ITEM = /^ {2}(\S+) {2,}(\S.*)$/;

function unwrapped(text: string): string {
  return text.replace(/\s*\n\s*/g, " ").trim();
}
