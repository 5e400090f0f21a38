/** As much of TOML as drop-in files need: tables of strings and lists of strings. */

/** A table such as `[crio.runtime]`; `comments` are lines that stand before it. */
export interface TomlTable {
  readonly path: readonly string[];
  readonly comments?: readonly string[];
  readonly values: Readonly<Record<string, string | readonly string[] | undefined>>;
}

/** The text of a file with these tables. What is undefined is left out. */
export function formatToml(tables: readonly TomlTable[]): string {
  return tables.map(formatTable).join("\n");
}

function formatTable({ path, comments = [], values }: TomlTable): string {
  const lines = Object.entries(values).flatMap(([key, value]) =>
    value === undefined ? [] : [`${formatKey(key)} = ${formatValue(value)}`],
  );
  return [
    ...comments.map((line) => `# ${line}`),
    `[${path.map(formatKey).join(".")}]`,
    ...lines,
    "",
  ].join("\n");
}

function formatKey(key: string): string {
  return /^[A-Za-z0-9_-]+$/.test(key) ? key : formatString(key);
}

function formatValue(value: string | readonly string[]): string {
  if (typeof value === "string") return formatString(value);
  return `[${value.map(formatString).join(", ")}]`;
}

/** JSON's escapes are TOML's as well; TOML wants one more character escaped. */
function formatString(text: string): string {
  return JSON.stringify(text).replace(/\x7f/g, "\\u007F");
}
