/** A file of a log by its name. */
export interface LogFileName {
  readonly name: string;
  /**
   * How it came to its name: it is the one that is written to, it was the `number`-th rotated away
   * from now, or it was rotated away at the time `date` (`20060102-150405`).
   */
  readonly place:
    | { readonly kind: "current" }
    | { readonly kind: "numbered"; readonly number: number }
    | { readonly kind: "dated"; readonly date: string };
  /** Whether it is compressed by gzip. */
  readonly compressed: boolean;
}

/**
 * What a name in the log's directory says, where `base` is the name of the log: `0.log`, `0.log.1`,
 * `0.log.20060102-150405` as kubelet names them, and the last two with `.gz`.
 *
 * @returns `undefined` if it is no file of the log.
 */
export function parseLogFileName(base: string, name: string): LogFileName | undefined {
  if (name === base) return { name, place: { kind: "current" }, compressed: false };
  if (!name.startsWith(`${base}.`)) return undefined;
  const found = /^(?:([1-9]\d{0,4})|(\d{8}-\d{6}))(\.gz)?$/.exec(name.slice(base.length + 1));
  if (found === null) return undefined;
  const [, number, date, gz] = found;
  const compressed = gz !== undefined;
  if (date !== undefined) return { name, place: { kind: "dated", date }, compressed };
  return { name, place: { kind: "numbered", number: Number(number) }, compressed };
}

/**
 * The files of a log, the newest first. Numbers and dates each have their own order. Where a log has
 * backups of both kinds, which happens when another rotator takes over, they are put together by the
 * times of their last changes.
 *
 * @param changed Says when a file was last changed; asked only where it matters.
 */
export function newestFirst(
  files: readonly LogFileName[],
  changed: (file: LogFileName) => bigint,
): LogFileName[] {
  const current = files.filter(({ place }) => place.kind === "current");
  const numbered = files.filter(({ place }) => place.kind === "numbered");
  const dated = files.filter(({ place }) => place.kind === "dated");
  numbered.sort((a, b) => numberOf(a) - numberOf(b));
  dated.sort((a, b) => (dateOf(a) < dateOf(b) ? 1 : -1));
  if (numbered.length === 0 || dated.length === 0) return [...current, ...numbered, ...dated];
  return [...current, ...merge(numbered, dated, changed)];
}

/**
 * The files without those of which there is an uncompressed one too: somebody has just compressed,
 * or is still compressing, that one.
 */
export function withoutDuplicates(files: readonly LogFileName[]): LogFileName[] {
  const plain = new Set(files.filter((file) => !file.compressed).map((file) => file.name));
  return files.filter((file) => !file.compressed || !plain.has(file.name.slice(0, -".gz".length)));
}

function merge(
  one: readonly LogFileName[],
  other: readonly LogFileName[],
  changed: (file: LogFileName) => bigint,
): LogFileName[] {
  const merged: LogFileName[] = [];
  let [left, right] = [0, 0];
  for (;;) {
    const [a, b] = [one[left], other[right]];
    if (a === undefined) return [...merged, ...other.slice(right)];
    if (b === undefined) return [...merged, ...one.slice(left)];
    const isNewer = changed(a) >= changed(b);
    if (isNewer) left++;
    else right++;
    merged.push(isNewer ? a : b);
  }
}

function numberOf({ place }: LogFileName): number {
  return place.kind === "numbered" ? place.number : 0;
}

function dateOf({ place }: LogFileName): string {
  return place.kind === "dated" ? place.date : "";
}
