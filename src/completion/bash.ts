/** A completion script for bash 4 and later; it does not need the package bash-completion. */
import {
  allCommands,
  type CompletedCommand,
  skippedByDashes,
  takesCommandLine,
  type Word,
} from "./model.ts";
import { quote } from "./quote.ts";

/**
 * The script walks over the words before the cursor: which command are they about, which options have a value as
 * the next word, and how many arguments were there? What it knows about each command is in functions that are
 * made here.
 */
export function bashScript(program: CompletedCommand): string {
  const { name } = program;
  const commands = allCommands(program);
  const f = `_${name.replace(/\W/g, "_")}`;
  return `# Completion of ${name} for bash. To have it now: source <(${name} completion bash)
# For good: ${name} completion bash > ~/.local/share/bash-completion/completions/${name}

# The commands below a command.
${f}_commands() {
  case $1 in
${commands
  .map((c) =>
    row(
      c,
      c.commands.flatMap((child) => [child.name, ...child.aliases]),
    ),
  )
  .join("")}  esac
}

# The command that a word stands for, below another one.
${f}_canonical() {
  case $1 in
${commands
  .filter(({ path }) => path.length > 0)
  .flatMap((c) => [c.name, ...c.aliases].map((word) => canonicalRow(c, word)))
  .join("")}  esac
}

# The options of a command.
${f}_options() {
  case $1 in
${commands
  .map((c) =>
    row(
      c,
      c.options.flatMap(({ spellings }) => spellings),
    ),
  )
  .join("")}  esac
}

# What the value of a command's option can be; nothing for one that has no value.
${f}_value() {
  case "$1 $2" in
${commands
  .flatMap((c) =>
    c.options.flatMap(({ spellings, value }) =>
      value === undefined ? [] : [valueRow(c, spellings, value)],
    ),
  )
  .join("")}  esac
}

# What a command's argument of a number can be.
${f}_argument() {
  case "$1 $2" in
${commands.flatMap(argumentRows).join("")}  esac
}

# How many arguments -- passes over, for commands after whose arguments a command line comes; else nothing.
${f}_skipped() {
  case $1 in
${commands
  .filter(takesCommandLine)
  .map((c) => `    ${quote(key(c))}) echo ${skippedByDashes(c)} ;;\n`)
  .join("")}  esac
}

# The containers that a word may become. Their names are others' texts: they are neither expanded nor split.
${f}_containers() {
  local name quoted
  while IFS= read -r name; do
    printf -v quoted %q "$name"
    if [[ $name == "$1"* || $quoted == "$1"* ]]; then COMPREPLY+=("$quoted"); fi
  done < <("\${COMP_WORDS[0]/#~//$HOME/}" internal complete containers --plain 2>/dev/null)
}

# Completes a word that is of a kind; choices follow.
${f}_reply() {
  local IFS=$'\\n' word=$1 kind=$2
  case $kind in
    container) ${f}_containers "$word" ;;
    directory) compopt -o filenames 2>/dev/null; mapfile -t COMPREPLY < <(compgen -d -- "$word") ;;
    file)
      compopt -o filenames 2>/dev/null
      mapfile -t COMPREPLY < <(compgen -W "\${*:3}" -- "$word"; compgen -f -- "$word")
      ;;
    command) mapfile -t COMPREPLY < <(compgen -c -- "$word") ;;
    choice) mapfile -t COMPREPLY < <(compgen -W "\${*:3}" -- "$word") ;;
  esac
}

${f}() {
  local word path='' canonical count=0 option='' only='' dashes='' skipped i
  local -a words=()
  COMPREPLY=()
  for ((i = 1; i <= COMP_CWORD; i++)); do
    word=\${COMP_WORDS[i]}
    # Bash takes --option=value for three words; two are as good.
    if [[ $word == = && \${COMP_WORDS[i - 1]} == --?* ]]; then
      ((i == COMP_CWORD)) && words+=('')
    else
      words+=("$word")
    fi
  done
  local current=\${words[-1]}
  unset 'words[-1]'
  for word in "\${words[@]}"; do
    if [[ -n $option ]]; then
      option=''
    elif [[ $word == -- && -z $dashes ]]; then
      dashes=1 only=1 skipped=$(${f}_skipped "$path")
      ((count < skipped)) && count=$skipped
    elif [[ -n $only ]]; then
      ((++count))
    elif [[ $word == -* ]]; then
      [[ -n $(${f}_value "$path" "$word") ]] && option=$word
    else
      canonical=$(${f}_canonical "$path/$word")
      if ((count == 0)) && [[ -n $canonical ]]; then
        path=$canonical
      else
        ((++count))
        [[ -n $(${f}_skipped "$path") ]] && only=1
      fi
    fi
  done
  local IFS=$'\\n'
  if [[ -n $option ]]; then
    ${f}_reply "$current" $(${f}_value "$path" "$option")
  elif [[ -z $only && $current == -* ]]; then
    COMPREPLY=($(compgen -W "$(${f}_options "$path")" -- "$current"))
  elif [[ -n $(${f}_commands "$path") ]]; then
    ((count > 0)) || COMPREPLY=($(compgen -W "$(${f}_commands "$path")" -- "$current"))
  else
    ${f}_reply "$current" $(${f}_argument "$path" "$count")
  fi
}

complete -F ${f} ${name}
`;
}

/** A command as its path with slashes: `/daemon/status`, empty for the program. */
function key({ path }: CompletedCommand): string {
  return path.map((word) => `/${word}`).join("");
}

function row(command: CompletedCommand, words: readonly string[]): string {
  return words.length === 0
    ? ""
    : `    ${quote(key(command))}) printf '%s\\n' ${words.map(quote).join(" ")} ;;\n`;
}

/** `/daemon/status` for the word `status` after `/daemon`. */
function canonicalRow(command: CompletedCommand, word: string): string {
  const parent = command.path.slice(0, -1).map((part) => `/${part}`);
  return `    ${quote(`${parent.join("")}/${word}`)}) echo ${quote(key(command))} ;;\n`;
}

function valueRow(command: CompletedCommand, spellings: readonly string[], value: Word): string {
  const patterns = spellings.map((spelling) => quote(`${key(command)} ${spelling}`));
  return `    ${patterns.join(" | ")}) printf '%s\\n' ${wordsOf(value)} ;;\n`;
}

/** The last argument of a variadic command stands for all that follow; what follows a program may be files. */
function argumentRows(command: CompletedCommand): string[] {
  return command.arguments.flatMap((argument, index) => {
    const row = (pattern: string, words: string): string =>
      `    ${pattern}) printf '%s\\n' ${words} ;;\n`;
    const rows = [row(quote(`${key(command)} ${index}`), wordsOf(argument))];
    const others = argument.kind === "command" ? quote("file") : wordsOf(argument);
    if (argument.variadic) rows.push(row(`${quote(`${key(command)} `)}*`, others));
    return rows;
  });
}

function wordsOf({ kind, choices }: Word): string {
  return [kind, ...choices].map(quote).join(" ");
}
