/** What callers may ask for and this version cannot do yet: better said at once than done wrong. */
import type { CheckedOptions } from "./checks.ts";
import { ConmonError } from "./errors.ts";

/** @throws ConmonError naming the option */
export function refuseUnsupported(options: CheckedOptions): void {
  const drivers = options.logs.drivers.map(({ driver }) => driver);
  const asked: [boolean, string][] = [
    [options.terminal, "--terminal"],
    [options.launch.kind === "exec", "--exec"],
    [options.launch.kind === "restore", "--restore"],
    [drivers.includes("journald"), "the log driver journald"],
    [drivers.includes("passthrough"), "the log driver passthrough"],
    [options.timeoutSeconds !== undefined, "--timeout"],
  ];
  for (const [present, what] of asked) {
    if (present) throw new ConmonError(`${what} is not supported yet by this version of conmon-ts`);
  }
}
