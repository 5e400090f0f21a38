/** `state`: the OCI state as JSON. */
import { writeFileSync } from "node:fs";
import type { Call } from "../command.ts";
import { ociState } from "../store.ts";

export function state({ args: [id = ""], store }: Call): number {
  const { container, place } = store.load(id);
  const json = JSON.stringify(ociState(container, place.status(container)), null, 2);
  writeFileSync(1, `${json}\n`);
  return 0;
}
