/** What `--json` prints. */

/** One JSON value on stdout, indented for those who look at it. */
export function printJson(value: unknown): void {
  process.stdout.write(`${JSON.stringify(value, undefined, 2)}\n`);
}
