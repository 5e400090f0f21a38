/** Reading JSON that others wrote, with errors that say where something is wrong. */
import { Failure } from "./failure.ts";

/** A value in a JSON document, together with where it is, such as `config.json: process.args`. */
export class JsonField {
  readonly value: unknown;
  readonly place: string;
  readonly #isRoot: boolean;

  private constructor(value: unknown, place: string, isRoot: boolean) {
    this.value = value;
    this.place = place;
    this.#isRoot = isRoot;
  }

  /**
   * Parses a document.
   *
   * @param name what it is called in errors
   * @throws Failure for what is no JSON
   */
  static parse(text: string, name: string): JsonField {
    try {
      return new JsonField(JSON.parse(text), name, true);
    } catch (cause) {
      throw new Failure(`${name} is not JSON: ${(cause as Error).message}`, { cause });
    }
  }

  /** Whether there is such a thing; null counts as nothing. */
  get isThere(): boolean {
    return this.value !== undefined && this.value !== null;
  }

  /** A member of an object. Of nothing, it is nothing. */
  get(name: string): JsonField {
    const place = this.#isRoot ? `${this.place}: ${name}` : `${this.place}.${name}`;
    if (!this.isThere) return new JsonField(undefined, place, false);
    return new JsonField(this.object()[name], place, false);
  }

  object(): Record<string, unknown> {
    const { value } = this;
    if (typeof value === "object" && value !== null && !Array.isArray(value)) {
      return value as Record<string, unknown>;
    }
    throw this.#wrong("an object");
  }

  /** The elements of a list; none if there is nothing. */
  list(): JsonField[] {
    if (!this.isThere) return [];
    if (!Array.isArray(this.value)) throw this.#wrong("a list");
    return this.value.map((item, i) => new JsonField(item, `${this.place}[${i}]`, false));
  }

  /** A string without NUL, which no argument, path or variable can have in it. */
  text(): string {
    if (typeof this.value === "string" && !this.value.includes("\0")) return this.value;
    throw this.#wrong("a string without NUL characters");
  }

  /** A whole number. */
  integer(least: number, most: number): number {
    const { value } = this;
    if (typeof value === "number" && Number.isInteger(value) && value >= least && value <= most) {
      return value;
    }
    throw this.#wrong(`a whole number from ${least} to ${most}`);
  }

  /** True or false; nothing is false. */
  flag(): boolean {
    if (!this.isThere) return false;
    if (typeof this.value === "boolean") return this.value;
    throw this.#wrong("true or false");
  }

  texts(): string[] {
    return this.list().map((field) => field.text());
  }

  #wrong(expected: string): Failure {
    return new Failure(`${this.place} must be ${expected}`);
  }
}
