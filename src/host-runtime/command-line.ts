/** Options as runc takes them: one dash or two, `--name VALUE` or `--name=VALUE`, ending at the first argument. */
import { Failure } from "./failure.ts";

/** An option. */
export interface OptionSpec {
  readonly name: string;
  /** One letter. */
  readonly short?: string;
  /** What its value is, in the help. Without it the option is a flag. */
  readonly value?: string;
  /** For the help. Of an option that only others' runtimes can obey: why it is accepted all the same. */
  readonly about: string;
}

/** Options by their long names; a flag has the value "true". */
export class Options {
  readonly #values: ReadonlyMap<string, readonly string[]>;

  constructor(values: ReadonlyMap<string, readonly string[]>) {
    this.#values = values;
  }

  /** The last value given, or undefined. */
  text(name: string): string | undefined {
    return this.#values.get(name)?.at(-1);
  }

  /** All values given. */
  all(name: string): readonly string[] {
    return this.#values.get(name) ?? [];
  }

  flag(name: string): boolean {
    return this.text(name) === "true";
  }

  /**
   * A whole number that is not negative.
   *
   * @throws Failure for something else
   */
  count(name: string): number | undefined {
    const text = this.text(name);
    if (text === undefined) return undefined;
    if (!/^\d{1,9}$/.test(text)) {
      throw new Failure(`invalid value ${JSON.stringify(text)} for --${name}: not a number`);
    }
    return Number(text);
  }
}

/** The options at the beginning of the arguments, and what comes after them. */
export interface Parsed {
  readonly options: Options;
  readonly rest: readonly string[];
}

/**
 * Reads the options at the beginning.
 *
 * @throws Failure for an option that is not known, lacks its value or is no flag's value
 */
export function parseOptions(args: readonly string[], specs: readonly OptionSpec[]): Parsed {
  const values = new Map<string, string[]>();
  let at = 0;
  for (; at < args.length; at++) {
    const arg = args[at] ?? "";
    if (arg === "--") {
      at++;
      break;
    }
    if (!arg.startsWith("-") || arg === "-") break;
    const [, name = "", , given] = /^--?([^=]*)(=(.*))?$/s.exec(arg) ?? [];
    const spec = specs.find((one) => one.name === name || one.short === name);
    if (spec === undefined) throw new Failure(`flag provided but not defined: ${arg}`);
    const value = spec.value === undefined ? flagValue(spec, given) : (given ?? args[++at]);
    if (value === undefined) throw new Failure(`flag needs an argument: ${arg}`);
    values.set(spec.name, [...(values.get(spec.name) ?? []), value]);
  }
  return { options: new Options(values), rest: args.slice(at) };
}

function flagValue(spec: OptionSpec, given: string | undefined): string {
  if (given === undefined || /^(1|t|true)$/i.test(given)) return "true";
  if (/^(0|f|false)$/i.test(given)) return "false";
  throw new Failure(`invalid boolean value ${JSON.stringify(given)} for --${spec.name}`);
}
