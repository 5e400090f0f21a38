/** A completion script for fish. */
import {
  allCommands,
  type CompletedCommand,
  type CompletedOption,
  skippedByDashes,
  takesCommandLine,
  type Word,
} from "./model.ts";
import { quoteForFish as quote } from "./quote.ts";

/** A function tells which command the words before the cursor are about; each line is for one command. */
export function fishScript(program: CompletedCommand): string {
  const { name } = program;
  const f = `__${name.replace(/\W/g, "_")}`;
  const commands = allCommands(program);
  return `# Completion of ${name} for fish. To have it now: ${name} completion fish | source
# For good: ${name} completion fish > ~/.config/fish/completions/${name}.fish

# The command that the words before the cursor are about, as /daemon/status, how many arguments it has got, and whether
# there are no options any more.
function ${f}_place
    set -l path ''
    set -l count 0
    set -l skip ''
    set -l only ''
    set -l dashes ''
    for word in (commandline -opc)[2..-1]
        if test -n "$skip"
            set skip ''
        else if test "$word" = --; and test -z "$dashes"
            set dashes 1
            set only 1
            set -l skipped (${f}_skipped "$path")
            test -n "$skipped"; and test $skipped -gt $count; and set count $skipped
        else if test -n "$only"
            set count (math $count + 1)
        else if string match -q -- '-*' "$word"
            contains -- "$path $word" $${f}_with_value; and set skip 1
        else
            set -l next ''
            test $count -eq 0; and set next (${f}_canonical "$path/$word")
            if test -n "$next"
                set path $next
            else
                set count (math $count + 1)
                set -l skipped (${f}_skipped "$path")
                test -n "$skipped"; and set only 1
            end
        end
    end
    echo "$path"
    echo $count
    echo "$only"
end

# How many arguments -- passes over, for commands after whose arguments a command line comes; else nothing.
function ${f}_skipped
    switch $argv[1]
${commands
  .filter(takesCommandLine)
  .map((c) => `        case ${quote(key(c))}\n            echo ${skippedByDashes(c)}\n`)
  .join("")}    end
end

function ${f}_canonical
    switch $argv[1]
${commands
  .filter(({ path }) => path.length > 0)
  .map(
    (
      c,
    ) => `        case ${[c.name, ...c.aliases].map((word) => quote(`${key(c, -1)}/${word}`)).join(" ")}
            echo ${quote(key(c))}\n`,
  )
  .join("")}    end
end

function ${f}_at
    set -l place (${f}_place)
    test "$place[1]" = "$argv[1]"; and test -z "$place[3]"
end

# The argument of a number, or any from that on.
function ${f}_argument
    set -l place (${f}_place)
    test "$place[1]" = "$argv[1]"; and test $place[2] $argv[3] $argv[2]
end

function ${f}_containers
    set -l program (commandline -opc | string replace -r '^~/' "$HOME/")[1]
    $program internal complete containers --tabs 2>/dev/null
end

set -g ${f}_with_value ${commands.flatMap(valueKeys).map(quote).join(" ") || "''"}

complete -c ${name} -f
${commands.flatMap((command) => linesOf(program, command, f)).join("\n")}
`;
}

function key({ path }: CompletedCommand, end?: number): string {
  return path
    .slice(0, end)
    .map((word) => `/${word}`)
    .join("");
}

function valueKeys(command: CompletedCommand): string[] {
  return command.options.flatMap(({ spellings, value }) =>
    value === undefined ? [] : spellings.map((spelling) => `${key(command)} ${spelling}`),
  );
}

function linesOf(program: CompletedCommand, command: CompletedCommand, f: string): string[] {
  const here = quote(`${f}_at ${quote(key(command))}`);
  const first = quote(`${f}_argument ${quote(key(command))} 0 -eq`);
  const start = `complete -c ${program.name} -n`;
  const commands = command.commands.flatMap(({ name, aliases, description }) =>
    [name, ...aliases].map(
      (word) => `${start} ${first} -a ${quote(word)} -d ${quote(description)}`,
    ),
  );
  const options = command.options.map((option) => `${start} ${here} ${optionFlags(option, f)}`);
  const args = command.arguments.flatMap((argument, index) => {
    const line = (comparison: string, flags: string): string =>
      `${start} ${quote(`${f}_argument ${quote(key(command))} ${index} ${comparison}`)} ${flags}`;
    const flags = valueFlags(argument, f);
    if (!argument.variadic) return [line("-eq", flags)];
    // What follows a program may be files.
    return argument.kind === "command"
      ? [line("-eq", flags), line("-gt", "-F")]
      : [line("-ge", flags)];
  });
  return [...commands, ...options, ...args];
}

function optionFlags({ spellings, description, value }: CompletedOption, f: string): string {
  const names = spellings.map((spelling) =>
    spelling.startsWith("--") ? `-l ${spelling.slice(2)}` : `-s ${spelling.slice(1)}`,
  );
  const takes = value === undefined ? "" : ` -r ${valueFlags(value, f)}`;
  return `${names.join(" ")} -d ${quote(description)}${takes}`;
}

function valueFlags({ kind, choices }: Word, f: string): string {
  const flags = {
    choice: `-f -a ${quote(choices.join(" "))}`,
    container: `-f -a ${quote(`(${f}_containers)`)}`,
    file: choices.length === 0 ? "-F" : `-F -a ${quote(choices.join(" "))}`,
    directory: `-f -a ${quote("(__fish_complete_directories (commandline -ct))")}`,
    command: `-F -a ${quote("(__fish_complete_command)")}`,
    none: "-f",
  };
  return flags[kind];
}
