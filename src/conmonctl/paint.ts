/** Colours, for terminals only. */

const CODES = { bold: 1, dim: 2, red: 31, green: 32, yellow: 33, cyan: 36 } as const;

export type Colour = keyof typeof CODES;

/** Makes a text look like something; without colours the text stays as it is. */
export type Paint = Readonly<Record<Colour, (text: string) => string>>;

/** Colours on a terminal that has them, unless `NO_COLOR` is set (https://no-color.org). */
export function paintFor(
  stream: { readonly isTTY?: boolean },
  environment: NodeJS.ProcessEnv = process.env,
): Paint {
  const coloured = stream.isTTY === true && !environment.NO_COLOR && environment.TERM !== "dumb";
  const colour = (name: Colour) => (text: string) =>
    coloured ? `\x1b[${CODES[name]}m${text}\x1b[0m` : text;
  return {
    bold: colour("bold"),
    dim: colour("dim"),
    red: colour("red"),
    green: colour("green"),
    yellow: colour("yellow"),
    cyan: colour("cyan"),
  };
}
