/** A time during which the clocks of a zone keep their distance from UTC. */
export interface Period {
  /** Its first second since 1970; -Infinity if there was none before. */
  readonly from: number;
  /** The first second of the next one; Infinity if there is none. */
  readonly until: number;
  /** Seconds that the clocks are ahead of UTC; negative in the west. */
  readonly offset: number;
}

/** Times at which the clocks are changed, each with the offset from then on, in order. */
export type Change = readonly [at: number, offset: number];

/** The period that a second is in; `before` is the offset that goes before all changes. */
export function periodIn(changes: readonly Change[], before: number, second: number): Period {
  let low = 0;
  for (let high = changes.length; low < high; ) {
    const middle = (low + high) >> 1;
    if ((changes[middle]?.[0] ?? 0) <= second) low = middle + 1;
    else high = middle;
  }
  const [from, offset] = changes[low - 1] ?? [Number.NEGATIVE_INFINITY, before];
  return { from, until: changes[low]?.[0] ?? Number.POSITIVE_INFINITY, offset };
}
