/** How results look: tables for people, JSON for programs. */
import { type Colour, type Paint, paintFor } from "./paint.ts";

/** Prints one JSON document, indented for those who look at it. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, null, 2)}\n`);
}

/** Prints one JSON object as a line of its own. */
export function printJsonLine(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value)}\n`);
}

/** A column of a table. */
export interface Column<T> {
  readonly title: string;
  readonly value: (row: T) => string;
  readonly colour?: (row: T) => Colour | undefined;
  /** Numbers are read from their ends. */
  readonly right?: boolean;
}

/** A table with its titles, a line each; a last newline is not part of it. */
export function formatTable<T>(
  columns: readonly Column<T>[],
  rows: readonly T[],
  paint: Paint = paintFor(process.stdout),
): string {
  const cells = rows.map((row) => columns.map(({ value }) => printable(value(row))));
  const widths = columns.map(({ title }, index) =>
    Math.max(title.length, ...cells.map((line) => line[index]?.length ?? 0)),
  );
  const pad = (text: string, index: number): string => {
    const width = widths[index] ?? 0;
    if (columns[index]?.right) return text.padStart(width);
    return index === columns.length - 1 ? text : text.padEnd(width);
  };
  const head = columns.map(({ title }, index) => pad(title, index)).join("  ");
  const body = rows.map((row, line) =>
    columns
      .map(({ colour }, index) => {
        const text = pad(cells[line]?.[index] ?? "", index);
        const name = colour?.(row);
        return name === undefined ? text : paint[name](text);
      })
      .join("  "),
  );
  return [paint.bold(head), ...body].join("\n");
}

/** How many characters a line of the terminal has; undefined where stdout is none. */
function terminalWidth(): number | undefined {
  const { isTTY, columns } = process.stdout;
  return isTTY && columns > 0 ? columns : undefined;
}

/** The lines of a table, none of them longer than the terminal is wide; colours take no room. */
export function cutLines(table: string, width: number | undefined = terminalWidth()): string {
  if (width === undefined) return table;
  return table
    .split("\n")
    .map((line) => cutLine(line, width))
    .join("\n");
}

function cutLine(line: string, width: number): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: that is how colours begin
  const parts = line.match(/\x1b\[\d+m|./gsu) ?? [];
  const isColour = (part: string): boolean => part.length > 2 && part.startsWith("\x1b");
  if (parts.filter((part) => !isColour(part)).length <= width) return line;
  let room = width - 1;
  const kept = parts.filter((part) => isColour(part) || room-- > 0);
  // At the end, where a last colour has to be taken back.
  const last = kept.at(-1) ?? "";
  return isColour(last) ? `${kept.slice(0, -1).join("")}…${last}` : `${kept.join("")}…`;
}

/** Names and commands come from elsewhere: they must not steer the terminal. */
export function printable(text: string): string {
  // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
  return text.replace(/[\x00-\x1f\x7f-\x9f]/g, (character) => {
    return `\\x${character.charCodeAt(0).toString(16).padStart(2, "0")}`;
  });
}

/** Bytes for people: `1.5 MiB`. */
export function formatBytes(bytes: number): string {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let [value, unit] = [bytes, 0];
  for (; value >= 1024 && unit < units.length - 1; unit++) value /= 1024;
  return `${unit === 0 || value >= 100 ? Math.round(value) : value.toFixed(1)} ${units[unit]}`;
}

/** A time that has passed, for people: `3 minutes`. */
export function formatAge(milliseconds: number): string {
  const seconds = Math.max(0, Math.floor(milliseconds / 1000));
  const steps: readonly (readonly [number, string])[] = [
    [86_400, "day"],
    [3600, "hour"],
    [60, "minute"],
    [1, "second"],
  ];
  const [size, name] = steps.find(([length]) => seconds >= length) ?? [1, "second"];
  const count = Math.floor(seconds / size);
  return `${count} ${name}${count === 1 ? "" : "s"}`;
}

/** Says on a terminal's stderr what is being done, once it takes longer than a moment. */
export class Progress {
  readonly #began = Date.now();
  readonly #timer: NodeJS.Timeout | undefined;
  #text: string;
  #shown = false;

  constructor(text: string) {
    this.#text = text;
    if (process.stderr.isTTY) this.#timer = setInterval(() => this.#show(), 500);
    this.#timer?.unref();
  }

  /** Something else is being done now. */
  update(text: string): void {
    this.#text = text;
    if (this.#shown) this.#show();
  }

  /** Takes the line away. */
  end(): void {
    clearInterval(this.#timer);
    if (this.#shown) process.stderr.write("\r\x1b[K");
  }

  #show(): void {
    this.#shown = true;
    const seconds = Math.floor((Date.now() - this.#began) / 1000);
    process.stderr.write(`\r\x1b[K${printable(this.#text)} ... ${seconds} s`);
  }
}

/** Does work under a {@link Progress}. */
export async function withProgress<T>(text: string, work: Promise<T>): Promise<T> {
  const progress = new Progress(text);
  try {
    return await work;
  } finally {
    progress.end();
  }
}
