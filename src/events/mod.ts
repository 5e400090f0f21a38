/**
 * What a container has to say besides its output: that it ran out of memory, and, by sd-notify,
 * how it is.
 *
 * @module
 */
export { MAX_NOTIFY_MESSAGE, NotifyProxy, type NotifyProxyOptions } from "./notify-proxy.ts";
export { writeOomFiles } from "./oom-files.ts";
export { type OomRecord, OomWatch, type OomWatchOptions } from "./oom-watch.ts";
