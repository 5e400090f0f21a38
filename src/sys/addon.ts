import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { fileURLToPath } from "node:url";
import type { ClockCalls } from "./clock.ts";
import type { DescriptorCalls } from "./descriptors.ts";
import type { ProcessCalls } from "./processes.ts";
import type { ReadinessClass } from "./readiness.ts";
import type { RecordCalls } from "./records.ts";
import type { SocketCalls } from "./sockets.ts";
import type { TerminalCalls } from "./terminal.ts";

/** What the compiled addon (native/addon) exports. */
type Addon = SocketCalls &
  DescriptorCalls &
  TerminalCalls &
  ClockCalls &
  ProcessCalls &
  RecordCalls &
  ReadinessClass;

/**
 * Where the addon may be, in the order of preference: beside the bundled program, or, when the
 * sources themselves run, in the project's build folders. A bundle must not look there, since from
 * where it lies the same steps lead out of the package.
 */
const PLACES = import.meta.url.endsWith("/src/sys/addon.ts")
  ? ["./sys.node", "../../dist/sys.node", "../../native/addon/build/Release/sys.node"]
  : ["./sys.node"];

/** Loads the addon by a path made at run time, so that a bundler leaves it alone. */
function loadAddon(): Addon {
  const paths = PLACES.map((place) => fileURLToPath(new URL(place, import.meta.url)));
  const path = paths.find((candidate) => existsSync(candidate));
  if (path === undefined) {
    throw new Error(
      `the native addon sys.node is missing: run \`npm run build\` (looked for ${paths.join(", ")})`,
    );
  }
  try {
    return createRequire(import.meta.url)(path) as Addon;
  } catch (cause) {
    throw new Error(`the native addon ${path} does not load: run \`npm run build\``, { cause });
  }
}

/** The addon, loaded once. Only the files of this folder use it directly. */
export const addon: Addon = loadAddon();
