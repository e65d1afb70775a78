import type { Command } from 'commander';
import { addRunOptions, type RunOptions, runSource } from './run.ts';

interface Options extends RunOptions {
  readonly eager?: boolean;
}

export function define(command: Command): void {
  command
    .argument('<snapshot>', 'cluster/name, as tsvmm snap ls shows it, or the folder of a snapshot')
    .option('-d, --detach', 'run in the background; return when the cluster goes on')
    .option('--name <name>', 'name of the new cluster; that of the old one if left out')
    .option('--lazy', 'let the VMs run before all of their memory has been read (default)')
    .option('--eager', 'read all memory first');
  addRunOptions(command)
    .addHelpText(
      'after',
      `
All VMs go on together from the cut; frames that were in flight are delivered first.

Examples:
  tsvmm restore pair/s1
  tsvmm restore -d pair/s1 --name fork`,
    )
    .action((snapshot: string, options: Options) => {
      const eager = options.eager === true;
      return runSource(
        { snapshot, lazy: !eager },
        ['restore', snapshot, ...(eager ? ['--eager'] : [])],
        options,
      );
    });
}
