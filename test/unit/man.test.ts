import assert from "node:assert/strict";
import { test } from "node:test";
import { Command, Option } from "commander";
import { commandPage } from "../../src/man/command-page.ts";
import {
  bold,
  formatPage,
  italic,
  item,
  type Page,
  paragraph,
  verbatim,
} from "../../src/man/roff.ts";

const imprint = { version: "1.2.3", date: "2026-01-31" };

test("characters with a meaning have none", () => {
  const page: Page = {
    name: "tool-x",
    section: 1,
    summary: "a 'tool'",
    sections: [
      {
        title: "It's",
        blocks: [
          paragraph(".SH is no heading, \\fB no font, `x` no quote, ~ and ^ are what they are"),
          verbatim(["'tis", "", ".x --y"]),
          item(`${bold("-a")}, ${bold("--all")} ${italic("A-B")}`, ""),
        ],
      },
      { title: "Empty", blocks: [] },
    ],
  };
  assert.equal(
    formatPage(page, imprint),
    `.TH "TOOL\\-X" 1 "2026-01-31" "conmon\\-ts 1.2.3"
.nh
.ad l
.SH NAME
tool\\-x \\- a \\(aqtool\\(aq
.SH "IT\\(aqS"
\\&.SH is no heading, \\efB no font, \\(gax\\(ga no quote, \\(ti and \\(ha are what they are
.PP
.RS 4
.nf
\\(aqtis

\\&.x \\-\\-y
.fi
.RE
.TP
\\fB\\-a\\fR, \\fB\\-\\-all\\fR \\fIA\\-B\\fR
`,
  );
});

test("a command: help, arguments, options, what was added to the help", () => {
  const program = new Command("tool").description("Does it.");
  const child = program
    .command("do")
    .alias("perform")
    .summary("do it")
    .description("Does it at once.")
    .argument("<WHAT...>", "names of things")
    .option("-f, --force", "even so")
    .addOption(new Option("--how <HOW>", "in which way").choices(["well", "badly"]).default("well"))
    .addOption(new Option("--secret").hideHelp())
    .addHelpText(
      "after",
      "\nMore of\nit.\n\nExit status: 0, or\n1.\n\nExamples:\n  tool do it\n      does it",
    );
  program.command("hidden", { hidden: true });
  program.command("undo").description("Takes it back.");
  const text = (page: Page, title: string) =>
    page.sections.find((section) => section.title === title)?.blocks;

  const page = commandPage(child, { section: 1, seeAlso: ["other(8)"] });
  assert.deepEqual([page.name, page.summary], ["tool-do", "do it"]);
  assert.deepEqual(text(page, "Synopsis"), [verbatim(["tool do [options] <WHAT...>"])]);
  assert.deepEqual(text(page, "Description"), [
    paragraph("Does it at once."),
    paragraph("Another name for it is perform."),
    paragraph("More of it."),
  ]);
  assert.deepEqual(text(page, "Arguments"), [item("\\fIWHAT...\\fR", "Names of things.")]);
  assert.deepEqual(text(page, "Options"), [
    item("\\fB\\-f\\fR, \\fB\\-\\-force\\fR", "Even so."),
    item("\\fB\\-\\-how\\fR \\fIHOW\\fR", "In which way. One of well, badly. Default: well."),
    item("\\fB\\-h\\fR, \\fB\\-\\-help\\fR", "Display help for command."),
  ]);
  assert.deepEqual(text(page, "Exit status"), [paragraph("0, or 1.")]);
  assert.deepEqual(text(page, "Examples"), [verbatim(["tool do it", "    does it"])]);
  assert.deepEqual(text(page, "See also"), [paragraph("tool(1), other(8)")]);

  const whole = commandPage(program, { section: 1 });
  assert.deepEqual(text(whole, "Commands"), [
    item("\\fBtool\\-do(1)\\fR", "Do it."),
    item("\\fBtool\\-undo(1)\\fR", "Takes it back."),
  ]);
});
