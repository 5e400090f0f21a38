/** Manual pages as text for man(1), in the language of man(7). */

/** A page, before it is text. */
export interface Page {
  /** Such as `conmonctl-run`. */
  readonly name: string;
  readonly section: 1 | 8;
  /** What comes after the dash in NAME. */
  readonly summary: string;
  readonly sections: readonly Section[];
}

export interface Section {
  readonly title: string;
  readonly blocks: readonly Block[];
}

/** Part of a section. */
export type Block =
  | { readonly kind: "paragraph"; readonly text: string }
  /** Lines that stay as they are. */
  | { readonly kind: "verbatim"; readonly lines: readonly string[] }
  /** A term, in markup, and what it means. */
  | { readonly kind: "item"; readonly term: string; readonly text: string };

export const paragraph = (text: string): Block => ({ kind: "paragraph", text });
export const verbatim = (lines: readonly string[]): Block => ({ kind: "verbatim", lines });
export const item = (term: string, text: string): Block => ({ kind: "item", term, text });

/** Who says so, at the foot of the page. */
export interface Imprint {
  readonly version: string;
  /** Such as `2026-01-31`. */
  readonly date: string;
}

/** The page's whole text. Sections without content are left out. */
export function formatPage(page: Page, { version, date }: Imprint): string {
  const { name, section, summary } = page;
  const sections = page.sections.filter(({ blocks }) => blocks.length > 0);
  return [
    `.TH ${quoted(name.toUpperCase())} ${section} "${date}" ${quoted(`conmon-ts ${version}`)}`,
    // Neither hyphenated nor stretched: most of it is to be typed.
    ".nh",
    ".ad l",
    ".SH NAME",
    `${escapeRoff(name)} \\- ${escapeRoff(summary)}`,
    ...sections.flatMap(({ title, blocks }) => [
      `.SH ${quoted(title.toUpperCase())}`,
      ...formatBlocks(blocks),
    ]),
    "",
  ].join("\n");
}

function formatBlocks(blocks: readonly Block[]): string[] {
  return blocks.flatMap((block, index) => formatBlock(block, index === 0));
}

/** The first one of a section needs no break before it. */
function formatBlock(block: Block, isFirst: boolean): string[] {
  const pause = isFirst ? [] : [".PP"];
  if (block.kind === "paragraph") return [...pause, line(block.text)];
  if (block.kind === "item") return [".TP", block.term, ...(block.text ? [line(block.text)] : [])];
  return [...pause, ".RS 4", ".nf", ...block.lines.map(line), ".fi", ".RE"];
}

/** In bold: what is typed as it is. */
export function bold(text: string): string {
  return `\\fB${escapeRoff(text)}\\fR`;
}

/** In italics: what stands for something. */
export function italic(text: string): string {
  return `\\fI${escapeRoff(text)}\\fR`;
}

/** A text with none of its characters having a meaning. Dashes stay what is typed for an option. */
function escapeRoff(text: string): string {
  return text.replace(/[\\\-'`^~]/g, (character) => ESCAPES[character] ?? character);
}

const ESCAPES: Readonly<Record<string, string>> = {
  "\\": "\\e",
  "-": "\\-",
  "'": "\\(aq",
  "`": "\\(ga",
  "^": "\\(ha",
  "~": "\\(ti",
};

/** A line of text, which must not be taken for a request. */
function line(text: string): string {
  const escaped = escapeRoff(text);
  return /^[.']/.test(escaped) ? `\\&${escaped}` : escaped;
}

/** An argument of a request. */
function quoted(text: string): string {
  return `"${escapeRoff(text).replaceAll('"', "\\(dq")}"`;
}
