/**
 * From an argument vector to options, by the rules of GLib's option parser, which conmon's callers
 * have come to rely on.
 */
import { ConmonError } from "./errors.ts";
import type { KeyOfKind, OptionEntry } from "./option-table.ts";
import { findLongOption, findShortOption, OPTION_TABLE } from "./option-table.ts";

type MutableOptions = Record<KeyOfKind<"flag">, boolean> &
  Record<KeyOfKind<"string">, string | undefined> &
  Record<KeyOfKind<"list">, string[]> &
  Record<KeyOfKind<"int"> | KeyOfKind<"optional-int">, number | undefined> &
  Record<KeyOfKind<"int64">, bigint | undefined>;

/**
 * The options as they were given, before any check; the table describes each one. What was not given
 * is `undefined`, `false` or an empty list.
 */
export type Options = Readonly<Omit<MutableOptions, KeyOfKind<"list">>> &
  Readonly<Record<KeyOfKind<"list">, readonly string[]>>;

/**
 * Reads the options from an argument vector without the program's name.
 *
 * - `--opt value` and `--opt=value`; what follows is the value, whatever it looks like.
 * - Flags take no value: `--flag=x` is no option.
 * - Letters can share a dash. One of them may take a value, which is the next argument.
 * - `--` ends the options. Other arguments, a lone `-` among them, are passed over.
 * - Reading stops at `--help`: nothing after it can be wrong.
 *
 * @throws ConmonError `conmon: option parsing failed: REASON`
 */
export function parseOptions(argv: readonly string[]): Options {
  const options = noOptions();
  const rest = new Arguments(argv);
  for (let argument = rest.take(); argument !== undefined; argument = rest.take()) {
    if (argument === "--") break;
    if (argument.startsWith("--")) readLong(argument, rest, options);
    else if (argument.startsWith("-") && argument !== "-") readCluster(argument, rest, options);
    if (options.help) break;
  }
  return options;
}

/** The arguments that are still to be read. */
class Arguments {
  readonly #argv: readonly string[];
  #next = 0;

  constructor(argv: readonly string[]) {
    this.#argv = argv;
  }

  peek(): string | undefined {
    return this.#argv[this.#next];
  }

  take(): string | undefined {
    return this.#argv[this.#next++];
  }
}

function noOptions(): MutableOptions {
  const defaults = OPTION_TABLE.map(({ key, kind }) => [
    key,
    kind === "flag" ? false : kind === "list" ? [] : undefined,
  ]);
  // The table names every key of the type: the type is made from it.
  return Object.fromEntries(defaults) as MutableOptions;
}

function readLong(argument: string, rest: Arguments, options: MutableOptions): void {
  const equals = argument.indexOf("=");
  const spelling = equals < 0 ? argument : argument.slice(0, equals);
  const attached = equals < 0 ? undefined : argument.slice(equals + 1);
  const entry = findLongOption(spelling.slice(2));
  if (entry === undefined) throw failure(`Unknown option ${argument}`);
  if (entry.kind === "flag") {
    if (attached !== undefined) throw failure(`Unknown option ${argument}`);
    options[entry.key] = true;
  } else if (entry.kind === "optional-int") {
    options[entry.key] = readInt(attached ?? takeNumber(rest) ?? "1", 32, spelling);
  } else {
    store(entry, attached ?? takeValue(rest, spelling), spelling, options);
  }
}

function readCluster(argument: string, rest: Arguments, options: MutableOptions): void {
  let valueTaken = false;
  for (const letter of argument.slice(1)) {
    const entry = findShortOption(letter);
    if (entry === undefined) throw failure(`Unknown option ${argument}`);
    if (entry.kind === "flag") {
      options[entry.key] = true;
      if (options.help) return;
      continue;
    }
    // Which of the two would get the next argument?
    if (valueTaken) throw failure(`Error parsing option -${letter}`);
    valueTaken = true;
    store(entry, takeValue(rest, `-${letter}`), `-${letter}`, options);
  }
}

function takeValue(rest: Arguments, spelling: string): string {
  const value = rest.take();
  if (value === undefined) throw failure(`Missing argument for ${spelling}`);
  return value;
}

/** The next argument if it is a number, so that `--api-version 1` and a bare `--api-version` both work. */
function takeNumber(rest: Arguments): string | undefined {
  const next = rest.peek();
  if (next === undefined || next.startsWith("-") || !INTEGER.test(next)) return undefined;
  return rest.take();
}

function store(entry: OptionEntry, value: string, spelling: string, options: MutableOptions): void {
  switch (entry.kind) {
    case "flag":
      options[entry.key] = true;
      break;
    case "string":
      options[entry.key] = value;
      break;
    case "list":
      options[entry.key].push(value);
      break;
    case "int":
    case "optional-int":
      options[entry.key] = readInt(value, 32, spelling);
      break;
    case "int64":
      options[entry.key] = readInteger(value, 64, spelling);
      break;
  }
}

/** What strtol(3) takes in base 0, to the last character: 10, 012 and 0xa are the same. */
const INTEGER = /^[\t\n\v\f\r ]*([+-]?)(?:0[xX]([0-9a-fA-F]+)|0([0-7]*)|([1-9][0-9]*))$/;

/** Longer than any number of 64 bits in base 8: out of range without making a number of it. */
const TOO_MANY_DIGITS = 23;

function readInteger(text: string, bits: number, spelling: string): bigint {
  const match = INTEGER.exec(text);
  if (match === null) throw failure(`Cannot parse integer value “${text}” for ${spelling}`);
  const [, sign, hexadecimal, octal, decimal] = match;
  const digits = (hexadecimal ?? octal ?? decimal ?? "").replace(/^0+/, "");
  const base = hexadecimal !== undefined ? "0x" : octal !== undefined ? "0o" : "";
  const magnitude = digits === "" ? 0n : BigInt(base + digits.slice(0, TOO_MANY_DIGITS));
  const value = sign === "-" ? -magnitude : magnitude;
  if (digits.length >= TOO_MANY_DIGITS || value !== BigInt.asIntN(bits, value)) {
    throw failure(`Integer value “${text}” for ${spelling} out of range`);
  }
  return value;
}

function readInt(text: string, bits: 32, spelling: string): number {
  return Number(readInteger(text, bits, spelling));
}

function failure(reason: string): ConmonError {
  return new ConmonError(`option parsing failed: ${reason}`, { prefix: "conmon: " });
}
