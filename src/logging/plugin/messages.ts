/** What conmond and a plug-in's thread tell each other. One request at a time, each is answered. */
import type { PluginContainer } from "../plugin-api.ts";

/** What the thread is started with. */
export interface PluginTask {
  /** The module, absolute. */
  readonly path: string;
  readonly options: string;
  readonly container: PluginContainer;
}

/** To the thread: output (see batch.ts), or that no more will come. */
export type Request =
  | {
      readonly kind: "batch";
      /** Entries in the first `length` bytes. */
      readonly bytes: Uint8Array;
      readonly length: number;
      /** What came before it has been dropped. */
      readonly afterGap: boolean;
    }
  | { readonly kind: "close" };

/** Records of a stream that the plug-in got, and the bytes of output in them. */
export interface Written {
  readonly records: number;
  readonly bytes: number;
}

/** From the thread: the plug-in is open, has taken a batch, is closed; or it has failed. */
export type Answer =
  | { readonly kind: "opened" }
  | {
      readonly kind: "written";
      readonly stdout: Written;
      readonly stderr: Written;
    }
  | { readonly kind: "closed" }
  | { readonly kind: "failed"; readonly reason: string };

/** Looks at what came from a thread in which somebody else's code runs. */
export function readAnswer(message: unknown): Answer | undefined {
  if (typeof message !== "object" || message === null || !("kind" in message)) return undefined;
  const answer = message as Record<string, unknown>;
  switch (answer.kind) {
    case "opened":
    case "closed":
      return { kind: answer.kind };
    case "written": {
      const { stdout, stderr } = answer;
      return isWritten(stdout) && isWritten(stderr)
        ? { kind: "written", stdout, stderr }
        : undefined;
    }
    case "failed":
      return { kind: "failed", reason: String(answer.reason).slice(0, 1000) };
  }
  return undefined;
}

function isWritten(value: unknown): value is Written {
  if (typeof value !== "object" || value === null) return false;
  const { records, bytes } = value as Record<string, unknown>;
  return [records, bytes].every((count) => Number.isSafeInteger(count) && Number(count) >= 0);
}
