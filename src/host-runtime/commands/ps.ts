/** `ps`: the processes that can be told to belong to a container. */
import { readFileSync, writeFileSync } from "node:fs";
import type { ProcessStat } from "../../processes/stat.ts";
import type { Call } from "../command.ts";
import { Failure } from "../failure.ts";
import { findMembers } from "../processes.ts";

export function ps({ options, args: [id = ""], store }: Call): number {
  const format = options.text("format") ?? "table";
  const { container, place } = store.load(id);
  const members = findMembers([container, ...place.execs()]);
  if (format === "json") writeFileSync(1, `${JSON.stringify(members.map(({ pid }) => pid))}\n`);
  else if (format === "table") writeFileSync(1, table(members));
  else throw new Failure("invalid format option");
  return 0;
}

function table(members: readonly ProcessStat[]): string {
  const lines = members.map((one) => line(one.pid, one.parent, commandOf(one.pid)));
  return [line("PID", "PPID", "CMD"), ...lines].map((text) => `${text}\n`).join("");
}

function line(pid: number | string, parent: number | string, command: string): string {
  return `${String(pid).padStart(7)} ${String(parent).padStart(7)} ${command}`;
}

function commandOf(pid: number): string {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, "utf8").replaceAll("\0", " ").trim();
  } catch {
    return "(ended)"; // Between our two looks.
  }
}
