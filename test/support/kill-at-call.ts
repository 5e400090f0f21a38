import { spawn } from "node:child_process";
import { once } from "node:events";
import { needProgram } from "./programs.ts";
import { inTime } from "./waiting.ts";

/**
 * Has a process killed (SIGKILL) just when its main thread is about to do a system call for the `number`th
 * time, counted from now on and from 1.
 *
 * @param call as strace names it
 * @returns resolves, once this has been set up; `killed` resolves when the process has ended, to whether that
 *   was by being killed
 */
export async function killAtCall(
  pid: number,
  call: string,
  number: number,
): Promise<{ killed: Promise<boolean> }> {
  const inject = `inject=${call}:signal=SIGKILL:when=${number}`;
  const args = ["-p", String(pid), "-e", `trace=${call}`, "-e", inject];
  const strace = spawn(needProgram("strace"), args, {
    stdio: ["ignore", "ignore", "pipe"],
  });
  const killed = once(strace, "close").then(() => said.includes("killed by SIGKILL"));
  let said = "";
  const attached = new Promise<void>((resolve, reject) => {
    strace.stderr.setEncoding("utf8").on("data", (text) => {
      said += text;
      if (said.includes("attached")) resolve();
    });
    killed.then(() => reject(new Error(`strace ended: ${said}`)), reject);
  });
  await inTime(attached, () => `strace to attach to process ${pid}: ${said}`);
  return { killed };
}
