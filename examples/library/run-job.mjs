// Runs a job, shows its output as it comes, and says how it ended.
//
//     node examples/library/run-job.mjs [COMMAND...]
import { run } from "conmon-ts";

const [, , ...words] = process.argv;
const command = words.length > 0 ? words : ["sh", "-c", "echo working; echo done >&2; exit 3"];

const container = await run({ command, attach: true, remove: true });
for await (const { stream, data } of container.connection) {
  process.stdout.write(`${stream}: ${data}`);
}
console.log(`${container.name} ended with ${await container.wait()}`);
