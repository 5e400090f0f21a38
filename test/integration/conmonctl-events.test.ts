/** conmonctl events and stats, with a real runtime. */
import assert from "node:assert/strict";
import { appendFileSync, existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it, type TestContext } from "node:test";
import type { ContainerStats } from "../../src/containers/mod.ts";
import { Conmonctl } from "../support/conmonctl.ts";
import { startConmond } from "../support/conmond.ts";
import { inBothModes } from "../support/modes.ts";
import { privateConmond } from "../support/private-conmond.ts";
import { unlessRootWith } from "../support/programs.ts";
import { makeScratch } from "../support/scratch.ts";
import { inTime, textOf } from "../support/waiting.ts";

const skip = unlessRootWith("runc");

function prepare(t: TestContext): Conmonctl {
  return new Conmonctl(makeScratch(t));
}

function typesOf(lines: string): string[] {
  return lines
    .trim()
    .split("\n")
    .map((line) => JSON.parse(line).type);
}

describe("conmonctl events", { skip }, () => {
  it("tells what happens, as it happens, until it is told to stop", async (t) => {
    const ctl = prepare(t);
    await ctl.succeed("prune");
    const watching = ctl.start(["events", "--json", "--since", "1h"]);
    await ctl.succeed("run", "--name", "job", "--rm", "--", "true");
    await watching.shows('"remove"');
    watching.process.kill("SIGINT");
    const { status, stdout } = await watching.end;
    assert.equal(status, 0);
    assert.deepEqual(typesOf(stdout), ["create", "start", "exit", "remove"]);
  });

  it("tells what has happened between two times, to one container", async (t) => {
    const ctl = prepare(t);
    await ctl.run("run", "--name", "one", "--", "false");
    await ctl.happened("exit one");
    await ctl.run("run", "--name", "two", "--", "true");
    await ctl.happened("exit two");
    const all = await ctl.succeed("events", "--no-follow", "--json");
    assert.equal(typesOf(all).length, 6);
    const ofOne = await ctl.succeed("events", "--no-follow", "one");
    assert.match(
      ofOne,
      /^\S+ create +\w{12} one\n\S+ start +\w{12} one pid=\d+\n\S+ exit +\w{12} one status=1$/,
    );
    const third = JSON.parse(all.split("\n")[2] ?? "").time;
    const since = await ctl.succeed("events", "--no-follow", "--json", "--since", third);
    assert.deepEqual(typesOf(since), ["exit", "create", "start", "exit"]);
    // Ends by itself.
    const until = await ctl.succeed("events", "--json", "--since", "1h", "--until", third);
    assert.deepEqual(typesOf(until), ["create", "start"]);
  });

  it("go on in a new file when the old one is large, and nothing is missed", async (t) => {
    const ctl = prepare(t);
    await ctl.run("run", "--name", "first", "--", "true");
    await ctl.happened("exit first");
    const watching = ctl.start(["events", "--json", "--since", "1h"]);
    await watching.shows('"exit"');
    // As if it had been so for months: what is no event is passed over.
    appendFileSync(join(ctl.state, "events.jsonl"), `${"x".repeat(9 * 1024 * 1024)}\n`);
    await ctl.run("run", "--name", "second", "--", "true");
    await watching.shows('"name":"second","status":0');
    watching.process.kill("SIGTERM");
    assert.deepEqual(typesOf((await watching.end).stdout), [
      "create",
      "start",
      "exit",
      "create",
      "start",
      "exit",
    ]);
    assert.ok(existsSync(join(ctl.state, "events.jsonl.1")));
    assert.ok(readFileSync(join(ctl.state, "events.jsonl")).length < 10_000);
  });
});

/** @param interval over which rates are measured, in seconds */
async function statsOf(ctl: Conmonctl, name: string, interval = 0.2): Promise<ContainerStats> {
  const [stats] = JSON.parse(
    await ctl.succeed("stats", "--no-stream", "--interval", String(interval), "--json", name),
  ) as ContainerStats[];
  if (stats === undefined) throw new Error(`there are no figures of ${name}`);
  return stats;
}

