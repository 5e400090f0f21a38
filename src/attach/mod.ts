/**
 * How people and programs get at a running container: the attach socket, through which they see
 * its output and write to its stdin, and the fifos for its terminal's size and its logs.
 *
 * @module
 */

export { dropPacked, type PackedBacklog } from "./backlog.ts";
export {
  type ControlDescriptors,
  ControlFifos,
  type ControlFifosOptions,
} from "./control-fifos.ts";
export {
  MAX_PACKET_DATA,
  MAX_PACKET_SIZE,
  type OutputStream,
  type Packet,
  readPacket,
} from "./packet.ts";
export { type AdoptedClient, AttachServer, type AttachServerOptions } from "./server.ts";
