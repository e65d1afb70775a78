import { Command } from 'commander';
import { TsvmmError } from '../../vmm/errors.ts';
import { type CompletionWords, type Shell, scripts } from '../completion/scripts.ts';
import { createCommand } from '../create-command.ts';
import { print } from '../ui/output.ts';

export function define(command: Command): void {
  command
    .argument('<shell>', 'bash, zsh or fish')
    .addHelpText(
      'after',
      `
Completes verbs, options, and the names of running clusters and their VMs.

Examples:
  source <(tsvmm completion bash)                                   in ~/.bashrc
  source <(tsvmm completion zsh)                                    in ~/.zshrc, after compinit
  tsvmm completion fish > ~/.config/fish/completions/tsvmm.fish`,
    )
    .action(async (shell: string) => {
      const script = Object.hasOwn(scripts, shell) ? scripts[shell as Shell] : undefined;
      if (script === undefined) {
        throw new TsvmmError('TSVMM_E_USAGE', `there is no completion for "${shell}"`, {
          hint: `known are: ${Object.keys(scripts).join(', ')}`,
        });
      }
      print(script(await allWords()));
    });
}

/** Verbs, sub-verbs and options, as the verbs themselves declare them. */
async function allWords(): Promise<CompletionWords[]> {
  const { verbs } = await import('../verbs.ts');
  return Promise.all(
    Object.entries(verbs).map(async ([name, { summary, load }]) => {
      const command = createCommand(new Command(name), summary, await load());
      return {
        verb: name,
        summary,
        subverbs: command.commands.map(sub => sub.name()),
        options: [command, ...command.commands].flatMap(optionsOf),
        argument: argumentOf(command),
      };
    }),
  );
}

const optionsOf = (command: Command): string[] =>
  command.options.flatMap(({ long, hidden }) => (long && !hidden ? [long] : []));

function argumentOf(command: Command): CompletionWords['argument'] {
  const name = command.registeredArguments[0]?.name();
  if (name === 'file') return 'file';
  return name?.startsWith('cluster') ? 'cluster' : 'none';
}
