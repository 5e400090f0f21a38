/**
 * What comes on stderr while the runtime runs.
 *
 * It is the runtime's own: if it fails, this is the reason to tell, and no output of a
 * container; if not, the container's records begin with it. It must be read meanwhile,
 * or a runtime that writes more than a pipe holds would hang.
 */

/** Held back before it is taken for output after all. */
const HELD_MAX = 65536;
/** The end of a text that is long enough to hold the reason, in bytes. */
const TAIL_MAX = 8192;

export class StartupText {
  readonly #held: Buffer[] = [];
  #heldBytes = 0;
  #tail = Buffer.alloc(0);

  /** Takes `data`, which is only valid during the call. False: hand everything on first, by {@link takeHeld}. */
  add(data: Uint8Array): boolean {
    this.#tail = Buffer.concat([this.#tail, data.subarray(-TAIL_MAX)]).subarray(-TAIL_MAX);
    if (this.#heldBytes + data.length > HELD_MAX) return false;
    this.#held.push(Buffer.from(data));
    this.#heldBytes += data.length;
    return true;
  }

  /** The last bytes written, whether they are still held or not. */
  get tail(): Buffer {
    return this.#tail;
  }

  /** Gives away what was held back, in order. */
  takeHeld(): Buffer[] {
    this.#heldBytes = 0;
    return this.#held.splice(0);
  }
}
