// A small supervisor: starts a service, waits until its log says that it is ready, asks it something, stops
// it, and prints all that has happened.
//
//     node examples/library/supervise.mjs
import { events, exec, followLogs, remove, run, stop } from "conmon-ts";

const script =
  "trap 'exit 0' TERM; sleep 0.2; echo ready > /tmp/state; echo ready; while :; do sleep 0.1; done";
const service = await run({
  command: ["sh", "-c", script],
  restart: { when: "on-failure", most: 5 },
});

const enough = new AbortController();
for await (const line of followLogs(service.id, { signal: enough.signal })) {
  console.log(`${line.stream}: ${line.text}`);
  if (line.text.includes("ready")) enough.abort();
}

const question = await exec(service.id, { command: ["cat", "/tmp/state"] });
for await (const { data } of question.connection) console.log(`it says: ${String(data).trim()}`);
console.log(`the question ended with ${await question.wait()}`);

console.log(`the service ended with ${await stop(service.id, { seconds: 5 })}`);
for await (const { type, status } of events({ container: service.id })) {
  console.log(type, status ?? "");
}
await remove(service.id);
