/** A text as one word of sh, bash, zsh or fish. */

/** For the shells of the family of sh. */
export function quote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

/** fish has backslashes inside of quotes. */
export function quoteForFish(text: string): string {
  return `'${text.replaceAll("\\", "\\\\").replaceAll("'", "\\'")}'`;
}
