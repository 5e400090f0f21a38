import { closeSync, openSync, readFileSync } from "node:fs";
import { type Bundle, type BundleOptions, makeBundle } from "./bundle.ts";
import { type CallOptions, HostRuntime } from "./host-runtime.ts";
import { isAlive, waitUntilGone } from "./processes.ts";
import { type Ending, makeScratch, type Scratch } from "./scratch.ts";

/** What a test of the host runtime needs. */
export interface HostPlace {
  readonly scratch: Scratch;
  readonly host: HostRuntime;
  bundle(script: string, options?: Partial<BundleOptions>): Bundle;
  /** Where a container can write something for the test to read. */
  readonly file: string;
}

/** Makes it, with what is to be taken away at the test's end. */
export function prepare(t: Ending): HostPlace {
  const scratch = makeScratch(t);
  const file = scratch.path("written");
  const bundle = (script: string, options: Partial<BundleOptions> = {}) =>
    makeBundle(scratch, { args: ["sh", "-c", script], env: [`FILE=${file}`], ...options });
  return { scratch, host: new HostRuntime(scratch), bundle, file };
}

/** Has a container run to its end and returns its output. */
export async function outputOf(
  place: HostPlace,
  bundle: Bundle,
  options: CallOptions = {},
): Promise<string> {
  const path = place.scratch.path(place.scratch.uniqueName());
  const output = openSync(path, "a");
  const [stdin = "ignore", , , ...more] = options.stdio ?? [];
  await place.host.create(bundle, { ...options, stdio: [stdin, output, output, ...more] });
  closeSync(output);
  await place.host.start(bundle);
  await gone(place, bundle);
  return readFileSync(path, "utf8");
}

/** Resolves when a container's process has ended. */
export async function gone({ host }: Pick<HostPlace, "host">, bundle: Bundle): Promise<void> {
  const { pid } = await host.state(bundle);
  await waitUntilGone(() => (pid > 0 && isAlive(pid) ? [pid] : []));
}
