/** What the shells are to complete after a verb. */
export interface CompletionWords {
  readonly verb: string;
  readonly summary: string;
  readonly subverbs: readonly string[];
  /** Long options. */
  readonly options: readonly string[];
  /** What the first argument names. */
  readonly argument: 'file' | 'cluster' | 'none';
}

export type Shell = keyof typeof scripts;

/** Where the run directories are: their names are those of the running clusters. */
const RUNS = `"\${TSVMM_HOME:-$HOME/.local/share/tsvmm}/run"`;
const RUNS_IN_FISH = '(set -q TSVMM_HOME; and echo $TSVMM_HOME; or echo ~/.local/share/tsvmm)/run';

export const scripts = { bash, zsh, fish } as const;

function bash(words: readonly CompletionWords[]): string {
  return `# bash completion of tsvmm
_tsvmm() {
  local current="\${COMP_WORDS[COMP_CWORD]}" verb="\${COMP_WORDS[1]}"
  COMPREPLY=()
  if [ "$COMP_CWORD" -eq 1 ]; then
    COMPREPLY=($(compgen -W "${verbNames(words).join(' ')}" -- "$current"))
    return
  fi
  case "$verb" in
${words.map(entry => bashCase(entry)).join('\n')}
  esac
}
complete -F _tsvmm tsvmm`;
}

function bashCase({ verb, subverbs, options, argument }: CompletionWords): string {
  const reply = (source: string) => `COMPREPLY=($(compgen ${source} -- "$current"))`;
  const others = {
    file: reply('-f'),
    cluster: reply(`-W "$(command ls ${RUNS} 2>/dev/null)"`),
    none: reply(`-W "${subverbs.join(' ')}"`),
  };
  return `    ${verb})
      case "$current" in
        -*) ${reply(`-W "${[...options, '--help'].join(' ')}"`)} ;;
        *) ${others[argument]} ;;
      esac ;;`;
}

function zsh(words: readonly CompletionWords[]): string {
  return `#compdef tsvmm
_tsvmm() {
  if (( CURRENT == 2 )); then
    local -a verbs
    verbs=(
${words.map(({ verb, summary }) => `      '${verb}:${quoted(summary)}'`).join('\n')}
    )
    _describe verb verbs
    return
  fi
  case $words[2] in
${words.map(zshCase).join('\n')}
  esac
}
compdef _tsvmm tsvmm`;
}

function zshCase({ verb, subverbs, options, argument }: CompletionWords): string {
  const others = {
    file: '_files',
    cluster: `compadd -- \${(f)"$(command ls ${RUNS} 2>/dev/null)"}`,
    none: `compadd -- ${subverbs.join(' ')}`,
  };
  return `    ${verb})
      if [[ $PREFIX == -* ]]; then compadd -- ${[...options, '--help'].join(' ')}
      else ${others[argument]}
      fi ;;`;
}

function fish(words: readonly CompletionWords[]): string {
  const lines = words.flatMap(({ verb, summary, subverbs, options, argument }) => {
    const after = `complete -c tsvmm -n '__fish_seen_subcommand_from ${verb}'`;
    const others = {
      file: `${after} -F`,
      cluster: `${after} -f -a '(command ls ${RUNS_IN_FISH} 2>/dev/null)'`,
      none: `${after} -f -a '${subverbs.join(' ')}'`,
    };
    return [
      `complete -c tsvmm -n __fish_use_subcommand -f -a ${verb} -d '${quoted(summary)}'`,
      others[argument],
      ...options.map(option => `${after} -l ${option.slice(2)}`),
    ];
  });
  return `# fish completion of tsvmm\n${lines.join('\n')}`;
}

const verbNames = (words: readonly CompletionWords[]) => words.map(({ verb }) => verb);

/** For the inside of single quotes, in zsh as in fish. */
const quoted = (text: string): string => text.replaceAll("'", '’');
