import * as fs from "node:fs";

// Moves the files argv[2].N ... argv[2].1, argv[2] up by one and makes a new argv[2], a thousand times a
// second, until it is killed. The number of files stays argv[3].

const [, , path = "", count = "0"] = process.argv;
const files = Number(count);
const pause = new Int32Array(new SharedArrayBuffer(4));

fs.writeFileSync(path, "");
for (let number = 1; number < files; number++) fs.writeFileSync(`${path}.${number}`, "");
process.stdout.write("ready\n");
for (;;) {
  for (let number = files - 1; number > 1; number--) {
    fs.renameSync(`${path}.${number - 1}`, `${path}.${number}`);
  }
  fs.renameSync(path, `${path}.1`);
  fs.writeFileSync(path, "");
  Atomics.wait(pause, 0, 0, 1);
}
