/** Where a container's log can be read. */
import { resolve } from "node:path";
import { isFile, parseLogDriver } from "../logging/log-drivers.ts";
import type { Container } from "./container.ts";
import { ContainerError } from "./errors.ts";

/**
 * The path of its log file.
 *
 * @throws ContainerError if its output is in no file
 */
export function logFileOf(container: Container): string {
  const drivers = container.logs.map(parseLogDriver);
  const file = drivers.find(isFile);
  if (file !== undefined) return resolve(file.path);
  const names = drivers.map(({ driver }) => driver);
  const hint = names.includes("journald")
    ? `journalctl CONTAINER_ID_FULL=${container.id}`
    : names.includes("none")
      ? "it was started with the log driver none"
      : undefined;
  throw new ContainerError(
    "conflict",
    `the output of ${container.name} is in no file: its log driver is ${names.join(", ")}`,
    { hint },
  );
}