inBothModes("conmonctl stats", skip, (attempt) => {
  it("shows processor, memory, output and clients", async (t) => {
    const { scratch, shared } = await attempt(t);
    const ctl = new Conmonctl(scratch, shared);
    const busy = ["sh", "-c", "while :; do echo 1234567; done"];
    await ctl.succeed("run", "-d", "--name", "busy", "--memory", "64m", "--", ...busy);
    const client = ctl.start(["attach", "busy"]);
    await client.shows("1234567\n");
    // Long enough for both, container and conmond, to have had the processor.
    const { usage, output, cpuPercent, bytesPerSecond, recordsPerSecond } = await statsOf(
      ctl,
      "busy",
      2,
    );
    assert.ok(cpuPercent !== null && cpuPercent > 1 && cpuPercent < 250, `${cpuPercent}`);
    assert.equal(usage?.memoryLimit, 64 * 1024 * 1024);
    assert.ok(usage.memory > 0 && usage.memory < usage.memoryLimit);
    assert.equal(usage.processes, 1);
    assert.equal(output?.clients, 1);
    assert.equal(output.droppedBytes, 0);
    assert.ok(bytesPerSecond !== null && bytesPerSecond > 1000, `${bytesPerSecond}`);
    // Eight bytes each; the two are counted at the same time.
    assert.ok(Math.abs((recordsPerSecond ?? 0) - bytesPerSecond / 8) < 1 + bytesPerSecond / 100);
    client.process.kill("SIGKILL");
    await client.end;
    await ctl.succeed("kill", "busy");
    const table = await ctl.succeed("stats", "--no-stream", "--interval", "0.1", "busy");
    assert.match(
      table,
      /^ID +NAME +CPU +MEMORY +LIMIT +PIDS +OUTPUT\/S +LINES\/S +DROPPED +CLIENTS\n.*busy +-/,
    );
  });
});

describe("conmonctl stats", { skip }, () => {
  it("counts on when conmond is replaced", async (t) => {
    const ctl = prepare(t);
    const script = "echo one; trap 'echo more' USR1; while :; do sleep 0.05; done";
    await ctl.succeed("run", "-d", "--name", "talker", "--", "sh", "-c", script);
    const { monitorPid, logs } = await ctl.inspect("talker");
    assert.ok(monitorPid !== null);
    const log = logs[0]?.replace("k8s-file:", "") ?? "";
    const talk = async (lines: number): Promise<void> => {
      await ctl.succeed("kill", "-s", "USR1", "talker");
      await textOf(log, (text) => text.split("\n").length === lines + 1);
    };
    await talk(2);
    const conmond = await privateConmond(monitorPid);
    process.kill(conmond, "SIGKILL");
    await privateConmond(monitorPid, conmond);
    await talk(3);
    await talk(4);
    // One read behind: three lines, of which the first conmond had counted "one", and the second line as well if it
    // was killed in the middle of that.
    const { output } = await statsOf(ctl, "talker");
    const records = output?.records ?? 0;
    assert.ok(records === 2 || records === 3, `${records} records`);
    assert.equal(output?.bytes, "one\n".length + (records - 1) * "more\n".length);
  });

  it("counts all that was read when conmond hands its sessions on", async (t) => {
    const scratch = makeScratch(t);
    const conmond = await startConmond(scratch);
    const ctl = new Conmonctl(scratch, { conmond: conmond.socket });
    await ctl.succeed("run", "-d", "--name", "terse", "--", "sh", "-c", "echo one; sleep 100");
    const { logs } = await ctl.inspect("terse");
    await textOf(logs[0]?.replace("k8s-file:", "") ?? "", (text) => text.includes("one"));
    await conmond.stop("SIGTERM");
    const { output } = await statsOf(ctl, "terse");
    assert.deepEqual([output?.bytes, output?.records], [4, 1]);
  });

  it("counts what is missing in a log", async (t) => {
    const ctl = prepare(t);
    const limit = ["--log-opt", "max-bytes-per-second=1000", "--log-opt", "on-limit=drop"];
    await ctl.succeed(
      "run",
      "-d",
      "--name",
      "loud",
      ...limit,
      "--",
      "sh",
      "-c",
      "while :; do echo 1234567; done",
    );
    const isMissing = async (): Promise<void> => {
      while (((await statsOf(ctl, "loud")).output?.droppedBytes ?? 0) === 0);
    };
    await inTime(isMissing(), "something to be missing");
  });

  it("is drawn anew in a terminal, until Ctrl-C", async (t) => {
    const ctl = prepare(t);
    await ctl.succeed("run", "-d", "--name", "quiet", "--", "sleep", "100");
    const terminal = ctl.terminal(["top", "--interval", "0.1", "quiet"]);
    await terminal.shows("\x1b[H");
    await terminal.shows("quiet");
    await terminal.shows("\x1b[H");
    terminal.type("\x03");
    assert.equal((await terminal.end()).status, 0);
  });
});
