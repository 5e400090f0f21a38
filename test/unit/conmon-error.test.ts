import assert from "node:assert/strict";
import { test } from "node:test";
import { ConmonError } from "../../src/session/errors.ts";

test("an error's message is the line that the caller reads, prefix included", () => {
  const error = new ConmonError("Runtime path not provided. Use --runtime");
  assert.equal(error.message, "[conmon:e]: Runtime path not provided. Use --runtime");
  assert.equal(error.reason, "Runtime path not provided. Use --runtime");
  assert.equal(error.status, 1);
  assert.equal(error.name, "ConmonError");
  assert.ok(error instanceof Error);
});

test("a fault of the command line itself has the program's name before it", () => {
  const error = new ConmonError("Container ID not provided. Use --cid", { prefix: "conmon: " });
  assert.equal(error.message, "conmon: Container ID not provided. Use --cid");
  assert.equal(error.reason, "Container ID not provided. Use --cid");
});

test("an error keeps the one that it comes from, and has no cause where there is none", () => {
  const cause = new Error("EACCES");
  assert.equal(new ConmonError("no", { cause }).cause, cause);
  assert.ok(!("cause" in new ConmonError("no")));
});
