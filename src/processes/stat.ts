/** What /proc/PID/stat says of a process, see proc(5). */

/** A process for good: pids are used again, but not with the same start. */
export interface ProcessId {
  readonly pid: number;
  /** When it was started, in clock ticks since the machine was. */
  readonly startTime: string;
}

export interface ProcessStat extends ProcessId {
  /** A letter. */
  readonly state: string;
  readonly parent: number;
  readonly session: number;
  /** Processor time so far, the kernel's for it too, in clock ticks. */
  readonly cpuTicks: number;
  /** Memory, in pages. */
  readonly residentPages: number;
}

/** Reads the line. The program's name in it may have any characters. */
export function parseStat(line: string): ProcessStat {
  // From the state on, which is the third field in proc(5).
  const fields = line.slice(line.lastIndexOf(")") + 2).split(" ");
  return {
    pid: Number.parseInt(line, 10),
    state: fields[0] ?? "",
    parent: Number(fields[1]),
    session: Number(fields[3]),
    cpuTicks: Number(fields[11]) + Number(fields[12]),
    startTime: fields[19] ?? "",
    residentPages: Number(fields[21]),
  };
}

/** Whether it runs no more; a zombie is still there, but has ended. */
export function hasEnded({ state }: ProcessStat): boolean {
  return state === "Z" || state === "X" || state === "x";
}
