import { describe, type TestContext } from "node:test";
import { startConmond } from "./conmond.ts";
import { makeScratch, type Scratch } from "./scratch.ts";

/** Where a test runs its monitors. */
export interface Place {
  readonly scratch: Scratch;
  /** To be spread into the options of each monitor: the shared conmond's socket, if there is one. */
  readonly shared: { readonly conmond?: string };
}

/** Defines the same tests twice: with a private conmond for each monitor, and with a shared one. */
export function inBothModes(
  subject: string,
  skip: string | false,
  define: (prepare: (t: TestContext) => Promise<Place>) => void,
): void {
  describe(`${subject}, with a private conmond`, { skip }, () => {
    define(async (t) => ({ scratch: makeScratch(t), shared: {} }));
  });
  describe(`${subject}, with a shared conmond`, { skip }, () => {
    define(async (t) => {
      const scratch = makeScratch(t);
      return { scratch, shared: { conmond: (await startConmond(scratch)).socket } };
    });
  });
}
