/** The keys that detach a terminal from a container. */
import { InvalidArgumentError, Option } from "commander";

/** What they are if nobody says otherwise. */
const DETACH_KEYS = "ctrl-p,ctrl-q";

/** The option of all commands that attach a terminal. */
export function detachKeysOption(): Option {
  return new Option(
    "--detach-keys <KEYS>",
    "keys that detach, as letters and ctrl-LETTER with commas between them; empty: none",
  )
    .argParser(parseDetachKeys)
    .default(parseDetachKeys(DETACH_KEYS), DETACH_KEYS);
}

/**
 * Reads keys such as `ctrl-p,ctrl-q` or `a,ctrl-@`; an empty text means none.
 *
 * @throws InvalidArgumentError
 */
export function parseDetachKeys(text: string): Uint8Array {
  if (text === "") return new Uint8Array(0);
  return Uint8Array.from(text.split(","), keyByte);
}

function keyByte(key: string): number {
  const control = /^ctrl-([a-z@[\\\]^_])$/i.exec(key)?.[1];
  if (control !== undefined) return control.toUpperCase().charCodeAt(0) - 0x40;
  if (/^[\x21-\x7e]$/.test(key)) return key.charCodeAt(0);
  throw new InvalidArgumentError("Keys are letters and ctrl-LETTER, with commas between them.");
}

/** Looks for the keys in what is typed, and holds back what may be their beginning. */
export class DetachFilter {
  readonly #keys: Uint8Array;
  #matched = 0;

  constructor(keys: Uint8Array) {
    this.#keys = keys;
  }

  /**
   * @returns what is for the container, and whether the keys have come: then nothing after them counts
   */
  push(typed: Uint8Array): { readonly input: Uint8Array; readonly detach: boolean } {
    if (this.#keys.length === 0) return { input: typed, detach: false };
    if (this.#matched === 0 && !typed.includes(this.#keys[0] ?? -1)) {
      return { input: typed, detach: false };
    }
    const input: number[] = [];
    for (const byte of typed) {
      this.#take(byte, input);
      if (this.#matched === this.#keys.length)
        return { input: Uint8Array.from(input), detach: true };
    }
    return { input: Uint8Array.from(input), detach: false };
  }

  #take(byte: number, input: number[]): void {
    if (byte !== this.#keys[this.#matched]) this.#giveUp(input);
    if (byte === this.#keys[this.#matched]) this.#matched++;
    else input.push(byte);
  }

  /** What was held back is no more than its longest end that is a beginning of the keys. */
  #giveUp(input: number[]): void {
    input.push(...this.#keys.subarray(0, this.#matched));
    this.#matched = 0;
  }
}
