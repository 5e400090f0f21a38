/** Where the parts of this installation are. */
import { join } from "node:path";
import { fileURLToPath } from "node:url";

/** All paths are absolute. */
export interface Installation {
  /** The package's own directory. */
  readonly root: string;
  /** The shim. */
  readonly conmon: string;
  /** The bundled conmond, a script for Node.js. */
  readonly conmond: string;
  readonly addon: string;
  readonly framing: string;
}

/** A bundle is in `dist`, this file in `src/programs`. */
const UP = import.meta.url.endsWith("/src/programs/installation.ts") ? "../.." : "..";

/** The installation that this program belongs to, whether its parts are there or not. */
export function ownInstallation(): Installation {
  const root = fileURLToPath(new URL(UP, import.meta.url)).replace(/(?<=.)\/$/, "");
  return {
    root,
    conmon: join(root, "bin/conmon"),
    conmond: join(root, "dist/conmond.cjs"),
    addon: join(root, "dist/sys.node"),
    framing: join(root, "dist/cri-framing.wasm"),
  };
}
