import type { Command } from 'commander';
import type { VerbModule } from './verb.ts';

/** The verb as a command that throws instead of printing errors and leaving the process. */
export function createCommand(command: Command, summary: string, verb: VerbModule): Command {
  command
    .description(summary)
    .exitOverride()
    .configureOutput({ outputError: () => {} })
    .helpOption('-h, --help', 'show this help');
  verb.define(command);
  return command;
}
