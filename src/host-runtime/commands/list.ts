/** `list`: all containers. */
import { writeFileSync } from "node:fs";
import { userInfo } from "node:os";
import type { Call } from "../command.ts";
import { Failure } from "../failure.ts";
import { type OciState, ociState } from "../store.ts";

export function list({ options, store }: Call): number {
  const format = options.text("format") ?? "table";
  const states = store
    .list()
    .map(({ container, place }) => ociState(container, place.status(container)));
  if (options.flag("quiet")) writeFileSync(1, states.map(({ id }) => `${id}\n`).join(""));
  else if (format === "json") writeFileSync(1, `${JSON.stringify(states)}\n`);
  else if (format === "table") writeFileSync(1, table(states));
  else throw new Failure("invalid format option");
  return 0;
}

function table(states: readonly OciState[]): string {
  const owner = states.length > 0 ? ownName() : "";
  const rows = [
    ["ID", "PID", "STATUS", "BUNDLE", "CREATED", "OWNER"],
    ...states.map((one) => [one.id, `${one.pid}`, one.status, one.bundle, one.created, owner]),
  ];
  const widths = [0, 1, 2, 3, 4].map((i) => Math.max(...rows.map((row) => row[i]?.length ?? 0)));
  const line = (row: readonly string[]) => row.map((cell, i) => cell.padEnd(widths[i] ?? 0));
  return rows.map((row) => `${line(row).join("  ")}\n`).join("");
}

function ownName(): string {
  try {
    return userInfo().username;
  } catch {
    return String(process.geteuid?.()); // A user without an entry in the user database.
  }
}
