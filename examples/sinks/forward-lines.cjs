/**
 * A log plug-in for conmond that forwards each line to a unix socket, as one JSON object in a line. A
 * reader that is slow slows the plug-in down, and nobody else.
 *
 *     conmon -l k8s-file:/var/log/web.log -l plugin:/usr/local/lib/forward-lines.cjs:/run/lines.sock ...
 *
 * Try it with `socat UNIX-LISTEN:/run/lines.sock,fork STDOUT` at the other end.
 */
"use strict";
const { once } = require("node:events");
const { connect } = require("node:net");

/**
 * @param {string} options The socket, absolute.
 * @param {import("../../src/logging/plugin-api.ts").PluginContainer} container
 * @returns {Promise<import("../../src/logging/plugin-api.ts").PluginSink>}
 */
module.exports = async function open(options, container) {
  const socket = connect(options);
  await once(socket, "connect");
  // From here on an error of the socket, which nobody listens to, ends this plug-in: conmond starts it
  // again, which connects again.

  return {
    async write(records) {
      const lines = records.map((record) => JSON.stringify({ container: container.id, ...record }));
      const isTaken = socket.write(`${lines.join("\n")}\n`);
      // Not before there is room again does conmond send more.
      if (!isTaken) await once(socket, "drain");
    },
    async close() {
      socket.end();
      await once(socket, "close");
    },
  };
};
