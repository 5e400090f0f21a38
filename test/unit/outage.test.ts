import assert from "node:assert/strict";
import { test } from "node:test";
import { OutageWatch } from "../../src/logging/outage.ts";
import { newCounters, type SinkFault } from "../../src/logging/sink.ts";

function watch() {
  const counters = newCounters();
  const faults: SinkFault[] = [];
  return { counters, faults, outage: new OutageWatch("write", counters, (f) => faults.push(f)) };
}

test("success without an outage is not told", () => {
  const { outage, faults } = watch();
  outage.succeeded(100);
  assert.deepEqual(faults, []);
});

test("an outage is told once at its beginning, and at its end with what it cost", () => {
  const { outage, faults, counters } = watch();
  counters.droppedBytes = 5;
  const [first, second] = [new Error("first"), new Error("second")];
  outage.failed(first);
  counters.droppedBytes += 10;
  counters.droppedRecords += 1;
  outage.failed(second);
  assert.deepEqual(faults, [{ state: "failing", task: "write", error: first }]);
  assert.deepEqual([counters.writeErrors, counters.lastError], [2, second]);
  outage.succeeded();
  const recovered = { state: "recovered", task: "write", droppedBytes: 10, droppedRecords: 1 };
  assert.deepEqual(faults.slice(1), [recovered]);
});

test("it is over when as much was written, without a failure, as had failed", () => {
  const { outage, faults } = watch();
  outage.failed(new Error("full"), 100);
  outage.succeeded(60);
  outage.failed(new Error("full"), 50);
  outage.succeeded(49);
  assert.equal(faults.length, 1);
  outage.succeeded(1);
  assert.equal(faults.length, 2);
});

test("the next outage is told again", () => {
  const { outage, faults } = watch();
  for (let round = 0; round < 2; round++) {
    outage.failed(new Error("full"), 1);
    outage.succeeded(1);
  }
  const states = faults.map((fault) => fault.state);
  assert.deepEqual(states, ["failing", "recovered", "failing", "recovered"]);
});
