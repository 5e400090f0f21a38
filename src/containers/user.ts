/** Who a process in the container is. */
import { join } from "node:path";
import { ContainerError } from "./errors.ts";
import { readIfThere } from "./files.ts";
import type { OciUser } from "./oci.ts";

/**
 * The numbers of `USER[:GROUP]`. Names are looked up in the passwd and group of the container's own root.
 *
 * @param etc the container's /etc as the host sees it
 * @throws ContainerError for a name that is not there
 */
export function resolveUser(text: string, etc: string): OciUser {
  const [user = "", group] = text.split(":", 2);
  const passwd = user === "" ? undefined : lineOf(etc, "passwd", user);
  const uid = numberOf(user) ?? numberOf(passwd?.[2]);
  if (uid === undefined) throw unknown("user", user, etc);
  if (group === undefined) return { uid, gid: numberOf(passwd?.[3]) ?? 0 };
  const gid = numberOf(group) ?? numberOf(lineOf(etc, "group", group)?.[2]);
  if (gid === undefined) throw unknown("group", group, etc);
  return { uid, gid };
}

/** The fields of the line of a name or number. */
function lineOf(etc: string, file: string, key: string): string[] | undefined {
  const text = readIfThere(join(etc, file)) ?? "";
  const lines = text.split("\n").map((line) => line.split(":"));
  return lines.find(([name, , number]) => name === key || number === key);
}

function numberOf(text: string | undefined): number | undefined {
  if (text === undefined || !/^\d{1,10}$/.test(text)) return undefined;
  const number = Number(text);
  return number < 2 ** 32 - 1 ? number : undefined;
}

function unknown(kind: string, name: string, etc: string): ContainerError {
  return new ContainerError("invalid", `there is no ${kind} ${JSON.stringify(name)} in ${etc}`, {
    hint: "give the number",
  });
}
