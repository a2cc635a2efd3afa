/**
 * What a shell sources. Each script asks `cutover complete -- WORDS…` and offers the lines that it answers as they are: nothing that was typed
 * or answered is evaluated, and what a shell would not take as a plain word is quoted when it is put on the command line. A line `/` stands for
 * folders.
 */

export type Shell = 'bash' | 'zsh' | 'fish'

/** `$2`: the word as far as the cursor. */
const bash = `
_cutover() {
  COMPREPLY=()
  local line
  while IFS= read -r line; do
    if [[ $line == / ]]; then
      compopt -o filenames -o dirnames
    else
      printf -v line %q "$line"
      COMPREPLY+=("$line")
    fi
  done < <(command cutover complete -- "\${COMP_WORDS[@]:1:COMP_CWORD-1}" "$2" 2>/dev/null)
  compopt -o nosort
}
complete -F _cutover cutover
`

/** `(Q)` takes quotes away and evaluates nothing; compadd puts its own where they are needed. */
const zsh = `
(( $+functions[compdef] )) || { autoload -Uz compinit && compinit -i }
_cutover() {
  local -a lines
  lines=(\${(f)"$(command cutover complete -- "\${(@Q)words[2,CURRENT-1]}" "\${(Q)PREFIX}" 2>/dev/null)"})
  if [[ "$lines" == / ]]; then
    _files -/
  else
    compadd -V cutover -a lines
  fi
}
compdef _cutover cutover
`

/** `-o` takes quotes away and evaluates nothing; fish quotes what it inserts. */
const fish = `
function __cutover_complete
    set -l before (commandline -opc)
    set -e before[1]
    set -l begun (commandline -ct)
    for line in (command cutover complete -- $before "$begun" 2>/dev/null)
        switch $line
            case /
                __fish_complete_directories "$begun" ''
            case '*'
                printf '%s\\n' $line
        end
    end
end
complete -c cutover -f -k -a '(__cutover_complete)'
`

export const scripts: Readonly<Record<Shell, string>> = { bash, zsh, fish }
