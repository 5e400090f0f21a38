/** Questions about how a container's output is logged. */
import type { CheckedOptions } from "./checks.ts";

/** Whether the container has the caller's own stdio, so that nothing of its output passes here. */
export function isPassthrough({ logs }: Pick<CheckedOptions, "logs">): boolean {
  return logs.drivers.some(({ driver }) => driver === "passthrough");
}
