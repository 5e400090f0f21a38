/** What all functions of the library can be told. */
import { type Container, findContainer, State } from "../containers/mod.ts";

/** Whose containers. */
export interface StateOption {
  /** The state directory. Default: `$CONMON_TS_STATE`, else that of the user or of root. */
  readonly state?: string;
}

/** For what takes time. */
export interface SignalOption {
  /** Gives up. A promise is rejected with the signal's reason then; what is iterated over ends. */
  readonly signal?: AbortSignal;
}

/** The container that is meant, and where it is remembered. */
export function find(
  text: string,
  options: StateOption,
): { readonly state: State; readonly found: Container } {
  const state = new State(options.state);
  return { state, found: findContainer(state, text) };
}
