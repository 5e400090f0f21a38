/** How much memory conmond's garbage may take before it is collected. */
import { setFlagsFromString } from "node:v8";

/**
 * Keeps V8's space for new objects at the size that it begins with, 1 MiB twice. By itself it grows to 16 MiB
 * twice when many sessions come, and stays so: more than hundreds of idle sessions take. What outlives
 * a collection is little here, so that many small ones cost no more than few large ones.
 */
export function keepYoungHeapSmall(): void {
  setFlagsFromString("--semi-space-growth-factor=1");
}
