/** The limits of a rate. At least one of them is set. */
export interface RateLimits {
  readonly bytesPerSecond?: number | undefined;
  readonly linesPerSecond?: number | undefined;
}

/**
 * Tokens that come at a steady rate and are kept for up to a second, so that a burst of one second's
 * worth passes at once. More may be taken than there are: the debt is paid first.
 */
class TokenBucket {
  readonly #perSecond: number;
  #tokens: number;
  #second: number;

  constructor(perSecond: number, second: number) {
    this.#perSecond = perSecond;
    this.#tokens = perSecond;
    this.#second = second;
  }

  refill(second: number): void {
    const more = Math.max(0, second - this.#second) * this.#perSecond;
    this.#tokens = Math.min(this.#perSecond, this.#tokens + more);
    this.#second = second;
  }

  take(count: number): void {
    this.#tokens -= count;
  }

  /** Whether there are so many, or as many as there can be: else nothing large would ever pass. */
  has(count: number): boolean {
    return this.#tokens >= Math.min(count, this.#perSecond);
  }

  /** Seconds until there is no debt. */
  get wait(): number {
    return Math.max(0, -this.#tokens / this.#perSecond);
  }
}

/**
 * How much may be logged, in bytes and in lines. Time is the caller's, in seconds from anywhere, and only
 * goes forward.
 *
 * @example
 * ```ts
 * const limit = new RateLimit({ linesPerSecond: 100 }, now());
 * const seconds = limit.charge(bytes, lines, now());
 * if (seconds > 0) pauseFor(seconds);
 * ```
 */
export class RateLimit {
  readonly #bytes: TokenBucket;
  readonly #lines: TokenBucket;

  constructor({ bytesPerSecond, linesPerSecond }: RateLimits, second: number) {
    this.#bytes = new TokenBucket(bytesPerSecond ?? Number.MAX_VALUE, second);
    this.#lines = new TokenBucket(linesPerSecond ?? Number.MAX_VALUE, second);
  }

  /** Takes what has been logged already, and tells how many seconds to wait before anything else is. */
  charge(bytes: number, lines: number, second: number): number {
    this.refill(second);
    this.#bytes.take(bytes);
    this.#lines.take(lines);
    return Math.max(this.#bytes.wait, this.#lines.wait);
  }

  /** Goes on to another time. */
  refill(second: number): void {
    this.#bytes.refill(second);
    this.#lines.refill(second);
  }

  /** Takes a line, or a piece of one (0 lines), if there is enough for it. */
  admit(bytes: number, lines: number): boolean {
    // The line that a piece belongs to will have to pass as well.
    if (!(this.#bytes.has(bytes) && this.#lines.has(1))) return false;
    this.#bytes.take(bytes);
    this.#lines.take(lines);
    return true;
  }
}
