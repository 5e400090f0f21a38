/** The config.json of a container that is there. */
import { join } from "node:path";
import type { Container } from "./container.ts";
import { readIfThere } from "./files.ts";
import { isConfig, type OciConfig } from "./oci.ts";
import { parseJson } from "./record.ts";

/** Its configuration as it is in its bundle; undefined if it cannot be read. */
export function readConfiguration(container: Container): OciConfig | undefined {
  const text = readIfThere(join(container.bundle, "config.json"));
  const value = text === undefined ? undefined : parseJson(text);
  return isConfig(value) ? value : undefined;
}
