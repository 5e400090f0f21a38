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
export function killAtCall(
  pid: number,
  call: string,
  number: number,
): Promise<{ killed: Promise<boolean> }> {
  return signalAtCall(pid, call, number, "SIGKILL");
}

/** Has it stopped (SIGSTOP) at such a call, which it has done by then. Otherwise as {@link killAtCall}. */
export async function stopAtCall(pid: number, call: string, number: number): Promise<void> {
  await signalAtCall(pid, call, number, "SIGSTOP");
}

async function signalAtCall(
  pid: number,
  call: string,
  number: number,
  signal: NodeJS.Signals,
): Promise<{ killed: Promise<boolean> }> {
  const inject = `inject=${call}:signal=${signal}:when=${number}`;
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
