/** Where the parts of this installation are. */
import { basename, dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

/** All paths are absolute. */
export interface Installation {
  /** The package's own directory, or the prefix that it was installed below. */
  readonly root: string;
  /** The shim. */
  readonly conmon: string;
  /** The OCI runtime `host`. */
  readonly hostRuntime: string;
  /** The bundled conmond, a script for Node.js. */
  readonly conmond: string;
  /** The bundled command line, likewise. */
  readonly conmonctl: string;
  readonly addon: string;
  readonly framing: string;
}

/** A bundle is among the parts; the sources are in `src`, whose parts are in `dist`. */
const HERE = dirname(fileURLToPath(import.meta.url));
const PARTS = import.meta.url.endsWith("/src/programs/installation.ts")
  ? resolve(HERE, "../../dist")
  : HERE;

/** The installation that this program belongs to, whether its parts are there or not. */
export function ownInstallation(): Installation {
  return installationAt(PARTS);
}

/** @param parts the directory of the bundles: `dist`, or `lib/conmon-ts` once installed */
export function installationAt(parts: string): Installation {
  const isInstalled = basename(dirname(parts)) === "lib";
  const root = resolve(parts, isInstalled ? "../.." : "..");
  return {
    root,
    conmon: join(root, "bin/conmon"),
    hostRuntime: join(root, "bin/conmon-host-runtime"),
    conmond: join(parts, "conmond.cjs"),
    conmonctl: join(parts, "conmonctl.cjs"),
    addon: join(parts, "sys.node"),
    framing: join(parts, "cri-framing.wasm"),
  };
}
