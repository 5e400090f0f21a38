/** The journal, for the log driver journald. */
import { existsSync } from "node:fs";
import { type Check, fail, messageOf, ok, skip } from "./check.ts";

const SOCKET = "/run/systemd/journal/socket";

export const journald: Check = {
  name: "journald",
  look: async () => {
    if (!existsSync(SOCKET)) {
      return skip(`there is no ${SOCKET}: with the log driver journald output would be lost`);
    }
    // Only now: the addon that it needs may be broken.
    const { connectJournald } = await import("../logging/journal-listener.ts");
    try {
      connectJournald(SOCKET);
      return ok(`somebody listens at ${SOCKET}`);
    } catch (error) {
      const advice = "systemctl restart systemd-journald";
      return fail(`${SOCKET} cannot be connected to: ${messageOf(error)}`, advice);
    }
  },
};
