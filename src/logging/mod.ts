/**
 * Where the output of a container goes: sinks, behind one small interface. The way of the data is
 * read → {@link Sink.write} → framing → file or journal; `read/` is the way back.
 *
 * @module
 */
export { DEFAULT_RECORD_SIZE, MAX_RECORD_SIZE } from "./cri-framing.ts";
export { type JournaldOptions, JournaldSink } from "./journald.ts";
export { type JsonFileOptions, JsonFileSink } from "./json-file.ts";
export { type K8sFileOptions, K8sFileSink } from "./k8s-file.ts";
export { PluginSink, type PluginSinkOptions } from "./plugin/sink.ts";
export type { Sink, SinkCounters, SinkFault, SinkTask, StreamName } from "./sink.ts";
