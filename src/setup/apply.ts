/** Carrying out a set-up, or only telling what it would do. */
import { ContainerError } from "../containers/errors.ts";
import {
  type DropInState,
  dropInState,
  dropInText,
  refuseOthers,
  removeDropIn,
  writeDropIn,
} from "./drop-in.ts";
import type { Engine, EngineCheck } from "./engine.ts";

/** What is to be done. */
export interface SetupRequest {
  readonly action: "write" | "remove";
  /** False: only tell. */
  readonly apply: boolean;
  /** Whether a container is to be started. */
  readonly trial: boolean;
}

/** What was done, or would be. */
export interface SetupOutcome {
  readonly engine: string;
  readonly path: string;
  /** What was there before. */
  readonly state: DropInState;
  readonly action: "write" | "remove" | "none";
  /** False: nothing has been changed. */
  readonly applied: boolean;
  /** What is, or would be, in the file; undefined for a removal. */
  readonly content: string | undefined;
  readonly check: EngineCheck;
  readonly trial?: EngineCheck;
}

/**
 * Writes or removes the drop-in file, if that is asked for, and asks the engine what it makes of it. A change after
 * which the engine does not use our conmon is taken back.
 *
 * @throws ContainerError when the file is not ours, cannot be written, or has not the effect it should have
 */
export async function setUp(engine: Engine, request: SetupRequest): Promise<SetupOutcome> {
  const { dropIn } = engine;
  const state = dropInState(dropIn);
  const isRemoval = request.action === "remove";
  const isDone = state === (isRemoval ? "absent" : "current");
  if (!isDone) refuseOthers(dropIn.path, state);
  let undo = (): void => undefined;
  if (request.apply && isRemoval) removeDropIn(dropIn.path);
  else if (request.apply) undo = writeDropIn(dropIn);
  const check = await engine.check();
  const inForce = !isRemoval && (request.apply || isDone);
  if (inForce) insist(engine, check, undo, !isDone);
  const trial = request.trial ? await (engine.trial ?? noTrial)() : undefined;
  if (inForce && trial !== undefined) insist(engine, trial, undo, !isDone);
  return {
    engine: engine.title,
    path: dropIn.path,
    state,
    action: isDone ? "none" : request.action,
    applied: request.apply && !isDone,
    content: isRemoval ? undefined : dropInText(dropIn),
    check,
    ...(trial && { trial }),
  };
}

function noTrial(): Promise<EngineCheck> {
  return Promise.resolve({ status: "unknown", found: "containers can be tried with Podman only" });
}

/** @throws ContainerError when the engine does not do what it has been told */
function insist(engine: Engine, check: EngineCheck, undo: () => void, isNew: boolean): void {
  if (check.status === "ok" || check.status === "unknown") return;
  undo();
  const { path } = engine.dropIn;
  throw new ContainerError(
    "failed",
    isNew
      ? `${check.found}; ${path} has been taken back`
      : `${check.found}, although ${path} is as it should be`,
    { hint: check.advice },
  );
}
