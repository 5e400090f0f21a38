/** A completion script for zsh, by its `_arguments`. */
import {
  allCommands,
  type CompletedCommand,
  type CompletedOption,
  skippedByDashes,
  takesCommandLine,
  type Word,
} from "./model.ts";
import { quote } from "./quote.ts";

export function zshScript(program: CompletedCommand): string {
  const { name } = program;
  const functions = allCommands(program).map((command) => commandFunction(program, command));
  return `#compdef ${name}
# Completion of ${name} for zsh. To have it now: source <(${name} completion zsh)
# For good: ${name} completion zsh > DIRECTORY/_${name}, where DIRECTORY is in $fpath

${functions.join("\n")}
${functionName(program, program)}_containers() {
  local -a lines
  lines=("\${(@f)$(_call_program containers "\${(q)words_of_${plain(name)}[1]/#\\~\\//$HOME/}" internal complete containers 2>/dev/null)}")
  lines=("\${(@)lines:#}")
  _describe -t containers container lines
}

# Loaded by compinit it is called; sourced it says whose it is.
if [[ "\${funcstack[1]}" == ${functionName(program, program)} ]]; then
  ${functionName(program, program)} "$@"
else
  compdef ${functionName(program, program)} ${name}
fi
`;
}

function plain(text: string): string {
  return text.replace(/\W/g, "_");
}

function functionName(program: CompletedCommand, { path }: CompletedCommand): string {
  return `_${[program.name, ...path].map(plain).join("_")}`;
}

function commandFunction(program: CompletedCommand, command: CompletedCommand): string {
  const isProgram = command.path.length === 0;
  // Options come before the arguments where those are followed by a command line.
  const flags = takesCommandLine(command) ? "-s -S -C -A '-*'" : "-s -S -C";
  const specs = command.options.flatMap(optionSpecs(program));
  const args =
    command.commands.length > 0
      ? ["'1: :->command'", "'*:: :->rest'"]
      : command.arguments.map((argument, index) => argumentSpec(program, argument, index));
  const all = [...specs, ...args].map((spec) => `    ${spec}`).join(" \\\n");
  return `${functionName(program, command)}() {
  local context state state_descr line
  typeset -A opt_args
${takesCommandLine(command) ? afterDashes(command) : ""}${isProgram ? `  local -a words_of_${plain(program.name)}=("\${words[@]}")\n` : ""}  _arguments ${flags} \\
${all}
${command.commands.length > 0 ? dispatch(program, command) : ""}}
`;
}

/** What comes after the dashes is a command line; after dashes without what has to be before them there may be that. */
function afterDashes(command: CompletedCommand): string {
  const needsMore = skippedByDashes(command) === 0;
  return `  local -i dashes=\${words[(i)--]}
${needsMore ? countGiven(command) : ""}  if ((dashes < CURRENT${needsMore ? " && given" : ""})); then
    shift $dashes words
    ((CURRENT -= dashes))
    _normal
    return
  fi
`;
}

/** How many arguments there are before the dashes: words that are neither options nor values of options. */
function countGiven({ options }: CompletedCommand): string {
  const withValue = options.filter(({ value }) => value !== undefined);
  const patterns = withValue.flatMap(({ spellings }) => spellings.map(quote));
  const skip = patterns.length === 0 ? "" : `      (${patterns.join("|")}) ((++i)) ;;\n`;
  return `  local -i i given=0
  for ((i = 2; i < dashes; i++)); do
    case $words[i] in
${skip}      (-*) ;;
      (*) ((++given)) ;;
    esac
  done
`;
}

function dispatch(program: CompletedCommand, command: CompletedCommand): string {
  const described = command.commands.flatMap((child) =>
    [child.name, ...child.aliases].map((word) =>
      quote(`${escapeColon(word)}:${child.description}`),
    ),
  );
  const cases = command.commands.map(
    (child) =>
      `        ${[child.name, ...child.aliases].join("|")}) ${functionName(program, child)} ;;`,
  );
  return `  case $state in
    command)
      local -a commands=(
${described.map((line) => `        ${line}`).join("\n")}
      )
      _describe -t commands command commands
      ;;
    rest)
      case $line[1] in
${cases.join("\n")}
      esac
      ;;
  esac
`;
}

function optionSpecs(program: CompletedCommand) {
  return ({ spellings, description, value, repeatable }: CompletedOption): string[] => {
    const text = `[${escapeSpec(description)}]`;
    const action =
      value === undefined ? "" : `:${escapeSpec(value.name)}:${actionOf(program, value)}`;
    // Without the star, one spelling excludes the others.
    const others = repeatable ? "*" : spellings.length > 1 ? `(${spellings.join(" ")})` : "";
    return spellings.map((spelling) => {
      const takes = value === undefined ? "" : spelling.startsWith("--") ? "=" : "+";
      return quote(`${others}${spelling}${takes}${text}${action}`);
    });
  };
}

function argumentSpec(
  program: CompletedCommand,
  argument: Word & { readonly variadic: boolean },
  index: number,
): string {
  const position = argument.variadic ? "*" : String(index + 1);
  const action =
    argument.kind === "command" && argument.variadic ? "_normal" : actionOf(program, argument);
  // Three colons have _normal see only the words that are the command's.
  const colons = action === "_normal" ? ":::" : ":";
  return quote(`${position}${colons}${escapeSpec(argument.name)}:${action}`);
}

function actionOf(program: CompletedCommand, { kind, choices }: Word): string {
  const actions = {
    choice: `(${choices.map((choice) => choice.replace(/[^\w./-]/g, "\\$&")).join(" ")})`,
    container: `${functionName(program, program)}_containers`,
    file: choices.length === 0 ? "_files" : `{compadd -- ${choices.join(" ")}; _files}`,
    directory: "_files -/",
    command: "_command_names -e",
    none: " ",
  };
  return actions[kind];
}

/** In the text of a specification brackets and colons have a meaning. */
function escapeSpec(text: string): string {
  return text.replace(/[[\]:\\]/g, "\\$&");
}

function escapeColon(text: string): string {
  return text.replaceAll(":", "\\:");
}
