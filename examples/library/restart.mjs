// Makes a container that is started again until it succeeds, gives each of its runs something to do, and shows what
// they write.
//
//     node examples/library/restart.mjs
import { attachToRuns, create, inspect, remove, start, wait } from "conmon-ts";

const tasks = ["first", "second", "third"];

const worker = await create({
  command: ["sh", "-c", "read -r task; echo did the $task; test $task = third"],
  stdin: true,
  restart: { when: "on-failure", most: 5 },
});
console.log(`${inspect(worker.id).state}, process ${worker.pid}`);
await start(worker.id);

for await (const connection of attachToRuns(worker.id)) {
  await connection.write(`${tasks.shift()}\n`);
  for await (const { data } of connection) process.stdout.write(data);
}

const status = await wait(worker.id);
console.log(`it ended with ${status} after ${inspect(worker.id).restarts} restarts`);
await remove(worker.id);
