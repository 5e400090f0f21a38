/**
 * What a shim was started with: it comes with the hello in a memory file, so that
 * neither the arguments nor the environment have a limit of ours.
 */
import { isUtf8 } from "node:buffer";
import { endianness } from "node:os";
import { ProtocolError } from "./messages.ts";

/** Arguments, environment and working directory of a shim. */
export interface Context {
  /** Without the program's own name. */
  arguments: string[];
  /** The first argument (counted from 1) that is no UTF-8 and so cannot be handed on unchanged. */
  undecodable: number | undefined;
  /** By name. Values that are no UTF-8 are decoded with replacement characters: none of ours are such. */
  environment: ReadonlyMap<string, string>;
  /** Absolute path; empty when the shim's working directory has been removed. */
  workingDirectory: string;
}

/**
 * Decodes the memory file: two 32-bit counts (arguments, variables), then that many
 * NUL-terminated strings, then the working directory.
 *
 * @throws ProtocolError when the counts and the strings do not agree
 */
export function decodeContext(bytes: Buffer): Context {
  if (bytes.length < 8) throw new ProtocolError("the shim's context is too short");
  const little = endianness() === "LE";
  const argumentCount = little ? bytes.readUInt32LE(0) : bytes.readUInt32BE(0);
  const variableCount = little ? bytes.readUInt32LE(4) : bytes.readUInt32BE(4);
  const strings = splitStrings(bytes.subarray(8), argumentCount + variableCount + 1);
  const environment = new Map<string, string>();
  for (const variable of strings.slice(argumentCount, argumentCount + variableCount)) {
    const text = variable.toString("utf8");
    const equals = text.indexOf("=", 1);
    if (equals > 0) environment.set(text.slice(0, equals), text.slice(equals + 1));
  }
  const ownArguments = strings.slice(1, argumentCount);
  const undecodable = ownArguments.findIndex((argument) => !isUtf8(argument));
  return {
    arguments: ownArguments.map((argument) => argument.toString("utf8")),
    undecodable: undecodable < 0 ? undefined : undecodable + 1,
    environment,
    workingDirectory: strings.at(-1)?.toString("utf8") ?? "",
  };
}

function splitStrings(bytes: Buffer, count: number): Buffer[] {
  const strings: Buffer[] = [];
  let at = 0;
  while (strings.length < count) {
    const end = bytes.indexOf(0, at);
    if (end < 0) throw new ProtocolError("the shim's context ends too early");
    strings.push(bytes.subarray(at, end));
    at = end + 1;
  }
  if (at !== bytes.length)
    throw new ProtocolError("the shim's context does not end where it should");
  return strings;
}
