/** All that is known of a container that is there. */
import { join } from "node:path";
import type { Container } from "./container.ts";
import { readIfThere } from "./files.ts";
import { isConfig, type OciConfig } from "./oci.ts";
import { parseJson } from "./record.ts";

/** A container with what is in its bundle. */
export interface ContainerDetails extends Container {
  /** The path of its attach socket, as conmon makes it. */
  readonly attachSocket: string;
  /** The config.json of its bundle; `null` if it cannot be read. */
  readonly configuration: Readonly<OciConfig> | null;
}

export function inspectContainer(container: Container): ContainerDetails {
  const { bundle } = container;
  return {
    ...container,
    attachSocket: join(bundle, "attach"),
    configuration: readConfiguration(bundle) ?? null,
  };
}

function readConfiguration(bundle: string): OciConfig | undefined {
  const text = readIfThere(join(bundle, "config.json"));
  const value = text === undefined ? undefined : parseJson(text);
  return isConfig(value) ? value : undefined;
}
