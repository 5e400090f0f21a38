/** That a container's end is wanted, and so no restart. */
import { isCode } from "./errors.ts";
import { writeWhole } from "./files.ts";
import type { State } from "./state.ts";

/** Says so, before it is ended. One that has just been removed needs no word. */
export function wantEnd(state: State, id: string): void {
  try {
    writeWhole(state.container(id).stop, "");
  } catch (error) {
    if (!isCode(error, "ENOENT")) throw error;
  }
}
