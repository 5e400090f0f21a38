/** The kernel's limits. */
import { readFileSync, watch } from "node:fs";
import { type Check, type Finding, fail, messageOf, ok, skip, warn } from "./check.ts";

/** What a session has open in a shared conmond, roughly. */
const DESCRIPTORS_PER_SESSION = 10;

/** Fewer sessions are few for one conmond. */
const FEW_SESSIONS = 100;

/** Below that pipes of a user's containers get small, in pages; 1 MiB each is 256. */
const FEW_PAGES = 4096;

export const limits: Check = {
  name: "limits",
  look: async () => [openFiles(), pipes(), inotify()],
};

function openFiles(): Finding {
  const text = readFileSync("/proc/self/limits", "latin1");
  const [, soft = "", hard = ""] = /^Max open files +(\S+) +(\S+)/m.exec(text) ?? [];
  return judgeOpenFiles(soft, hard);
}

/** @param soft a number or `unlimited`, as in `/proc/self/limits` */
export function judgeOpenFiles(soft: string, hard: string): Finding {
  const most = hard === "unlimited" ? Number.POSITIVE_INFINITY : Number(hard);
  const sessions = Math.floor(most / DESCRIPTORS_PER_SESSION);
  const found = `${soft} open files, ${hard} at most`;
  if (sessions >= FEW_SESSIONS) return ok(found);
  const advice = "raise it: LimitNOFILE= of the service, or ulimit -n";
  return warn(`${found}: enough for about ${sessions} containers in a shared conmond`, advice);
}

function pipes(): Finding {
  if (process.geteuid?.() === 0) return ok("root's pipes are not limited");
  return judgePipes(Number(readFileSync("/proc/sys/fs/pipe-user-pages-soft", "latin1")));
}

/** @param pages as in `/proc/sys/fs/pipe-user-pages-soft`; 0: no limit */
export function judgePipes(pages: number): Finding {
  if (pages === 0 || pages >= FEW_PAGES) {
    return ok(`a user's pipes may have ${pages === 0 ? "any number of" : pages} pages`);
  }
  const advice = `sysctl fs.pipe-user-pages-soft=${FEW_PAGES * 4}`;
  return warn(`a user's pipes may have ${pages} pages only: many containers get slow ones`, advice);
}

/** Readers that follow a log, and waiting for files, need it. */
function inotify(): Finding {
  const read = (name: string) => readFileSync(`/proc/sys/fs/inotify/${name}`, "latin1").trim();
  try {
    watch("/", () => undefined).close();
    return ok(
      `inotify: ${read("max_user_instances")} instances, ${read("max_user_watches")} watches`,
    );
  } catch (error) {
    const { code = "" } = error as NodeJS.ErrnoException;
    if (code === "ENOENT") return skip("this kernel has no inotify");
    const name = code === "ENOSPC" ? "max_user_watches" : "max_user_instances";
    const advice = `raise it: sysctl fs.inotify.${name}=N (now ${read(name)})`;
    return fail(`nothing can be watched by inotify: ${messageOf(error)}`, advice);
  }
}
