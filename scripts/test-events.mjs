/**
 * A reporter for `node --test`: each event that scripts/test.mjs has a use for, as a line of JSON.
 */
import { resolve } from "node:path";
import { inspect } from "node:util";

export default async function* events(source) {
  for await (const { type, data } of source) {
    const { name, nesting, file, skip, todo, message, details } = data;
    if (file === undefined && !type.startsWith("test:std")) continue;
    const line = {
      type,
      name,
      nesting,
      file,
      skip,
      todo,
      message,
      // Node.js reports a whole file as a test named by its path.
      isFile: nesting === 0 && file !== undefined && resolve(name) === file,
      isSuite: details?.type === "suite",
      milliseconds: details?.duration_ms,
      failureType: details?.error?.failureType,
      error: details?.error && describe(details.error),
    };
    yield `${JSON.stringify(line)}\n`;
  }
}

/** What was thrown in the test; the error around it says only that a test failed. */
function describe(error) {
  const thrown = error.cause ?? error;
  return typeof thrown === "string" ? thrown : inspect(thrown);
}
