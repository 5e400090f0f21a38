/**
 * The only door to the native addon: system calls that Node.js does not have. They are thin: no
 * policy, no state, descriptors are plain numbers that belong to the caller. "Would block" is a
 * value they return; every failure is an exception. The exception is `records.ts`, which says why.
 *
 * @module
 */
export * from "./clock.ts";
export * from "./descriptors.ts";
export * from "./errors.ts";
export * from "./processes.ts";
export * from "./random-name.ts";
export * from "./readiness.ts";
export * from "./records.ts";
export * from "./sockets.ts";
export * from "./terminal.ts";
