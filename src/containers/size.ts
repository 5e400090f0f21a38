/** Sizes as people write them. */

const FACTORS = { "": 1, k: 2 ** 10, m: 2 ** 20, g: 2 ** 30, t: 2 ** 40 } as const;

/** The bytes of a size such as `65536`, `512m`, `1.5GiB` or `0`; undefined for what is none. */
export function parseSize(text: string): number | undefined {
  const [, digits, unit = ""] = /^(\d{1,12}(?:\.\d+)?)([kmgt]?)(?:i?b)?$/i.exec(text) ?? [];
  // The pattern lets through these units only.
  const factor = FACTORS[unit.toLowerCase() as keyof typeof FACTORS];
  return digits === undefined ? undefined : Math.round(Number(digits) * factor);
}
