/** What the caller wants, as a hello tells it. */
import type { Context } from "../shim/context.ts";
import type { Hello } from "../shim/messages.ts";
import type { CheckedOptions } from "./checks.ts";
import { readCommandLine } from "./command-line.ts";
import { ConmonError } from "./errors.ts";
import type { Build } from "./help.ts";

/** Options to act on; a text for the caller's stdout; or why the shim has to find a private conmond. */
export type Request =
  | { readonly kind: "session"; readonly options: CheckedOptions }
  | { readonly kind: "question"; readonly answer: string }
  | { readonly kind: "not-for-us"; readonly reason: string };

/** What a conmond says of itself. */
export interface Server {
  readonly build: Build;
  /** It serves others as well, and is no child of this shim. */
  readonly shared: boolean;
}

/**
 * Reads and checks the caller's options.
 *
 * @throws ConmonError with the first thing that is wrong
 */
export function readRequest(hello: Hello, context: Context, { build, shared }: Server): Request {
  const read = readCommandLine(context, build, hello.released);
  if ("answer" in read) return { kind: "question", answer: read.answer };
  const { options } = read;
  if (shared && options.sdnotifySocket !== undefined) {
    // systemd looks in which service's cgroup the sender of a message is: it has to be the shim's.
    return { kind: "not-for-us", reason: "a shared conmond passes no sd-notify messages on" };
  }
  if (options.sync !== hello.sync) {
    throw new ConmonError("conmon and conmond do not agree on --sync: are both of one version?");
  }
  return { kind: "session", options };
}
