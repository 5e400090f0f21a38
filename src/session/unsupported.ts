/** What callers may ask for and this version cannot do yet: better said at once than done wrong. */
import type { CheckedOptions } from "./checks.ts";
import { ConmonError } from "./errors.ts";

/** @throws ConmonError naming the option */
export function refuseUnsupported(options: CheckedOptions): void {
  const asked: [boolean, string][] = [[options.sdnotifySocket !== undefined, "--sdnotify-socket"]];
  for (const [present, what] of asked) {
    if (present) throw new ConmonError(`${what} is not supported yet by this version of conmon-ts`);
  }
}
